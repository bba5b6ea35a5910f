"""Jobs in a cluster's queue outlive a run that is killed; the next run ends them before it starts.

A run writes who it is into its results. Its jobs note the name that they have in the queue, and do
not start once another run has taken the results over.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import IO

from isoenergy.errors import InputError

# In a run's results: who writes to them, and the names under which its jobs are in the queue.
OWNER, NAMES = ".lock", ".queue"


def claim(handle: IO[str], owner: str) -> None:
    """Write who owns the results into their lock, which the caller holds open."""
    handle.seek(0)
    handle.truncate()
    handle.write(owner)
    handle.flush()


def enlist(results: str | Path, owner: str, name: str) -> None:
    """Note the name in the queue of a job that is about to start.

    Parameters
    ----------
    results : path
    owner : str
        Of the run that submitted the job, as it wrote it with :func:`claim`.
    name : str
        Of the job in the queue; the same for all jobs of a run.

    Raises
    ------
    InputError
        If another run has taken the results over.
    """
    # First the note, then the look: a run that takes over writes its name first, then reads notes.
    noted = Path(results, NAMES, name)
    noted.parent.mkdir(parents=True, exist_ok=True)
    noted.touch()
    found = Path(results, OWNER).read_text(encoding="utf-8")
    if found != owner:
        raise InputError(
            f"this job was submitted by the run {owner}, which is gone, and the run {found} now "
            f"writes to {results}; the job ends without doing anything"
        )


def cancel_left(results: str | Path, patience: float = 300.0, pause: float = 1.0) -> int:
    """Cancel the jobs that earlier runs have left in the queue of SLURM, and wait for their end.

    Parameters
    ----------
    results : path
    patience : float
        Seconds to wait.
    pause : float
        Seconds between two looks.

    Returns
    -------
    int
        How many jobs were cancelled.

    Raises
    ------
    InputError
        If the queue does not answer, or they do not end.
    """
    folder = Path(results, NAMES)
    names = sorted(path.name for path in folder.glob("*"))
    if not names:
        return 0
    left = _in_queue(folder, names)
    count, end = len(left), time.monotonic() + patience
    if left:
        _ask(folder, "scancel", *left)
    while left:
        if time.monotonic() > end:
            raise InputError(
                f"jobs {', '.join(left)} of an earlier run do not end, although they were "
                "cancelled; wait until `squeue --me` no longer shows them, then start again"
            )
        time.sleep(pause)
        left = _in_queue(folder, names)
    shutil.rmtree(folder)
    return count


def _in_queue(folder: Path, names: list[str]) -> list[str]:
    """Numbers of the jobs of these names that wait, run or are ending."""
    return _ask(folder, "squeue", "--noheader", "--format=%i", f"--name={','.join(names)}").split()


def _ask(folder: Path, *command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        failed, told = done.returncode != 0, done.stderr.strip() or "it says nothing"
    except (OSError, subprocess.TimeoutExpired) as error:
        failed, told = True, str(error)
    if failed:
        raise InputError(
            f"jobs of an earlier run may still be in the queue, and {command[0]} cannot tell "
            f"({told}); start again where it can, or remove {folder} if they are gone"
        )
    return done.stdout
