"""Draw points on a sphere that show what closes a modality gap."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.toy.sketch import write_sketch

binding.run(write_sketch, globals().get("snakemake"))
