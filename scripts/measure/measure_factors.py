"""Measure which known factors the atoms of one SAE follow."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.sae import measure_factors

binding.run(measure_factors, globals().get("snakemake"))
