"""Draw a set of scenes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.data.scenes import write_scenes

binding.run(write_scenes, globals().get("snakemake"))
