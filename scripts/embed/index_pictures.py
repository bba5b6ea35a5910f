"""Write where every picture of a data set lies in its shards."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.data.shards import index_pictures

binding.run(index_pictures, globals().get("snakemake"))
