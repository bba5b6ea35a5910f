"""Train and test a linear classifier on raw embeddings."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.embeddings import measure_classifier

binding.run(measure_classifier, globals().get("snakemake"))
