"""Write the cosine histograms of one store."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.embeddings import measure_cosines

binding.run(measure_cosines, globals().get("snakemake"))
