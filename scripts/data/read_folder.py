"""Take a data set from a folder of pictures and a table."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.data.folder import read_folder

binding.run(read_folder, globals().get("snakemake"))
