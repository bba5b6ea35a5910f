"""Writes down what a job's Python loads from outside its conda environment, for test_conda.py.

Snakemake puts its own packages at the end of a job's path, where they would stand in, unnoticed,
for what the environment lacks.
"""

import atexit
import os
import sys
import uuid
from pathlib import Path


def _tell() -> None:
    inside = (sys.prefix, sys.base_prefix)
    origins = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    outside = {
        name.partition(".")[0]
        for name, origin in origins.items()
        if origin and "site-packages" in origin and not origin.startswith(inside)
    }
    told = Path(os.environ["ISOENERGY_OUTSIDE"], f"{Path(sys.prefix).name}-{uuid.uuid4().hex}")
    told.write_text("\n".join([Path(sys.argv[0]).name, *sorted(outside)]) + "\n")


if "/.snakemake/conda/" in f"{sys.prefix}/":
    atexit.register(_tell)
