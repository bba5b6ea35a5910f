"""Measure one SAE on one store."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.sae import measure_sae

binding.run(measure_sae, globals().get("snakemake"))
