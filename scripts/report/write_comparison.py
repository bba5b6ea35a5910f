"""Compare a run with the paper: its numbers and its claims."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.report.comparison import write_comparison

binding.run(write_comparison, globals().get("snakemake"))
