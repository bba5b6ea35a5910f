"""Put the ranges of a list of links together as a data set."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.data.gather import gather_ranges

binding.run(gather_ranges, globals().get("snakemake"))
