"""Paths of configs and registries: one spelling for one place, and names of files made of them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from isoenergy.errors import InputError

# What file systems allow for one folder or file, in bytes.
LONGEST_PART = 255
# And for a whole path.
LONGEST_PATH = 4095
# A name stands several times in a file name, such as that of a log.
LONGEST_NAME = 40
_DIGEST = 8
# Snakemake takes a wildcard with such an end for a rule that goes round in circles.
REPEATED = re.compile(r"(.+)\1{19}$")


def canonical(path: str, follow: bool = True) -> str:
    """The one spelling of a path: relative in the working directory, absolute anywhere else.

    So results do not depend on how a path is spelled, and a working directory can be moved.

    Parameters
    ----------
    path : str
        ``~`` is the home directory.
    follow : bool
        Whether links are followed to what they lead to.

    Raises
    ------
    InputError
        If no file system can have it.
    """
    told = at_home(path)
    if "\0" in path or len(os.fsencode(told)) > LONGEST_PATH:
        raise InputError(f"no path has a zero byte or is longer than {LONGEST_PATH} bytes")
    for part in told.parts:
        if len(os.fsencode(part)) > LONGEST_PART:
            raise InputError(
                f"{part[:20]}... has {len(os.fsencode(part))} bytes; at most {LONGEST_PART} are "
                "allowed between slashes, choose a shorter name"
            )
    full = Path(os.path.realpath(told) if follow else os.path.normpath(told.absolute()))
    for above in (full, *full.parents):
        if _is_here(above):
            return str(full.relative_to(above))
    return str(full)


def at_home(path: str) -> Path:
    """A path whose ``~`` is the home directory, where there is one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_folder(path: str | Path) -> bool:
    """Whether a path leads to a folder, as far as this user may see."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def _is_here(folder: Path) -> bool:
    try:
        return folder.samefile(Path())
    except OSError:
        return False


def canonical_paths(config: Mapping[str, Any], schema: Mapping[str, Any], key: str = "") -> dict:
    """A config whose paths have one spelling each.

    Parameters
    ----------
    config : mapping
    schema : mapping
        It says ``x-path: read`` of a path whose links are followed, and ``x-path: kept`` of one
        whose links are not.
    key : str
        Where in the config this is, with dots.

    Raises
    ------
    InputError
        Names the key of a path that no file system can have.
    """

    def of(value: Any, described: Mapping[str, Any], name: str) -> Any:
        if isinstance(value, Mapping):
            return canonical_paths(value, described, f"{key}{name}.")
        if not isinstance(value, str) or "x-path" not in described:
            return value
        try:
            return canonical(value, described["x-path"] == "read")
        except InputError as error:
            raise InputError(f"key {key}{name}: {error}") from None

    further = schema.get("additionalProperties")
    further = further if isinstance(further, Mapping) else {}
    return {
        name: of(value, schema.get("properties", {}).get(name, further), name)
        for name, value in config.items()
    }


def state_of(paths: Iterable[Path]) -> list[str]:
    """Where files lie, their sizes and times: what shows that a file of the user's has changed.

    A link that leads to another file shows too, also when size and time are the same.
    """
    told = [(canonical(str(path)), path.stat()) for path in paths]
    return [f"{path} {state.st_size} {state.st_mtime_ns}" for path, state in told]


def links_in(folder: str | Path) -> list[str]:
    """Where the linked folders of a folder lead to, whose files are too many to be listed."""
    if not is_folder(folder):
        return []
    linked = (path for path in Path(folder).iterdir() if path.is_symlink() and is_folder(path))
    return [f"{path.name} {canonical(str(path))}" for path in sorted(linked)]


def name_of(folder: str) -> str:
    """A name for what lies in a folder, fit for paths and wildcards and not too long for either.

    Examples
    --------
    >>> name_of("/data/My store!")
    'My-store'
    >>> name_of("/data/" + 200 * "x")
    'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-aa20c23e'
    """
    own = Path(os.path.realpath(folder)).name
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", own).strip("-.") or "store"
    if len(name) <= LONGEST_NAME and not REPEATED.search(name):
        return name
    digest = hashlib.sha256(os.fsencode(own)).hexdigest()[:_DIGEST]
    return f"{name[: LONGEST_NAME - _DIGEST - 1].rstrip('-.')}-{digest}"
