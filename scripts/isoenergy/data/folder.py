"""Data sets that lie in a folder: a table of pairs and the picture files that it names."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from isoenergy.data.pairs import NEEDED, OK, write_pairs
from isoenergy.data.published import LANDMARKS, LAYOUTS, Listing
from isoenergy.data.shards import MAX_PIXELS, PICTURE_SUFFIXES, SHARD_ROWS, write_shard
from isoenergy.errors import InputError
from isoenergy.files import read_json, read_parquet, replacing_folder, write_json
from isoenergy.progress import Progress
from isoenergy.seeds import generator

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 64 * 2**20
TABLES = ("pairs.parquet", "pairs.csv")


def find_table(folder: str | Path) -> Path:
    """The table of a data folder.

    Raises
    ------
    InputError
        If the folder or the table is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; correct the key folders of the config")
    for name in TABLES:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"{folder} has no {' or '.join(TABLES)}; a data folder holds one, with a row per pair"
    )


def find_layout(folder: str | Path, source: str) -> str:
    """How a data folder is laid out: ``"folder"`` (with a table) or as its data set is published.

    A folder with a table is read by it, whatever the data set.

    Raises
    ------
    InputError
        If it has neither a table nor what the data set is published as.
    """
    landmarks = LANDMARKS.get(source, ())
    try:
        find_table(folder)
    except InputError as error:
        if any((Path(folder) / name).is_file() for name in landmarks):
            return source
        if not landmarks or not Path(folder).is_dir():
            raise
        raise InputError(f"{error}, nor {landmarks[0]} as it is published") from None
    return "folder"


def read_folder(
    folder: str | Path,
    pairs: str | Path,
    images: str | Path,
    dataset: str,
    source: str,
    kind: str,
    rows: int | None,
    seed: int,
) -> None:
    """Take a data set from a folder: check every row, pack its pictures into shards.

    The folder holds ``pairs.csv`` or ``pairs.parquet`` with a column ``image`` (a path inside the
    folder) and, by kind, ``caption``; ``label`` (index into ``classes.json``: ``names`` and
    ``templates``); or ``caption``, ``source`` (a second picture) and ``triplet``. COCO, ImageNet
    and FashionIQ may instead be in the files that they are published as, see
    :mod:`isoenergy.data.published`. Every row asked for is kept, with a status: ``"ok"``, or why
    its picture cannot be used.

    Parameters
    ----------
    folder : path
    pairs : path
        Pairs table to write.
    images : path
        Folder of picture shards to write.
    dataset : str
        Name, the prefix of row ids where the table has no column ``id``.
    source : str
        A layout of ``published``, for a folder without a table.
    kind : {"pairs", "classes", "edits"}
    rows : int or None
        How many rows to take, drawn at random and kept in order; None takes all.
    seed : int

    Raises
    ------
    InputError
        If the table is missing, broken or lacks a column, or no row has a picture.
    """
    folder = Path(folder)
    layout = find_layout(folder, source)
    if layout == "folder":
        classes = _read_classes(folder) if kind == "classes" else None
        listing = Listing(_read_table(find_table(folder), dataset, kind), classes)
    else:
        listing = LAYOUTS[layout](folder, dataset)
    table = listing.table
    if rows is not None and rows < len(table):
        chosen = np.sort(generator(seed, "rows").permutation(len(table))[:rows])
        table = table.iloc[chosen].reset_index(drop=True)
    sides = ["image", "source"] if kind == "edits" else ["image"]
    files = list(dict.fromkeys(path for side in sides for path in table[side]))
    keys = {path: f"{i:08d}" for i, path in enumerate(files)}
    failed: dict[str, str] = {}
    with (
        replacing_folder(images) as shards,
        Progress(f"read {dataset}", len(files), "pictures") as bar,
    ):
        _write_shards(folder, keys, shards, failed, bar)
        if listing.classes is not None:
            write_json(shards / "classes.json", listing.classes)
        if len(failed) == len(files):
            first = next(iter(failed.items()))
            raise InputError(f"{folder}: none of its pictures can be used; {first[0]!r} {first[1]}")
    table["status"] = [
        next((failed[row[side]] for side in sides if row[side] in failed), OK)
        for row in table.to_dict("records")
    ]
    for side in sides:
        table[side] = table[side].map(keys)
    write_pairs(pairs, table, kind)


def _read_table(path: Path, dataset: str, kind: str) -> pd.DataFrame:
    import pandas as pd

    if path.suffix == ".csv":
        try:
            table = pd.read_csv(path, dtype={"image": str, "caption": str, "source": str})
        except (ValueError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{path} cannot be read as csv ({reason}); it is comma-separated"
            ) from None
    else:
        table = read_parquet(path)
    needed = ("image", *NEEDED[kind])
    missing = [name for name in needed if name not in table]
    if missing:
        raise InputError(
            f"{path} lacks the column {missing[0]}; a data set of kind {kind} has "
            f"{', '.join(needed)}"
        )
    empty = table[list(needed)].isna().any(axis=1)
    if empty.any():
        raise InputError(f"{path}: row {int(empty.idxmax())} has an empty cell; fill or drop it")
    if "id" not in table:
        table["id"] = [f"{dataset}-{i:08d}" for i in range(len(table))]
    table = table[["id", *needed]].astype(
        {name: "int64" if name in ("label", "triplet") else str for name in ("id", *needed)}
    )
    return table.reset_index(drop=True)


def _read_classes(folder: Path) -> dict[str, list[str]]:
    told = read_json(folder / "classes.json")
    for key in ("names", "templates"):
        values = told.get(key) if isinstance(told, Mapping) else None
        if not values or not all(isinstance(value, str) for value in values):
            raise InputError(f"{folder / 'classes.json'}: {key} must be a list of texts")
    return {key: told[key] for key in ("names", "templates")}


def _write_shards(
    folder: Path, keys: Mapping[str, str], shards: Path, failed: dict[str, str], bar: Progress
) -> None:
    """Pack pictures as they are; those that cannot be used go to ``failed`` with the reason."""
    root = folder.resolve()

    def contents(paths: list[str]) -> Iterator[tuple[str, bytes]]:
        for path in paths:
            bar.step()
            try:
                yield keys[path], _read_picture(root, path)
            except InputError as error:
                failed[path] = str(error)

    shard = 0
    suffix_of = {path: Path(path).suffix.lower() for path in keys}
    for suffix in sorted(set(suffix_of.values())):
        paths = [path for path in keys if suffix_of[path] == suffix]
        if suffix not in PICTURE_SUFFIXES:
            failed.update(dict.fromkeys(paths, f"is none of {', '.join(PICTURE_SUFFIXES)}"))
            continue
        for start in range(0, len(paths), SHARD_ROWS):
            write_shard(
                shards / f"{shard:05d}.tar", contents(paths[start : start + SHARD_ROWS]), suffix
            )
            shard += 1


def _read_picture(root: Path, path: str) -> bytes:
    """The bytes of one picture; paths, sizes and headers from a data set are not trusted."""
    file = (root / path).resolve()
    if not file.is_relative_to(root):
        raise InputError("lies outside the folder")
    if not file.is_file():
        raise InputError("is not in the folder")
    if file.stat().st_size > MAX_BYTES:
        raise InputError(f"is larger than {MAX_BYTES} bytes")
    content = file.read_bytes()
    try:
        width, height = Image.open(io.BytesIO(content)).size
    except Exception:  # Pillow raises many kinds for broken files
        raise InputError("is not a picture") from None
    if width * height > MAX_PIXELS:
        raise InputError(f"has over {MAX_PIXELS} pixels")
    return content
