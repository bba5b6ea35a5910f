"""Data sets that lie in a folder: a table of pairs and the picture files that it names."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from isoenergy.data.colours import WHITE
from isoenergy.data.normal import normal_picture
from isoenergy.data.pairs import OK, write_pairs
from isoenergy.data.published import LAYOUTS, TABLES, Listing, is_published, landmark
from isoenergy.data.shards import SHARD_ROWS, write_shard
from isoenergy.data.table import read_table
from isoenergy.data.unpacked import Unpacked
from isoenergy.errors import InputError
from isoenergy.files import check_file, read_json, replacing_folder, write_json
from isoenergy.progress import Progress
from isoenergy.seeds import generator

if TYPE_CHECKING:
    import pandas as pd

Item = TypeVar("Item")
Made = TypeVar("Made")

MAX_BYTES = 64 * 2**20


def find_table(folder: str | Path) -> Path:
    """The table of a data folder.

    Raises
    ------
    InputError
        If the folder or the table is not there, or what has its name is no file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; correct the key folders of the config")
    path = _named_table(folder)
    if path is not None:
        check_file(path)
        return path
    other = next((path.name for path in sorted(folder.glob("pairs.*"))), None)
    raise InputError(
        f"{folder} has no {' or '.join(TABLES)}; a data folder holds one, with a row per pair"
        + (f", and {other} is not read" if other else "")
    )


def _named_table(folder: Path) -> Path | None:
    """What has the name of a table in a folder, a file or not."""
    paths = (folder / name for name in TABLES)
    return next((path for path in paths if path.exists() or path.is_symlink()), None)


def count_rows(folder: str | Path, most: int) -> int | None:
    """Rows of the table of a data folder, at most so many; None where none can be read."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        path = find_table(folder)
        if path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                rows = islice(filter(None, csv.reader(file)), most + 1)
                return max(sum(1 for _ in rows) - 1, 0)
        return min(ParquetFile(path).metadata.num_rows, most)
    except (InputError, ArrowException, csv.Error, ValueError, OSError):
        return None


def find_layout(files: Unpacked, source: str, split: str | None) -> str:
    """How a data set lies in folders: ``"folder"`` (with a table) or as it is published.

    A folder with a table, the first alone, is read by it, whatever the data set.

    Raises
    ------
    InputError
        If there is neither a table nor what the data set is published as, or what has the name of
        a table is no file, or an archive is broken.
    """
    folder = files.folders[0]
    try:
        find_table(folder)
    except InputError as error:
        if _named_table(folder) is not None:
            raise
        if folder.is_dir() and is_published(files, source, split):
            return source
        name = landmark(source, split)
        if name is None or not folder.is_dir():
            raise
        raise InputError(f"{error}, nor {name} as it is published") from None
    return "folder"


def read_folder(
    folder: str | Path | None,
    downloads: Sequence[str | Path],
    pairs: str | Path,
    images: str | Path,
    dataset: str,
    source: str,
    split: str | None,
    kind: str,
    rows: int | None,
    seed: int,
    threads: int = 1,
    transparency: str = WHITE,
) -> None:
    """Take a data set from a folder: check every row, pack its pictures into shards.

    The folder holds ``pairs.csv`` or ``pairs.parquet`` with a column ``image`` (a path inside the
    folder) and, by kind, ``caption``; ``label`` (index into ``classes.json``: ``names`` and
    ``templates``); or ``caption``, ``source`` (a second picture) and ``triplet``. COCO, ImageNet
    and FashionIQ may instead be in the files that they are published as, see
    :mod:`isoenergy.data.published`. Zip archives are read as if they were unpacked. Every row asked
    for is kept, with a status: ``"ok"``, or why its picture cannot be used; pictures are made alike
    as :func:`isoenergy.data.normal.normal_picture` does, but keep their size.

    Parameters
    ----------
    folder : path or None
        None where all is downloaded.
    downloads : sequence of path
        Files that were downloaded; what the folder lacks is looked for in theirs.
    pairs : path
        Pairs table to write.
    images : path
        Folder of picture shards to write.
    dataset : str
        Name, the prefix of row ids where the table has no column ``id``.
    source : str
        A layout of ``published``, for a folder without a table.
    split : str or None
        Which part of a published data set.
    kind : {"pairs", "classes", "edits"}
    rows : int or None
        How many rows to take, drawn at random and kept in order; None takes all.
    seed : int
    threads : int
        Pictures that are decoded at a time; what is written is the same.
    transparency : {"white", "drop"}
        See :func:`isoenergy.data.colours.to_rgb`.

    Raises
    ------
    InputError
        If the table is missing or broken, see :func:`isoenergy.data.table.read_table`, or no row
        has a picture.
    """
    places = [Path(folder)] if folder is not None else []
    places += [Path(path).parent for path in downloads]
    with Unpacked(*dict.fromkeys(places)) as files:
        table, classes = _list(files, dataset, source, split, kind)
        if rows is not None:
            table = draw_rows(table, rows, seed)
        sides = ["image", "source"] if kind == "edits" else ["image"]
        paths = list(dict.fromkeys(path for side in sides for path in table[side]))
        keys = {path: f"{i:08d}" for i, path in enumerate(paths)}
        failed: dict[str, str] = {}
        with (
            replacing_folder(images) as shards,
            Progress(f"read {dataset}", len(paths), "pictures") as bar,
        ):
            read = partial(_read_picture, files, transparency)
            _write_shards(read, keys, shards, failed, bar, threads)
            if classes is not None:
                write_json(shards / "classes.json", classes)
            if len(failed) == len(paths):
                path, why = next(iter(failed.items()))
                raise InputError(f"{files}: none of its pictures can be used; {path!r}: {why}")
    table["status"] = [
        next((failed[row[side]] for side in sides if row[side] in failed), OK)
        for row in table.to_dict("records")
    ]
    for side in sides:
        table[side] = table[side].map(keys)
    write_pairs(pairs, table, kind)


def draw_rows(table: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Some rows of a table, drawn at random and kept in order; all of them if it has no more."""
    if rows >= len(table):
        return table
    chosen = np.sort(generator(seed, "rows").permutation(len(table))[:rows])
    return table.iloc[chosen].reset_index(drop=True)


def _list(
    files: Unpacked, dataset: str, source: str, split: str | None, kind: str
) -> tuple[pd.DataFrame, dict[str, list[str]] | None]:
    """Rows of a data set, and names and prompts of its classes."""
    layout = find_layout(files, source, split)
    if layout == "folder":
        folder = files.folders[0]
        classes = _read_classes(folder) if kind == "classes" else None
        named = len(classes["names"]) if classes else None
        listing = Listing(read_table(find_table(folder), dataset, kind, named), classes)
    else:
        listing = LAYOUTS[layout](files, dataset, split)
    return listing.table, listing.classes


def _read_classes(folder: Path) -> dict[str, list[str]]:
    path = folder / "classes.json"
    told = read_json(path)
    for key in ("names", "templates"):
        values = told.get(key) if isinstance(told, Mapping) else None
        texts = isinstance(values, list) and all(isinstance(v, str) and v.strip() for v in values)
        if not values or not texts:
            raise InputError(f"{path}: {key} must be a list of texts, none of them blank")
    for template in told["templates"]:
        if template.count("{}") != 1:
            raise InputError(
                f"{path}: the template {template[:80]!r} needs {{}} once, where the name goes"
            )
    return {key: told[key] for key in ("names", "templates")}


def _write_shards(
    read: Callable[[str], tuple[bytes, str] | str],
    keys: Mapping[str, str],
    shards: Path,
    failed: dict[str, str],
    bar: Progress,
    threads: int,
) -> None:
    """Pack pictures in their order; those that cannot be used go to ``failed`` with the reason."""

    def contents(paths: list[str]) -> Iterator[tuple[str, bytes]]:
        for path, made in _ahead(read, paths, threads):
            bar.step()
            if isinstance(made, str):
                failed[path] = made
            else:
                picture, suffix = made
                yield f"{keys[path]}{suffix}", picture

    paths = list(keys)
    for shard, start in enumerate(range(0, len(paths), SHARD_ROWS)):
        write_shard(shards / f"{shard:05d}.tar", contents(paths[start : start + SHARD_ROWS]), "")


def _read_picture(files: Unpacked, transparency: str, path: str) -> tuple[bytes, str] | str:
    """One picture and its suffix, or why it cannot be used."""
    try:
        return normal_picture(files.read(path, MAX_BYTES), None, transparency)
    except InputError as error:
        return str(error)


def _ahead(
    work: Callable[[Item], Made], items: Iterable[Item], threads: int
) -> Iterator[tuple[Item, Made]]:
    """Work on items in threads, a few ahead of what is asked for, and give results in order."""
    waiting: deque[tuple[Item, Future[Made]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > 2 * threads:
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()
