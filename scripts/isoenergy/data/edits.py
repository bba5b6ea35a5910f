"""FashionIQ as a list of links: the pictures that its relative captions speak of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from isoenergy.data.folder import draw_rows
from isoenergy.data.links import MAX_CAPTION, MAX_URL
from isoenergy.data.published import CATEGORIES, read_edits
from isoenergy.data.unpacked import Unpacked
from isoenergy.errors import InputError
from isoenergy.files import write_parquet

# Each takes 4 MB.
_MOST_BYTES = 2**28


def list_edits(
    downloads: Sequence[str | Path],
    links: str | Path,
    edits: str | Path,
    dataset: str,
    split: str,
    rows: int | None,
    seed: int,
) -> None:
    """List the relative captions of FashionIQ, and each picture that they need once.

    Parameters
    ----------
    downloads : sequence of path
        Its captions, ``cap.CATEGORY.SPLIT.json``, and addresses, ``asin2url.CATEGORY.txt``.
    links : path
        Parquet to write, the links of the pictures: ``id`` (number of the good), ``url`` (empty
        where none is listed) and ``caption`` (empty).
    edits : path
        Parquet to write, a row for each relative caption: ``id``, ``image`` (number of the target),
        ``source``, ``caption``, ``triplet``.
    dataset : str
        Prefix of the ids of edits.
    split : str
    rows : int or None
        How many captions to take, drawn at random and kept in order; None takes all.
    seed : int

    Raises
    ------
    InputError
        If a file is missing or broken.
    """
    import pandas as pd

    with Unpacked(*dict.fromkeys(Path(path).parent for path in downloads)) as files:
        table = read_edits(files, dataset, split)
        urls = {}
        for category in CATEGORIES:
            urls |= _read_urls(files, f"asin2url.{category}.txt")
    if rows is not None:
        table = draw_rows(table, rows, seed)
    table["caption"] = table["caption"].str.slice(0, MAX_CAPTION)
    goods = list(dict.fromkeys(good for side in ("image", "source") for good in table[side]))
    listed = pd.DataFrame({"id": goods, "url": [urls.get(good, "") for good in goods]})
    write_parquet(links, listed.assign(caption=""))
    write_parquet(edits, table[["id", "image", "source", "caption", "triplet"]])


def _read_urls(files: Unpacked, name: str) -> dict[str, str]:
    """Addresses by number of the good: a line each, with white space between."""
    try:
        text = files.read(name, _MOST_BYTES).decode("utf-8", errors="replace")
    except InputError as error:
        raise InputError(f"{name} {error}: {files}") from None
    cells = (line.split() for line in text.splitlines())
    return {row[0]: row[1][:MAX_URL] for row in cells if len(row) >= 2}
