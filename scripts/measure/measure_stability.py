"""Measure how far apart dictionaries of different seeds are."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.stability import measure_stability

binding.run(measure_stability, globals().get("snakemake"))
