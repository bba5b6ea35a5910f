"""Count where the rows of data sets went."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.accounting import count_rows

binding.run(count_rows, globals().get("snakemake"))
