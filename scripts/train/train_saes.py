"""Train SAEs on one store."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.train.saes import train_saes

binding.run(train_saes, globals().get("snakemake"), script=__file__)
