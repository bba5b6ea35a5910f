"""List the relative captions of FashionIQ and the pictures that they need."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.data.edits import list_edits

binding.run(list_edits, globals().get("snakemake"))
