"""Measure the raw embeddings of one store."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.embeddings import measure_embeddings

binding.run(measure_embeddings, globals().get("snakemake"))
