"""Fetch the pictures of a range of a list of links into one shard."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.data.fetch import fetch_range

binding.run(fetch_range, globals().get("snakemake"))
