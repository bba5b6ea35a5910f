"""Train one SAE on one store."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.train.fit import train_sae

binding.run(train_sae, globals().get("snakemake"))
