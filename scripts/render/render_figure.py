"""Draw one figure."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.render.figures import render_figure

binding.run(render_figure, globals().get("snakemake"))
