"""Measure a sweep of beta and select one by the paper's rule."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.sweep import measure_sweep

binding.run(measure_sweep, globals().get("snakemake"))
