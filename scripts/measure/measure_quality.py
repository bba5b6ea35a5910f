"""Measure faithfulness, ranks and structure of one SAE on one store."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.quality import measure_quality

binding.run(measure_quality, globals().get("snakemake"))
