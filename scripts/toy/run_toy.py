"""Draw toy pairs, train an SAE on them and compare it with the truth."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.toy.experiment import run_toy

binding.run(run_toy, globals().get("snakemake"))
