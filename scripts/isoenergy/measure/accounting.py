"""Where the rows of a data set went: asked for, with a picture, failed and why, embedded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from isoenergy.data.pairs import OK, check_pairs
from isoenergy.errors import InputError
from isoenergy.files import read_json, read_parquet
from isoenergy.measure.metric import Metric, write_metric

# What is counted of a data set, and of what each model makes of it.
ASKED, USABLE, FAILED, DUPLICATES, PAPER_ROWS = COUNTS = (
    "asked",
    "usable",
    "failed",
    "duplicates",
    "paper_rows",
)
EMBEDDED, DROPPED = MODEL_COUNTS = ("embedded", "dropped")
ROWS, ALL_REASONS = "rows", "all reasons"
# In the place of a model where a count is that of a data set; no model has a space in its name.
ALL_MODELS = "all models"


def count_rows(
    pairs: str | Path,
    kind: str,
    fetched: str | Path | None,
    stores: Mapping[str, str | Path],
    paper_rows: int | None,
    folder: str | Path,
) -> None:
    """Count the rows of a data set, and write each count as a metric.

    Every row asked for is either usable or failed, and every usable one embedded or dropped by
    each encoder, else this is refused: ``asked`` is ``failed + dropped + embedded`` for each model.

    Parameters
    ----------
    pairs : path
        Pairs table, a row for each asked for.
    kind : {"pairs", "classes", "edits"}
    fetched : path or None
        Hashes of the pictures that were fetched. A row is a duplicate when an earlier usable one
        has the same picture: the same bytes where they are hashed, else the same file.
    stores : mapping of str to path
        ``store.json`` of each model.
    paper_rows : int or None
        How many rows the paper's numbers are made of.
    folder : path
        Where the metrics go; those of each model go into a folder of its name there. Protocols of
        ``failed`` and ``dropped`` are all reasons together and each.

    Raises
    ------
    InputError
        If rows are unaccounted for.
    """
    table = read_parquet(pairs)
    check_pairs(table, kind, pairs)
    usable = table[table["status"] == OK]
    pictures = usable["image"]
    if fetched is not None:
        hashes = read_parquet(fetched, ["id", "sha256"]).set_index("id")["sha256"]
        pictures = usable["id"].map(hashes)
        if pictures.isna().any():
            raise InputError(
                f"{fetched} lacks row {usable['id'][pictures.isna()].iloc[0]}; delete it and run "
                "again"
            )
    rows = {
        ASKED: len(table),
        USABLE: len(usable),
        DUPLICATES: int(pictures.duplicated().sum()),
        PAPER_ROWS: paper_rows,
    }
    n = {"rows": len(table)}
    for name, value in rows.items():
        if value is not None:
            write_metric(folder, Metric(name, {ROWS: value}, n, protocol=ROWS))
    failed = table.loc[table["status"] != OK, "status"]
    write_metric(folder, Metric(FAILED, _by_reason(failed), n, protocol=ALL_REASONS))
    for model, path in stores.items():
        store = _read_store(path)
        _check_dropped(store, path, set(usable["id"]), pairs)
        # What follows in brackets, a size or an error of the decoder, differs by picture.
        dropped = (reason.partition(" (")[0] for reason in store["dropped"].values())
        own = Path(folder) / model
        write_metric(own, Metric(EMBEDDED, {ROWS: store["rows"]}, n, protocol=ROWS))
        write_metric(own, Metric(DROPPED, _by_reason(dropped), n, protocol=ALL_REASONS))


def _by_reason(told: Iterable[str]) -> dict[str, int]:
    counts = Counter(told)
    return {ALL_REASONS: counts.total(), **counts}


def _read_store(path: str | Path) -> Mapping[str, Any]:
    store = read_json(path)
    told = store if isinstance(store, dict) else {}
    if not isinstance(told.get("rows"), int) or not isinstance(told.get("dropped"), dict):
        raise InputError(f"{path} does not tell which rows were dropped; delete it and run again")
    return store


def _check_dropped(
    store: Mapping[str, Any], path: str | Path, usable: set[str], pairs: str | Path
) -> None:
    """Refuse a store whose rows, with those it dropped, are not the usable ones."""
    dropped = store["dropped"]
    strangers = dropped.keys() - usable
    if store["rows"] + len(dropped) != len(usable):
        raise InputError(
            f"{path} tells of {store['rows']} rows embedded and {len(dropped)} dropped, but "
            f"{pairs} has {len(usable)} with a picture; delete {path} and run again"
        )
    if strangers:
        raise InputError(
            f"{path} tells that row {min(strangers)} was dropped, but {pairs} has no picture of "
            f"it; delete {path} and run again"
        )
