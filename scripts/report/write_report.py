"""Write the report."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.report.page import write_report

binding.run(write_report, globals().get("snakemake"))
