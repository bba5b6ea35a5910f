"""Train a small dual encoder from scratch."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import binding
from isoenergy.embed.pretrain import train_encoder

binding.run(train_encoder, globals().get("snakemake"))
