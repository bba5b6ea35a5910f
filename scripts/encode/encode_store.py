"""Encode a store with one SAE."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.encode.encode import encode_store

binding.run(encode_store, globals().get("snakemake"))
