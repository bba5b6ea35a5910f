"""Measure which candidates change their order when queries lose modality information."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.removal import measure_ranking

binding.run(measure_ranking, globals().get("snakemake"))
