"""One line after Ctrl-C and SIGTERM also in the seconds that `snakemake` takes to start.

`make env` copies both files of this folder into the environment: Python then runs this one first,
as a file `.pth` asks. Once the workflow is read, workflow/rules/ending.smk takes over.
"""

import os
import signal
import sys

INTERRUPTED = "interrupted; what is made is kept, and the same command goes on from there"


def end(number: int, frame: object) -> None:
    """Nothing is running yet that would have to be ended."""
    os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(128 + number)


if any(os.path.basename(word) == "snakemake" for word in sys.orig_argv[1:3]):  # noqa: PTH119
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(number, end)
