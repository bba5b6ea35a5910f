"""Download one file that a data set is published as."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.data.download import download_file

binding.run(download_file, globals().get("snakemake"))
