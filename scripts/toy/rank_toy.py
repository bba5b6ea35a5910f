"""Rank the settings of the search for those behind Table 5."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.toy.search import rank_toy

binding.run(rank_toy, globals().get("snakemake"))
