"""Finished parts of a store on disk: a record each, with arrays and metadata beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isoenergy.errors import InputError
from isoenergy.files import hash_strings, open_npy, read_json, read_parquet

# What a record tells: which part it is, how many rows it has and which were left out and why, the
# hash of their ids, and how they were embedded.
RECORD = ("number", "rows", "dropped", "ids", "encoder", "precision", "dtype")


def record_path(folder: Path, number: int) -> Path:
    """Where the record of a part lies; it is written last."""
    return folder / f"part_{number:04d}.json"


def list_records(folder: str | Path) -> list[Path]:
    """The records in a folder, by number of the part."""
    return sorted(Path(folder).glob("part_*.json"))


def part_file(part: Mapping[str, Any], prefix: str, suffix: str = "npy") -> Path:
    """A file of a part that was read, by what its name begins with."""
    return part["folder"] / f"{prefix}_{part['number']:04d}.{suffix}"


def read_part(path: Path) -> dict[str, Any]:
    """Read the record of a part, and check that the files beside it are whole.

    Parameters
    ----------
    path : path
        ``part_NNNN.json``.

    Returns
    -------
    dict
        With the keys ``RECORD``, and ``folder``.

    Raises
    ------
    InputError
        If a file is missing, truncated, or of another part; says which folder to delete.
    """
    try:
        return _read(path)
    except InputError as error:
        reason = str(error).partition(";")[0]
        raise InputError(f"{reason}; delete {path.parent} and run again") from None


def _read(path: Path) -> dict[str, Any]:
    part = read_json(path)
    if not isinstance(part, dict) or part.keys() != set(RECORD):
        raise InputError(f"{path} is not the record of a part")
    part["folder"] = path.parent
    if part["rows"]:
        metadata = part_file(part, "metadata", "parquet")
        if hash_strings(read_parquet(metadata, ["id"])["id"]) != part["ids"]:
            raise InputError(f"{metadata} holds other rows than {path.name} tells")
        for array in sorted(path.parent.glob(f"*_emb_{part['number']:04d}.npy")):
            if len(open_npy(array)) != part["rows"]:
                raise InputError(f"{array} holds other rows than {path.name} tells")
    return part
