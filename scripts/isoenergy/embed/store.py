"""The embedding store: the clip-retrieval layout, checked whenever it is opened.

``img_emb/img_emb_0000.npy`` and ``text_emb/text_emb_0000.npy`` (float16 or float32, any number of
parts) hold unit-norm rows; image row i and text row i are one pair. ``metadata/*.parquet`` has a
row per pair, its ``id`` first. ``store.json`` says what made it and holds hashes of the row ids
that each part was made from. A store made elsewhere may lack metadata and ``store.json``, may have
two plain files, ``image.npy`` and ``text.npy``, instead of parts, and arrays of any floating-point
type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isoenergy.embed.layout import ARRAYS, CLASSES, check_numbering, find_arrays
from isoenergy.embed.metadata import check_ids, read_metadata
from isoenergy.embed.rows import Rows, check_array, check_rows
from isoenergy.errors import InputError
from isoenergy.files import (
    hash_strings,
    open_npy,
    read_json,
    replacing_folder,
    write_json,
    write_npy,
    write_parquet,
)

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "isoenergy-store-1"


@dataclass(frozen=True)
class EmbeddingStore:
    """An opened, checked store.

    Attributes
    ----------
    path : Path
        Its folder.
    image, text : Rows of shape (n, dim)
    source : Rows of shape (n, dim) or None
        For edits: the source picture of each row (``image`` is the target).
    classes : ndarray of shape (n_classes, dim) or None
        For labelled classes: the class vectors; ``text`` repeats them by label.
    description : dict
        What ``store.json`` says.
    """

    path: Path
    image: Rows
    text: Rows
    source: Rows | None
    classes: np.ndarray | None
    description: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.image)

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self.image.shape[1]

    @property
    def encoder(self) -> dict[str, Any] | None:
        """``checkpoint`` and ``revision`` that it is by, where ``store.json`` tells."""
        return encoder_of(self.description)

    def metadata(self) -> pd.DataFrame:
        """Metadata of every row, in row order; only ``id`` where the store has none."""
        return read_metadata(_location(self.path, self.description), len(self))


def encoder_of(description: object) -> dict[str, Any] | None:
    """``checkpoint`` and ``revision`` of the encoder that a ``store.json`` tells, if it does."""
    told = description.get("encoder") if isinstance(description, Mapping) else None
    if not isinstance(told, Mapping) or not told.get("checkpoint"):
        return None
    return {key: told.get(key) for key in ("checkpoint", "revision")}


def read_description(path: str | Path) -> dict[str, Any]:
    """What a ``store.json`` says.

    Raises
    ------
    InputError
        If it is missing or broken.
    """
    description = read_json(path)
    if not isinstance(description, dict):
        raise InputError(f"{path} does not describe a store; delete it and run again")
    return description


def _location(path: Path, description: Mapping[str, Any]) -> Path:
    return Path(description.get("location") or path)


def open_store(path: str | Path, check_values: bool = True) -> EmbeddingStore:
    """Open a store and check it.

    Parameters
    ----------
    path : path
        The store's folder, or its ``store.json``.
    check_values : bool
        Also read every row to check that it is finite and has unit norm.

    Raises
    ------
    InputError
        One sentence for: a missing or truncated file, arrays of different length or width, a
        dtype that is not of floating-point numbers, values that are not finite, rows that are zero
        or not of unit norm, ids that are repeated or differ between pictures, texts and metadata.
    """
    path = Path(path)
    folder = path.parent if path.name == "store.json" else path
    described = (folder / "store.json").exists()
    description = read_description(folder / "store.json") if described else {}
    location = _location(folder, description)
    if not location.is_dir():
        raise InputError(f"{location} is not a folder; an embedding store is a folder")
    normalise = bool(description.get("normalise"))
    rows = open_arrays(location, normalise)
    check_shapes(location, rows, description)
    check_ids(location, len(rows["image"]), description)
    classes = None
    if (location / CLASSES).exists():
        classes = np.asarray(open_npy(location / CLASSES), dtype=np.float32)
        if classes.ndim != 2 or classes.shape[1] != rows["image"].shape[1]:
            raise InputError(
                f"{location / 'classes.npy'} has shape {classes.shape}; allowed are rows as wide "
                f"as the embeddings, {rows['image'].shape[1]}"
            )
    if check_values:
        for values in rows.values():
            check_rows(values)
    return EmbeddingStore(
        folder, rows["image"], rows["text"], rows.get("source"), classes, description
    )


def open_arrays(location: Path, normalise: bool, numbered: bool = False) -> dict[str, Rows]:
    """The arrays of a folder, each part checked and as many rows in both of a pair of parts.

    ``numbered`` says that the numbers of parts leave none out.
    """
    found = find_arrays(location)
    rows = {name: _open_rows(paths, normalise) for name, paths in found.items()}
    if numbered:
        for name, paths in found.items():
            check_numbering(paths, rows[name].lengths)
    if len(found["image"]) == len(found["text"]) > 1:
        sides = zip(found["image"], rows["image"].lengths, strict=True)
        others = zip(found["text"], rows["text"].lengths, strict=True)
        for (image, n), (text, m) in zip(sides, others, strict=True):
            if n != m:
                raise InputError(
                    f"{image} has {n} rows and {text.name} {m}; row i of each is one pair, so both "
                    "must agree"
                )
    return rows


def _open_rows(paths: Sequence[Path], normalise: bool) -> Rows:
    parts = [open_npy(path) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        check_array(str(path), part, "save it again")
        further = path.stat().st_size - part.offset - part.nbytes
        if further:
            raise InputError(
                f"{path} goes on for {further} bytes behind its array of {len(part)} rows; save "
                "all rows as one array"
            )
        if part.shape[1] != parts[0].shape[1]:
            raise InputError(
                f"{path} is {part.shape[1]} wide and {paths[0].name} {parts[0].shape[1]}; "
                "all parts have one width"
            )
    where = paths[0] if len(paths) == 1 and paths[0].stem in ARRAYS else paths[0].parent
    return Rows(parts, normalise, str(where))


def check_shapes(
    location: str | Path, rows: Mapping[str, Rows], description: Mapping[str, Any]
) -> None:
    """Refuse arrays of unequal shape, or of another than described."""
    n, dim = rows["image"].shape
    for values in rows.values():
        if values.shape != (n, dim):
            raise InputError(
                f"{location}: {values.name} has {values.shape[0]} rows of {values.shape[1]} and "
                f"{rows['image'].name} {n} of {dim}; row i of each is one pair, so both must agree"
            )
    told = (description.get("rows", n), description.get("dim", dim))
    if told != (n, dim):
        raise InputError(
            f"{location}: store.json says {told[0]} rows of {told[1]} and the arrays have {n} of "
            f"{dim}; a part is missing or truncated, embed again"
        )
    if n == 0:
        raise InputError(f"{location} has no rows")


def write_store(
    folder: str | Path,
    arrays: Mapping[str, np.ndarray],
    metadata: pd.DataFrame,
    row_ids: Mapping[str, Sequence[str]],
    description: Mapping[str, Any],
    classes: np.ndarray | None = None,
) -> None:
    """Write a store of one part and check it; ``store.json`` comes last.

    Parameters
    ----------
    folder : path
    arrays : mapping of {"image", "text", "source"} to ndarray of shape (n, dim)
        float16 or float32, unit-norm rows.
    metadata : DataFrame of n rows
        Column ``id`` first.
    row_ids : mapping of {"image", "text"} to sequence of n str
        The ids each array was made from, in its own row order.
    description : mapping
        Model, dataset, preprocessing: copied into ``store.json``.
    classes : ndarray of shape (n_classes, dim), optional
        Class vectors of a labelled data set.

    Raises
    ------
    InputError
        As :func:`open_store`.
    """
    folder = Path(folder)
    (folder / "store.json").unlink(missing_ok=True)
    for name, values in arrays.items():
        with replacing_folder(folder / ARRAYS[name]) as temporary:
            write_npy(temporary / f"{ARRAYS[name]}_0000.npy", np.ascontiguousarray(values))
    with replacing_folder(folder / "metadata") as temporary:
        write_parquet(temporary / "metadata_0000.parquet", metadata)
    if classes is not None:
        write_npy(folder / CLASSES, classes)
    dtype = str(arrays["image"].dtype)
    ids = {name: hash_strings(own) for name, own in row_ids.items()}
    seal_store(folder, ids, {**description, "dtype": dtype})


def seal_store(folder: str | Path, ids: Mapping[str, str], description: Mapping[str, Any]) -> None:
    """Check the arrays and metadata of a new store, and write its ``store.json``.

    Parameters
    ----------
    folder : path
    ids : mapping of {"image", "text", "source"} to str
        Hash of the row ids that each array was made from, in its own row order.
    description : mapping
        What else ``store.json`` is to say.

    Raises
    ------
    InputError
        As :func:`open_store`.
    """
    n, dim = open_store(folder).image.shape
    content = {**description, "format": FORMAT, "rows": n, "dim": dim, "ids": dict(ids)}
    check_ids(Path(folder), n, content)
    write_json(Path(folder) / "store.json", content)
