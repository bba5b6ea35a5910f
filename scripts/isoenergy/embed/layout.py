"""Where the arrays of a store lie: in parts, as clip-retrieval has them, or in two plain files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from isoenergy.errors import InputError

ARRAYS = {"image": "img_emb", "text": "text_emb", "source": "source_emb"}
PLAIN = {"image": "image.npy", "text": "text.npy"}
# Class vectors of labelled classes.
CLASSES = "classes.npy"
ALLOWED = (
    "a store holds img_emb/img_emb_0000.npy and text_emb/text_emb_0000.npy, or two plain files "
    "image.npy and text.npy"
)
# How many names of files a message lists.
_LISTED = 5


def find_arrays(folder: Path) -> dict[str, list[Path]]:
    """The files of every array of a store, in the order of their numbers.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict of {"image", "text", "source"} to list of Path
        ``source`` only where there is such a folder.

    Raises
    ------
    InputError
        If an array is missing, if both layouts are there, or if images and texts are in as many
        parts but under other numbers.
    """
    parts = {name: _numbered(folder / prefix, f"{prefix}_*.npy") for name, prefix in ARRAYS.items()}
    plain = {name: folder / file for name, file in PLAIN.items() if (folder / file).is_file()}
    in_parts = [name for name in PLAIN if parts[name]]
    if plain and in_parts:
        raise InputError(
            f"{folder} has {PLAIN[next(iter(plain))]} and {ARRAYS[in_parts[0]]}/; keep one of both"
        )
    for name in PLAIN:
        if name not in plain and not parts[name]:
            missing = PLAIN[name] if plain else f"{ARRAYS[name]}/{ARRAYS[name]}_*.npy"
            raise InputError(f"{folder} has no {missing}{_told(folder)}; {ALLOWED}")
    if plain:
        return {name: [path] for name, path in plain.items()}
    _check_numbers(parts)
    return {
        name: paths for name, paths in parts.items() if paths or (folder / ARRAYS[name]).is_dir()
    }


def find_metadata(folder: Path) -> list[Path]:
    """The parquet files of a store's metadata in the order of their numbers; none without any."""
    return _numbered(folder / "metadata", "*.parquet")


def store_files(folder: str | Path) -> list[Path]:
    """Every file of a store, so that a change can be noticed; others in its folder are left out."""
    folder = Path(folder)
    names = [f"{prefix}/*.npy" for prefix in ARRAYS.values()]
    names += [*PLAIN.values(), CLASSES, "metadata/*.parquet"]
    return sorted(path for name in names for path in folder.glob(name) if path.is_file())


def _numbered(folder: Path, pattern: str) -> list[Path]:
    """Files by the numbers in their names, so that part 10 comes after part 9."""
    return sorted(folder.glob(pattern), key=lambda path: (_numbers(path), path.name))


def _numbers(path: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"[0-9]+", path.stem)]


def _check_numbers(parts: Mapping[str, list[Path]]) -> None:
    if len(parts["image"]) != len(parts["text"]):
        return  # cut otherwise, which is allowed; their rows are counted
    for image, text in zip(parts["image"], parts["text"], strict=True):
        if _numbers(image) != _numbers(text):
            raise InputError(
                f"{image} and {text.name} have the same place among their parts but not the same "
                "number; a part is missing, copy or make it again"
            )


def _told(folder: Path) -> str:
    """What arrays a folder has instead, for messages."""
    found = sorted(
        str(path.relative_to(folder))
        for pattern in ("*.np[yz]", "*/*.np[yz]")
        for path in folder.glob(pattern)
    )
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f" (it has {', '.join(found[:_LISTED])}{more})" if found else ""
