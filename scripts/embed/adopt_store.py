"""Take in a store of embeddings that was made elsewhere."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.embed.adopt import adopt_store

binding.run(adopt_store, globals().get("snakemake"))
