"""Write a list of links to pictures with captions."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.data.links import list_links

binding.run(list_links, globals().get("snakemake"))
