"""Make an embedding store of its parts, whichever jobs embedded them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isoenergy.data.pairs import read_pairs
from isoenergy.embed.finished import list_records, part_file, read_part
from isoenergy.embed.layout import ARRAYS, CLASSES
from isoenergy.embed.store import seal_store
from isoenergy.errors import InputError
from isoenergy.files import (
    hash_strings,
    link_file,
    open_npy,
    read_parquet,
    replacing_folder,
    write_npy,
)

# How many reasons a message tells.
_TOLD = 3


def join_ranges(
    pairs: str | Path,
    images: str | Path,
    ranges: Sequence[str | Path],
    store: str | Path,
    dataset: str,
    kind: str,
    model: str,
) -> None:
    """Make a store of parts, whichever jobs embedded them.

    Parts are linked where the file system can, so that they take no room twice.

    Parameters
    ----------
    pairs, images : path
        Pairs table and picture shards that they were made of.
    ranges : sequence of path
        Folders of parts.
    store : path
        ``store.json`` to write; the arrays go beside it. It lists the parts and every row that is
        left out, with the reason.
    dataset, kind, model : str

    Raises
    ------
    InputError
        If a row of the pairs table is neither embedded nor told to be left out, if parts were made
        by encoders that differ, or none has a row.
    """
    parts = sorted(
        (read_part(path) for range_ in ranges for path in list_records(range_)),
        key=lambda part: part["number"],
    )
    again = f"delete {Path(store).parent} and run again"
    makers = [{key: part[key] for key in ("encoder", "precision", "dtype")} for part in parts]
    if any(maker != makers[0] for maker in makers):
        raise InputError(f"parts of {store} were made by encoders that differ; {again}")
    full = [part for part in parts if part["rows"]]
    dropped = {row: reason for part in parts for row, reason in part["dropped"].items()}
    asked = read_pairs(pairs, kind)["id"]
    if not full:
        raise InputError(_nothing(asked, images, dropped))
    ids = []
    for part in full:
        ids += read_parquet(part_file(part, "metadata", "parquet"), ["id"])["id"].tolist()
    if sorted([*ids, *dropped]) != sorted(asked):
        raise InputError(
            f"{pairs} has {len(asked)} rows with a picture, and parts of {store} tell of "
            f"{len(ids)} embedded and {len(dropped)} left out, or of others; {again}"
        )
    folder = Path(store).parent
    Path(store).unlink(missing_ok=True)
    for side in ["image", *(["source"] if kind == "edits" else [])]:
        _link_parts(folder, full, ARRAYS[side])
    _link_parts(folder, full, "metadata", "parquet")
    if kind == "classes":
        _write_labels(folder, full, [Path(range_) / CLASSES for range_ in ranges])
    else:
        _link_parts(folder, full, ARRAYS["text"])
    sides = ["image", "text", *(["source"] if kind == "edits" else [])]
    description = {
        "model": model,
        "dataset": dataset,
        "kind": kind,
        **makers[0],
        "dropped": dropped,
        "parts": [{"number": part["number"], "rows": part["rows"]} for part in parts],
    }
    seal_store(folder, dict.fromkeys(sides, hash_strings(ids)), description)


def _link_parts(
    folder: Path, parts: Sequence[dict[str, Any]], prefix: str, suffix: str = "npy"
) -> None:
    with replacing_folder(folder / prefix) as temporary:
        for part in parts:
            file = part_file(part, prefix, suffix)
            link_file(file, temporary / file.name)


def _write_labels(folder: Path, parts: Sequence[dict[str, Any]], classes: Sequence[Path]) -> None:
    """Class vectors, and each row's by its label in the place of texts."""
    made = next(path for path in classes if path.exists())
    link_file(made, folder / CLASSES)
    vectors = np.asarray(open_npy(made))
    with replacing_folder(folder / ARRAYS["text"]) as temporary:
        for part in parts:
            labels = read_parquet(part_file(part, "metadata", "parquet"), ["label"])["label"]
            name = part_file(part, ARRAYS["text"]).name
            write_npy(temporary / name, vectors[labels].astype(part["dtype"]))


def _nothing(asked: Sequence[str], images: str | Path, dropped: Mapping[str, str]) -> str:
    reasons = ", ".join(
        f"{count} x {why}" for why, count in Counter(dropped.values()).most_common(_TOLD)
    )
    return f"none of the {len(asked)} rows with pictures in {images} can be embedded ({reasons})"
