"""Put the ranges of a list of links together as a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from isoenergy.data.pairs import NEEDED, OK, write_pairs
from isoenergy.errors import InputError
from isoenergy.files import link_file, read_parquet, replacing_folder, write_parquet

if TYPE_CHECKING:
    import pandas as pd


def gather_ranges(
    shards: Sequence[str | Path],
    tables: Sequence[str | Path],
    pairs: str | Path,
    images: str | Path,
    links: str | Path,
    fetched: str | Path,
    edits: str | Path | None = None,
) -> None:
    """Gather what :func:`isoenergy.data.fetch.fetch_range` made of every range.

    Parameters
    ----------
    shards, tables : sequence of path
        Shard and table of each range, in order.
    pairs : path
        Pairs table to write, a row for each link, or for each edit.
    images : path
        Folder of picture shards to write; shards are linked where the file system can, so that
        they take no room twice.
    links : path
        The list of links; every one of its rows has to be told of.
    fetched : path
        Table to write of what arrived: ``id`` of the row, ``url`` and ``sha256`` of its picture, of
        an edit's target.
    edits : path, optional
        Relative captions whose pictures the links are; see :func:`isoenergy.data.edits.list_edits`.

    Raises
    ------
    InputError
        If rows are missing or told of twice, or none has a picture.
    """
    import pandas as pd

    table = pd.concat([read_parquet(path) for path in tables], ignore_index=True)
    asked = read_parquet(links, ["id"])["id"]
    if not table["id"].equals(asked):
        raise InputError(
            f"{links} has {len(asked)} rows and its ranges tell of {len(table)}, or of others; "
            f"delete {Path(tables[0]).parent} to fetch them again"
        )
    if not (table["status"] == OK).any():
        reasons = ", ".join(
            f"{count} x {why}" for why, count in table["status"].value_counts().head(3).items()
        )
        raise InputError(f"none of the {len(table)} links of {links} gave a picture ({reasons})")
    with replacing_folder(images) as folder:
        for shard in shards:
            link_file(shard, folder / Path(shard).name)
    kind = "pairs" if edits is None else "edits"
    if edits is not None:
        table = _of_edits(read_parquet(edits), table)
    write_parquet(fetched, table.loc[table["status"] == OK, ["id", "url", "sha256"]])
    write_pairs(pairs, table[["id", "image", "status", *NEEDED[kind]]], kind)


def _of_edits(edits: pd.DataFrame, pictures: pd.DataFrame) -> pd.DataFrame:
    """Edits with the keys of their pictures; one whose source failed has failed."""
    told = pictures.set_index("id")
    table = edits.copy()
    for column in ("status", "url", "sha256"):
        table[column] = edits["image"].map(told[column])
    arrived = table["status"] == OK
    table.loc[arrived, "status"] = edits["source"][arrived].map(told["status"])
    for side in ("image", "source"):
        table[side] = edits[side].map(told["image"])
    return table
