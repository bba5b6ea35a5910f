"""Draw a toy data set with known truth."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.toy.store import write_toy

binding.run(write_toy, globals().get("snakemake"))
