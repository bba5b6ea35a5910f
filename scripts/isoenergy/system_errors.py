"""Errors of the operating system and of memory, each said in one sentence.

Where a job or a run ends, :func:`explain` turns what was raised into what could not be done, what
is at hand, and what to do. Code that writes or allocates raises as it is.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from isoenergy.errors import InputError

KEPT = "what was made before is kept, and the same command goes on from there"
NO_SPACE = "no space is left on the disk"
# Note on an exception, which says what was being written; see isoenergy.files.
WRITING = "while writing "

# Where libraries put the system's error into text alone: what they write, and its number.
TEXTS = {
    r"No space left on device|\d+ requested and \d+ written": errno.ENOSPC,
    r"Disk quota exceeded": errno.EDQUOT,
    r"Read-only file system": errno.EROFS,
    r"Too many open files": errno.EMFILE,
    r"can't start new thread": errno.EAGAIN,
}
OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
NUMBER = re.compile(r"\(os error (\d+)\)|\[[Ee]rrno (\d+)\]")
GPU_MEMORY = re.compile(r"(CUDA|HIP)( error:)? out of memory|CUBLAS_STATUS_ALLOC_FAILED")
# The last is of a library that is loaded; of a file system without `exec` it says more behind it.
MEMORY = re.compile(
    r"can't allocate memory|Cannot allocate memory|std::bad_alloc|"
    r"failed to map segment from shared object$"
)
ASKED = re.compile(
    r"(?:[Uu]nable to allocate|[Tt]ried to allocate|malloc of size) ([\d.]+)"
    r"(?: ?([KMGTP]?i?B|bytes))?"
)
UNITS = {"B": 1, "bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
# Below this many bytes a disk counts as full.
FULL = 1_000_000
OTHER_FOLDER = "`--config results=FOLDER` puts results elsewhere"


def explain(error: BaseException, place: str = "") -> str | None:
    """One sentence for an error of the system or of memory, or for what was raised because of one.

    Parameters
    ----------
    error : exception
        With what it was raised from.
    place : path
        Where a disk that is full is looked for, if the error does not say what was written.

    Returns
    -------
    str or None
        None for every other error.
    """
    for one in chain(error):
        if told := _out_of_memory(one):
            return told
        number = _number(one)
        if number in SENTENCES:
            path = _path(one, of_disk=number in OF_DISK)
            return no_space(path, place) if number == errno.ENOSPC else SENTENCES[number](path)
    return None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and those that it was raised from or because of, `from None` or not."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def _number(error: BaseException) -> int | None:
    if isinstance(error, InputError):
        return None
    if isinstance(error, OSError) and error.errno:
        return error.errno
    text = str(error)
    if found := NUMBER.search(text):
        return int(found[1] or found[2])
    return next((number for told, number in TEXTS.items() if re.search(told, text)), None)


def _path(error: BaseException, of_disk: bool) -> str:
    """What an error is about; where a disk is full, what was to be written, not its first name."""
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(WRITING)]
    written = notes[-1].removeprefix(WRITING) if notes else ""
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    named = os.fsdecode(name) if isinstance(name, str | bytes) else ""
    return written or named if of_disk else named or written


def _out_of_memory(error: BaseException) -> str | None:
    text = str(error)
    if isinstance(error, InputError):
        return None
    if type(error).__name__ == "OutOfMemoryError" or GPU_MEMORY.search(text):
        return (
            f"the memory of the GPU is full{_asked(text)}; end other programs that use it "
            f"(`nvidia-smi`), or lower embed.batch_size where embeddings are made; {KEPT}"
        )
    short = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if isinstance(error, MemoryError) or short or MEMORY.search(text):
        return (
            f"memory is full{_asked(text)}; end other programs, run fewer jobs at a time "
            "(`--cores 1`), or lower what a job holds (sae_training.memory, encode.block, "
            f"embed.batch_size); {KEPT}"
        )
    return None


def _asked(text: str) -> str:
    found = ASKED.search(text)
    if not found:
        return ""
    return f": {in_words(float(found[1]) * UNITS.get(found[2] or 'B', 1))} were asked for at once"


def in_words(count: float) -> str:
    """Bytes as GB, MB or kB: `4,096 GB`, `12 MB`."""
    name, unit = next(
        u for u in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if count >= u[1] or u[1] < 1e4
    )
    return f"{count / unit:,.1f}".removesuffix(".0") + f" {name}"


def no_space(path: str, place: str = "") -> str:
    """Say that the disk of a path is full, or without one that of a place."""
    disk = _existing(path or place)
    while not disk.is_mount():
        disk = disk.parent
    usage, files = shutil.disk_usage(disk), os.statvfs(disk)
    left = f"{NO_SPACE} at {disk}, of {in_words(usage.total)}"
    if files.f_files and not files.f_favail:
        left = f"no further file fits on the disk at {disk}, which has no inodes left"
    elif usage.free >= FULL:
        left += (
            f" ({in_words(usage.free)} are free, less than was to be written or none of it yours)"
        )
    return f"{_cannot_write(path)}{left}; make room, or {OTHER_FOLDER}; {KEPT}"


def is_full(path: str | Path) -> bool:
    """Whether the disk of a path has no room for another small file."""
    usage = os.statvfs(_existing(path))
    return usage.f_bavail * usage.f_frsize < FULL


def _existing(path: str | Path) -> Path:
    """The nearest folder at or above a path that exists."""
    place = Path(path or ".").absolute()
    return next(one for one in (place, *place.parents) if one.is_dir())


def _cannot_write(path: str) -> str:
    return f"{path} cannot be written: " if path else ""


def _quota(path: str) -> str:
    return (
        f"{_cannot_write(path)}your quota on the disk of {_existing(path)} is used up; delete what "
        f"is not needed, ask for more, or {OTHER_FOLDER}; {KEPT}"
    )


def _read_only(path: str) -> str:
    return (
        f"{_cannot_write(path)}the file system of {_existing(path)} is read-only; {OTHER_FOLDER}, "
        "and `--directory FOLDER` what Snakemake notes for itself"
    )


def _denied(path: str) -> str:
    name = path or "a file"
    return (
        f"{name} may not be read or written by this user; give the right to it (`chmod`, `chown`), "
        f"or name another; {OTHER_FOLDER}"
    )


def _open_files(path: str) -> str:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        f"{path + ' cannot be opened: ' if path else ''}too many files are open, of {allowed} that "
        f"are allowed; raise the limit (`ulimit -n {max(2 * allowed, 4096)}`); {KEPT}"
    )


def _processes(path: str) -> str:
    return (
        "no further process or thread may be started; raise the limit (`ulimit -u`), or run fewer "
        f"jobs at a time (`--cores 1`); {KEPT}"
    )


def _disk_fails(path: str) -> str:
    return (
        f"{path or 'a file'} cannot be read or written: its disk or network share fails; see that "
        f"it answers, then start again; {KEPT}"
    )


def _file_in_the_way(path: str) -> str:
    above = [place for place in Path(path).absolute().parents if place.is_file()] if path else []
    named = f"{above[0]} is a file, where a folder is needed" if above else "a file is in the way"
    return f"{path or 'a folder'} cannot be made: {named}; rename one of the two"


def _too_large(path: str) -> str:
    return (
        f"{_cannot_write(path)}it would be larger than this file system or `ulimit -f` allows; "
        f"raise the limit, or {OTHER_FOLDER}; {KEPT}"
    )


SENTENCES = {
    errno.ENOSPC: no_space,
    errno.EDQUOT: _quota,
    errno.EROFS: _read_only,
    errno.EACCES: _denied,
    errno.EPERM: _denied,
    errno.EMFILE: _open_files,
    errno.ENFILE: _open_files,
    errno.EAGAIN: _processes,
    errno.EIO: _disk_fails,
    errno.ESTALE: _disk_fails,
    errno.ENOTCONN: _disk_fails,
    errno.ENOTDIR: _file_in_the_way,
    errno.EFBIG: _too_large,
}
