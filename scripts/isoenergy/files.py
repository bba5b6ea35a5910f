"""Writing files so that one that exists is whole, and the few formats every stage shares."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import resource
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from isoenergy.errors import InputError
from isoenergy.system_errors import WRITING

# Names of what is being written, as tempfile makes them.
TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")


@contextmanager
def _noted(path: Path) -> Iterator[None]:
    """Name what is written in an error, of which the system's own often says no name."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, InputError):
            error.add_note(f"{WRITING}{path}")
        raise


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path``; renamed to it when the block ends well, else removed.

    The temporary name is unique to the process, so a job that outlives a killed run cannot spoil
    the file of the run that replaces it. What is raised has a note that names ``path``.
    """
    path = Path(path)
    with _noted(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """As :func:`replacing`, for a folder; an existing folder of that name is replaced."""
    path = Path(path)
    with _noted(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


# What numpy raises where a header is spoilt; it is read as Python, but as literals alone.
_UNREADABLE = (
    *(ValueError, TypeError, OSError, EOFError, OverflowError),
    *(TokenError, SyntaxError, MemoryError, RecursionError),
)
# So does numpy say what it would have to unpickle.
_OBJECTS = "Python objects"
# What may stand in the place of a file or a folder, for messages.
_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_file(path: str | Path) -> None:
    """Refuse what is no regular file, before it is opened: reading a pipe may never end.

    Raises
    ------
    InputError
        If nothing is there, a link leads nowhere, or it is a folder, a pipe, a socket or a device.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise InputError(
                f"{path} is a link to {path.readlink()}, which does not exist; link it to the "
                "file, or copy the file there"
            ) from None
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is {kind_of(path)}, and a file is needed; put the file there")


def kind_of(path: str | Path) -> str:
    """What lies at a path, for messages: a file, a folder, a device, a link to nothing, ..."""
    try:
        return _KINDS.get(stat.S_IFMT(Path(path).stat().st_mode), "no regular file")
    except OSError:
        return "a link to nothing" if Path(path).is_symlink() else "nothing"


def visible(paths: Iterable[Path]) -> list[Path]:
    """Paths in order, but those whose names begin with a dot, and macOS's ``__MACOSX``.

    macOS writes a file ``._NAME`` beside every file on a disk of another system, and packs such
    files in ``__MACOSX`` of an archive.
    """
    return sorted(path for path in paths if is_visible(path.name))


def is_visible(name: str) -> bool:
    """Whether a file or folder of this name is one that its owner made."""
    return not name.startswith(".") and name != "__MACOSX"


def link_file(source: str | Path, target: str | Path) -> None:
    """Give a file a second name, or a copy where the file system has no links."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically, keys sorted, without NaN or infinity.

    Raises
    ------
    ValueError
        If ``content`` holds NaN or infinity.
    """
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON, with or without a byte order mark.

    Raises
    ------
    InputError
        If the file is missing, truncated or not JSON.
    """
    check_file(path)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); {_way_out(path)}") from None


def write_npy(path: str | Path, array: np.ndarray) -> None:
    """Write one array as ``.npy`` atomically, never pickled."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


@contextmanager
def growing_npy(path: str | Path, dtype: type) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a ``.npy`` array of one dimension piece by piece, atomically.

    Yields a function that appends a piece of shape (n,). The file has the bytes of
    :func:`write_npy` of all pieces together, which are never in memory together.
    """
    length = 0
    with replacing(path) as temporary, temporary.open("wb") as file:

        def header() -> None:
            # numpy pads headers so that they keep their length however long the array grows.
            told = np.lib.format.header_data_from_array_1_0(np.empty(0, dtype))
            np.lib.format.write_array_header_1_0(file, {**told, "shape": (length,)})

        def append(piece: np.ndarray) -> None:
            nonlocal length
            file.write(np.ascontiguousarray(piece, dtype).data)
            length += len(piece)

        header()
        yield append
        file.seek(0)
        header()


def open_npy(path: str | Path) -> np.ndarray:
    """Memory-map one ``.npy`` file read-only.

    Raises
    ------
    InputError
        If the file is missing, no regular file, truncated, not ``.npy`` or holds pickled objects.
    """
    check_file(path)
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except _UNREADABLE as error:
        if getattr(error, "errno", None) == errno.EMFILE and _may_open_more():
            return open_npy(path)
        if _OBJECTS in str(error):
            raise InputError(
                f"{path} cannot be read as a .npy array (it holds Python objects, which are never "
                "unpickled); save it again as numbers"
            ) from None
        raise InputError(f"{path} cannot be read as a .npy array {_reason(path, error)}") from None


def _may_open_more() -> bool:
    """Raise the number of files that may be open as far as is allowed; False where it is there.

    Every part of a store is an open file, and the usual limit of 1,024 is that of 500 pairs of
    parts.
    """
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == most:
        return False
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] != allowed


def write_parquet(path: str | Path, table: Any) -> None:
    """Write a pandas DataFrame as parquet atomically, without its index."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_parquet(path: str | Path, columns: list[str] | None = None) -> Any:
    """Read a parquet file into a pandas DataFrame.

    Raises
    ------
    InputError
        If the file is missing, broken, or lacks one of ``columns``.
    """
    import pandas as pd
    import pyarrow as pa

    check_file(path)
    try:
        return pd.read_parquet(path, columns=columns)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} cannot be read as parquet {_reason(path, error)}") from None


def read_csv(path: str | Path, columns: Sequence[str], text: Collection[str]) -> Any:
    """Read a table of results that was written as CSV into a pandas DataFrame.

    Parameters
    ----------
    path : path
    columns : sequence of str
        All columns, in order.
    text : collection of str
        Those of text, in which no word stands for an empty cell: a model may be called "NA". The
        others are of numbers, empty where there is none.

    Raises
    ------
    InputError
        If the file is missing, truncated, no CSV, or has other columns.
    """
    import pandas as pd

    numbers = [name for name in columns if name not in text]
    dtype, missing = dict.fromkeys(text, str), dict.fromkeys(numbers, "")
    check_file(path)
    content = Path(path).read_bytes()
    if not content.endswith(b"\n"):
        raise InputError(f"{path} is truncated; {_way_out(path)}")
    source = io.BytesIO(content)
    try:
        table = pd.read_csv(source, dtype=dtype, keep_default_na=False, na_values=missing)
        if list(table.columns) == list(columns) and len(table):
            table[numbers].astype(float)
    except ValueError as error:  # of pandas' own kinds as well
        raise InputError(f"{path} cannot be read as CSV {_reason(path, error)}") from None
    if list(table.columns) != list(columns):
        raise InputError(f"{path} has other columns than {', '.join(columns)}; {_way_out(path)}")
    return table


def _reason(path: str | Path, error: Exception) -> str:
    """Why a file cannot be read, and the way out unless the file may be whole."""
    first = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, OSError) and error.errno is not None:
        return f"({first})"
    return f"({first}), it may be truncated; {_way_out(path)}"


def _way_out(path: str | Path) -> str:
    """What to do about a broken file; the workflow misses a part of a store with its folder."""
    part = re.fullmatch(r"\w+_\d{4}\.(npy|parquet)", Path(path).name)
    made = f"the folder {Path(path).parent}" if part else "it"
    return f"copy it again if it is your own, else delete {made} and run again"


def hash_strings(strings: Iterable[str]) -> str:
    """SHA-256 over strings and their order; 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for string in strings:
        digest.update(string.encode("utf-8"))
        digest.update(b"\0")
    return digest.hexdigest()


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file's content; 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
