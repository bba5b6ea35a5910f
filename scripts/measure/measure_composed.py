"""Measure composed retrieval with one SAE."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.composed import measure_composed

binding.run(measure_composed, globals().get("snakemake"))
