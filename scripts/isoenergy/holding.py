"""Hold the results for one run alone, and see before its first job that they can be written."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import IO

from isoenergy.errors import InputError
from isoenergy.files import TEMPORARY, kind_of
from isoenergy.queued import OWNER, claim
from isoenergy.system_errors import explain


def check_name(results: str) -> None:
    """Refuse a folder for results whose name the rules cannot use.

    Raises
    ------
    InputError
        If its name has braces, which stand for wildcards in the rules.
    """
    if found := sorted(set("{}") & set(results)):
        raise InputError(
            f"results is {results}, which has {' and '.join(found)}; the workflow fills braces in "
            "by itself, name a folder without them"
        )


def check_writable(folder: str | Path, key: str) -> None:
    """Make a folder unless it is there, and refuse one in which no file can be written.

    Parameters
    ----------
    folder : path
    key : str
        What names it, ``results`` or ``--directory``.

    Raises
    ------
    InputError
        If it, or what is above it, is a file, or cannot be written; with the way out.
    """
    place = Path(folder)
    above = [one for one in (place, *place.parents) if one.exists() or one.is_symlink()]
    nearest = above[0] if above else Path()
    if not nearest.is_dir():
        raise InputError(
            f"{key} needs a folder, and {nearest} is {kind_of(nearest)}, not a folder; name another"
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, prefix=".written") as file:
            file.write(b"\0")
            file.flush()
    except OSError as error:
        raise InputError(f"{key} cannot be used: {explain(error) or error}") from None


def hold(results: str | Path) -> IO[str]:
    """Keep a second run out of the same results until :func:`let_go`, or the end of this process.

    What a run that was killed has left half written is removed.

    Parameters
    ----------
    results : path

    Returns
    -------
    file
        The lock, with host and process id of this run.

    Raises
    ------
    InputError
        If the folder cannot be written, or another run holds it.
    """
    check_writable(results, "results")
    handle = Path(results, OWNER).open("a+", encoding="utf-8")  # noqa: SIM115
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"another run is writing to {results}; wait for it, or give this one its own key "
            "results"
        ) from None
    except OSError:
        pass  # a file system without locks: who wrote there last may still be at work
    else:
        handle.seek(0)
        if handle.read():
            remove_halves(results)
    claim(handle, owner())
    return handle


def let_go(handle: IO[str]) -> None:
    """Note in the lock that the run that held it has come to its own end."""
    claim(handle, "")


def remove_halves(results: str | Path) -> int:
    """Remove what was being written when a run was killed, and say how many files and folders."""
    halves = [path for path in Path(results).rglob(".*.tmp") if TEMPORARY.fullmatch(path.name)]
    for path in halves:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(halves)


def owner() -> str:
    """Host and process id of this run."""
    return f"{socket.gethostname()}:{os.getpid()}"
