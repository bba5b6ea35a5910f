"""A few rows of each data set, with small pictures, to show what it is like (Figs 26 and 27)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoenergy.data.pairs import read_pairs
from isoenergy.data.plain import plain_text
from isoenergy.data.thumbnails import CAPTION_LIMIT, SHOWN_PAIRS, thumbnails
from isoenergy.files import read_json, write_parquet
from isoenergy.seeds import generator

if TYPE_CHECKING:
    import pandas as pd

# Pairs, or triplets, of one data set.
EXAMPLES = {"pairs": 5, "classes": 5, "edits": 6}
COLUMNS = ("place", "id", "caption", "picture", "problem")
EDIT_COLUMNS = (*COLUMNS, "source_picture", "source_problem")
# Pixels: a picture is drawn up to 1.3 inches wide, at 200 dots per inch.
_SIDE = 256


def write_examples(
    datasets: Sequence[Mapping[str, Any]],
    pairs: Sequence[str | Path],
    images: Sequence[str | Path],
    examples: Sequence[str | Path],
    blur: bool,
) -> None:
    """Draw some rows of each data set and write them with small pictures.

    Parameters
    ----------
    datasets : sequence of mapping
        ``kind`` and ``seed`` of each.
    pairs, images : sequence of path
        Their pairs tables, and their folders of picture shards.
    examples : sequence of path
        Tables to write, a row per example with ``COLUMNS``; of edits with ``EDIT_COLUMNS``, where
        ``caption`` is every relative caption, a line each. Of classes it is the class's name.
    blur : bool
        Store pictures of at most 6 x 6 blocks.

    Raises
    ------
    InputError
        If a pairs table or a shard is missing or broken.
    """
    for dataset, table, folder, path in zip(datasets, pairs, images, examples, strict=True):
        kind, names = dataset["kind"], []
        if kind == "classes":
            names = read_json(Path(folder) / "classes.json")["names"]
        rows = draw_examples(read_pairs(table, kind), kind, names, dataset["seed"])
        small = thumbnails(folder, {*rows["image"], *rows.get("source", ())}, _SIDE, blur)
        for column, prefix in (("image", ""), ("source", "source_")):
            if column in rows:
                own = [small[key] for key in rows[column]]
                rows[f"{prefix}picture"] = [thumbnail.png for thumbnail in own]
                rows[f"{prefix}problem"] = [thumbnail.problem for thumbnail in own]
        write_parquet(path, rows[list(EDIT_COLUMNS if kind == "edits" else COLUMNS)])


def draw_examples(table: pd.DataFrame, kind: str, names: Sequence[str], seed: int) -> pd.DataFrame:
    """Rows drawn at random from the first 100,000, no picture twice, in their order.

    Parameters
    ----------
    table : DataFrame
        Usable rows of a pairs table.
    kind : {"pairs", "classes", "edits"}
    names : sequence of str
        Names of the classes.
    seed : int

    Returns
    -------
    DataFrame
        ``place``, ``id``, ``image``, ``source`` (of edits) and ``caption``.
    """
    table = table.iloc[:SHOWN_PAIRS]
    if kind == "classes":
        told = [names[label] if label < len(names) else "" for label in table["label"]]
        table = table.assign(caption=told)
    table = table.assign(caption=[plain_text(text, CAPTION_LIMIT) for text in table["caption"]])
    if kind == "edits":
        lines = table.groupby("triplet")["caption"].agg("\n".join)
        table = table.drop_duplicates("triplet")
        table = table.assign(caption=table["triplet"].map(lines))
    table = table.drop_duplicates("image")
    drawn = generator(seed, "examples").permutation(len(table))[: EXAMPLES[kind]]
    wanted = [name for name in ("id", "image", "source", "caption") if name in table]
    rows = table.iloc[sorted(drawn)][wanted].reset_index(drop=True)
    rows.insert(0, "place", range(len(rows)))
    return rows
