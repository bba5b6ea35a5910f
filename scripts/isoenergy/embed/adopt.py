"""Embeddings made elsewhere, taken into the results where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoenergy.embed.contents import peek, scan
from isoenergy.embed.layout import find_arrays, part_number
from isoenergy.embed.metadata import check_captions, check_ids, check_schema
from isoenergy.embed.rows import CHECKED, Rows
from isoenergy.embed.store import FORMAT, check_shapes, encoder_of, open_arrays
from isoenergy.errors import InputError
from isoenergy.files import read_json, write_json
from isoenergy.progress import LOG

# Ids and captions of so many rows are read in a moment.
_FEW_IDS = 100_000
# Recall is told in batches of so many pairs; of fewer, most numbers are chance.
_FEW_PAIRS = 256


@dataclass(frozen=True)
class Inspected:
    """A store made elsewhere, as far as it was looked at.

    Attributes
    ----------
    image, text : Rows of shape (n, dim)
    notes : tuple of str
        What its owner should know, a sentence each.
    """

    image: Rows
    text: Rows
    notes: tuple[str, ...]


def inspect_store(path: str | Path, normalise: bool, beside: str | Path | None = None) -> Inspected:
    """Look at a store made elsewhere, in a moment: files and headers, and the first rows of it.

    Parameters
    ----------
    path, normalise, beside
        As for :func:`adopt_store`.

    Raises
    ------
    InputError
        As :func:`adopt_store` for what is found without reading all of it.
    """
    path = Path(path)
    sides = _open(path, normalise, _description(path))
    parts = list(zip(find_arrays(path)["image"], sides[0].lengths, strict=True))
    notes = [*_told_types(sides), *_told_start(parts[0][0])]
    others = _open_beside(path, sides[0], normalise, beside)
    notes += _told_few(path, len(sides[0]), others)
    check_schema(path, parts)
    if len(sides[0]) <= _FEW_IDS:
        check_ids(path, len(sides[0]), {})
        check_captions(path)
    notes += peek(*sides, others, str(beside))
    return Inspected(*sides, tuple(notes))


def adopt_store(
    path: str | Path,
    description_path: str | Path,
    name: str,
    normalise: bool,
    beside: str | Path | None = None,
) -> None:
    """Take a store made elsewhere into the results, by reference and after a full check.

    Parameters
    ----------
    path : path
        Folder in the clip-retrieval layout, or with ``image.npy`` and ``text.npy``.
    description_path : path
        The ``store.json`` to write; it points at ``path``. Its ``notes`` say what is doubtful.
    name : str
        Name of the data set in tables.
    normalise : bool
        Scale rows to unit norm whenever they are read.
    beside : path, optional
        The folder that SAEs are trained on, by the same encoder: rows must be as wide as its.

    Raises
    ------
    InputError
        As :func:`isoenergy.embed.store.open_store`; if a part is missing by the numbers of the
        others, or by a ``store.json`` of this format that lies there; if the two are not of one
        width, tell encoders that differ, or hold the same pairs; if rows say nothing, see
        :func:`isoenergy.embed.contents.scan`.
    """
    path = Path(path).resolve()
    sides = _open(path, normalise, _description(path))
    others = _open_beside(path, sides[0], normalise, beside)
    ids = check_ids(path, len(sides[0]), {})
    check_captions(path)
    notes = [*_told_few(path, len(sides[0]), others), *scan(*sides, others, str(beside))]
    # Of a store that a first look sees whole it was said before.
    for note in notes if len(sides[0]) > CHECKED else ():
        LOG.warning("note: %s", note)
    n, dim = sides[0].shape
    write_json(
        description_path,
        {
            "format": FORMAT,
            "location": str(path),
            "dataset": name,
            "model": "store",
            "kind": "pairs",
            "rows": n,
            "dim": dim,
            "normalise": normalise,
            "ids": {"metadata": ids},
            "notes": notes,
        },
    )


def _open(path: Path, normalise: bool, description: Mapping[str, Any]) -> tuple[Rows, Rows]:
    # A workflow's own store may leave numbers out, and says how many rows there are.
    rows = open_arrays(path, normalise, numbered="parts" not in description)
    check_shapes(path, rows, description)
    image, text = rows["image"], rows["text"]
    if len(image) == 1:
        raise InputError(f"{path} holds 1 pair; an SAE is trained on many, embed more")
    if _files(path, "image") == _files(path, "text"):
        raise InputError(
            f"{text.where} is the same as {image.where}; put the embeddings of the texts there"
        )
    return image, text


def _open_beside(
    path: Path, image: Rows, normalise: bool, beside: str | Path | None
) -> tuple[Rows, Rows] | None:
    """Images and texts of the store that SAEs are trained on; None where that is this one."""
    if beside is None or Path(beside).resolve() == path.resolve():
        return None
    if all(_files(path, side) == _files(Path(beside), side) for side in ("image", "text")):
        raise InputError(
            f"{path} has the arrays of {beside}, on which SAEs are trained; a second store is to "
            "hold others"
        )
    rows = open_arrays(Path(beside), normalise)
    other = rows["image"].shape[1]
    if other != image.shape[1]:
        raise InputError(
            f"{path} has rows of {image.shape[1]} and {beside} rows of {other}; both must be "
            "embeddings by one encoder"
        )
    encoders = [_encoder(path), _encoder(Path(beside))]
    if all(encoders) and encoders[0] != encoders[1]:
        raise InputError(
            f"{path} and {beside} are by encoders that differ, as their store.json say; both "
            "must be embeddings by one"
        )
    return rows["image"], rows["text"]


def _files(folder: Path, side: str) -> list[Path]:
    """Files of one side, wherever links lead."""
    return [file.resolve() for file in find_arrays(folder)[side]]


def _told_types(sides: tuple[Rows, Rows]) -> list[str]:
    types = [", ".join(rows.cast) for rows in sides]
    if types[0] == types[1]:
        both = f"{sides[0].where} and {sides[1].name} are"
        return [f"{both} {types[0]}, and read as float32"] if types[0] else []
    return [
        f"{rows.where} is {told}, and read as float32"
        for rows, told in zip(sides, types, strict=True)
        if told
    ]


def _told_start(first: Path) -> list[str]:
    if not part_number(first):
        return []
    return [f"the first part is {first}; any before it would be missing"]


def _told_few(path: Path, pairs: int, others: tuple[Rows, Rows] | None) -> list[str]:
    """Of a second store; of the first its batches of training are told."""
    if others is None or pairs >= _FEW_PAIRS:
        return []
    return [f"{path} has only {pairs} pairs, so that most of what is measured on them is chance"]


def _description(folder: Path) -> Mapping[str, Any]:
    """What a ``store.json`` in a folder says, where this workflow wrote it."""
    path = folder / "store.json"
    told = read_json(path) if path.exists() else {}
    ours = isinstance(told, Mapping) and told.get("format") == FORMAT
    return told if ours else {}


def _encoder(folder: Path) -> dict[str, Any] | None:
    """Which encoder a folder is by, where a store.json that this workflow wrote lies there."""
    path = folder / "store.json"
    return encoder_of(read_json(path)) if path.exists() else None
