"""The command `dvc`, with the sentence that a stage ended with behind DVC's own last line.

A stage calls Snakemake, whose last line says why it ended (workflow/rules/ending.smk). DVC then
adds that the stage failed. `make dvc-env` makes this the command `dvc`: the workflow hands its
sentences over in a file, which is shown once DVC has ended.
"""

from __future__ import annotations

import os
import sys
import tempfile

from dvc.cli import main

# As isoenergy.ending names it, which this environment does not have.
HANDED_OVER = "ISOENERGY_ENDING"


def run(words: list[str]) -> int:
    """Run DVC, show what its stages handed over, and return its exit status."""
    with tempfile.NamedTemporaryFile("r", prefix="isoenergy-", encoding="utf-8") as told:
        os.environ[HANDED_OVER] = told.name
        status = main(words)
        sentences = dict.fromkeys(told.read().splitlines())
    if status and sentences:
        sys.stdout.flush()
        print(*sentences, sep="\n", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
