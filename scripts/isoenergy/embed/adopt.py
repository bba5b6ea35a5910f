"""Embeddings made elsewhere, taken into the results where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isoenergy.embed.rows import check_rows
from isoenergy.embed.store import FORMAT, check_ids, check_shapes, encoder_of, open_arrays
from isoenergy.errors import InputError
from isoenergy.files import read_json, write_json


def inspect_store(
    path: str | Path, normalise: bool, beside: str | Path | None = None, whole: bool = False
) -> tuple[int, int]:
    """Rows and width of a store made elsewhere, once its arrays are checked.

    Parameters
    ----------
    path, normalise, beside
        As for :func:`adopt_store`.
    whole : bool
        Read every row; else a first block alone.

    Raises
    ------
    InputError
        As :func:`open_store`, but for ids, or if the two are not of one width or tell encoders
        that differ.
    """
    path = Path(path)
    rows = open_arrays(path, normalise)
    check_shapes(path, rows, {})
    n, dim = rows["image"].shape
    if beside is not None:
        other = open_arrays(Path(beside), normalise)["image"].shape[1]
        if other != dim:
            raise InputError(
                f"{path} has rows of {dim} and {beside} rows of {other}; both must be embeddings "
                "by one encoder"
            )
        encoders = [_encoder(path), _encoder(Path(beside))]
        if all(encoders) and encoders[0] != encoders[1]:
            raise InputError(
                f"{path} and {beside} are by encoders that differ, as their store.json say; both "
                "must be embeddings by one"
            )
    for values in rows.values():
        check_rows(values, None if whole else 1)
    return n, dim


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
        The ``store.json`` to write; it points at ``path``.
    name : str
        Name of the data set in tables.
    normalise : bool
        Scale rows to unit norm whenever they are read.
    beside : path, optional
        Another such folder, by the same encoder: rows must be as wide as its.

    Raises
    ------
    InputError
        As :func:`open_store`, or if the two are not of one width or tell encoders that differ.
    """
    path = Path(path).resolve()
    n, dim = inspect_store(path, normalise, beside, whole=True)
    ids = check_ids(path, n, {})
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
        },
    )


def _encoder(folder: Path) -> dict[str, Any] | None:
    """Which encoder a folder is by, where a store.json that this workflow wrote lies there."""
    path = folder / "store.json"
    return encoder_of(read_json(path)) if path.exists() else None
