"""Make an embedding store of the parts that range after range was embedded in."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.embed.join import join_ranges

binding.run(join_ranges, globals().get("snakemake"))
