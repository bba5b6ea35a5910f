"""Where the rows of a data set went: asked for, with a picture, failed and why, embedded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from isoenergy.data.pairs import OK, check_pairs
from isoenergy.errors import InputError
from isoenergy.files import read_json, read_parquet
from isoenergy.measure.metric import Metric, write_metric

# What is counted, in the order of the table.
ASKED, USABLE, FAILED, DUPLICATES, EMBEDDED, PAPER_ROWS = COUNTS = (
    "asked",
    "usable",
    "failed",
    "duplicates",
    "embedded",
    "paper_rows",
)
ALL_REASONS = "all reasons"


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
    the encoder; else this is refused.

    Parameters
    ----------
    pairs : path
        Pairs table, a row for each asked for.
    kind : {"pairs", "classes", "edits"}
    fetched : path or None
        Hashes of the pictures that were fetched. A row is a duplicate when an earlier usable one
        has the same picture: the same bytes where they are hashed, else the same file.
    stores : mapping of str to path
        ``store.json`` of each model; the first is the default protocol of ``embedded``.
    paper_rows : int or None
        How many rows the paper's numbers are made of.
    folder : path
        Where the metrics go. Protocols of ``failed`` are the reasons, most frequent first.

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
        hashes = read_parquet(fetched).set_index("id")["sha256"]
        pictures = usable["id"].map(hashes)
        if pictures.isna().any():
            raise InputError(f"{fetched} lacks row {usable['id'][pictures.isna()].iloc[0]}")
    reasons = table.loc[table["status"] != OK, "status"].value_counts()
    failed = {ALL_REASONS: float(reasons.sum())}
    failed |= {str(reason): float(count) for reason, count in reasons.items()}
    embedded = {}
    for model, path in stores.items():
        store = read_json(path)
        embedded[model] = float(store["rows"])
        if store["rows"] + len(store["dropped"]) != len(usable):
            raise InputError(
                f"{path} tells of {store['rows']} rows embedded and {len(store['dropped'])} "
                f"dropped, but {pairs} has {len(usable)} with a picture; embed it again"
            )
    n = {"rows": len(table)}
    rows = {
        ASKED: float(len(table)),
        USABLE: float(len(usable)),
        DUPLICATES: float(pictures.duplicated().sum()),
        PAPER_ROWS: paper_rows,
    }
    for name, value in rows.items():
        if value is not None:
            write_metric(folder, Metric(name, {"rows": float(value)}, n, protocol="rows"))
    write_metric(folder, Metric(FAILED, failed, n, protocol=ALL_REASONS))
    write_metric(folder, Metric(EMBEDDED, embedded, n, protocol=next(iter(stores))))
