"""Render one table."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.render.tables import render_table

binding.run(render_table, globals().get("snakemake"))
