"""Draw a few examples of every data set."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.data.examples import write_examples

binding.run(write_examples, globals().get("snakemake"))
