"""Lay out the atoms of one SAE in a plane."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.layout import measure_layout

binding.run(measure_layout, globals().get("snakemake"))
