"""Embed a range of a data set's pictures with a dual encoder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.embed.embed import embed_range

# Worker processes import this file.
if __name__ == "__main__":
    binding.run(embed_range, globals().get("snakemake"))
