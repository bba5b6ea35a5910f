"""Measure interventions on raw embeddings."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.baselines import measure_baselines

binding.run(measure_baselines, globals().get("snakemake"))
