"""Print where a run's report, tables and figures are, and its headline numbers."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.report.headlines import print_headlines

binding.run(print_headlines, globals().get("snakemake"))
