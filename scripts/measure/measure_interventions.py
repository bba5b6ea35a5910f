"""Measure what interventions on reconstructions do to gap and retrieval."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.intervened import measure_interventions

binding.run(measure_interventions, globals().get("snakemake"))
