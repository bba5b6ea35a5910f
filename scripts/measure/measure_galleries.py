"""Find what some atoms of an SAE respond to most."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.measure.galleries import measure_galleries

binding.run(measure_galleries, globals().get("snakemake"))
