"""Sets of rendered scenes: pairs, labelled classes and edits, as shards and a pairs table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isoenergy.data.captions import TEMPLATES, captions, draw_mentions, relative_captions
from isoenergy.data.draw import draw_scenes
from isoenergy.data.factors import BY_NAME, FACTORS, PICTURE, SHARED, TEXT, draw_factors
from isoenergy.data.pairs import FACTOR_PREFIX, OK, write_pairs
from isoenergy.data.shards import SHARD_ROWS, encode_png, write_shard
from isoenergy.files import replacing_folder, write_json
from isoenergy.progress import Progress
from isoenergy.seeds import generator

if TYPE_CHECKING:
    import pandas as pd

CLASS_FACTORS = ("colour", "shape")
MAX_CHANGES = 2

Codes = dict[str, np.ndarray]
# What one shard of a kind of set is made of: pictures by key, and rows of the pairs table.
Shard = tuple[list[tuple[str, np.ndarray]], "pd.DataFrame"]


@dataclass(frozen=True)
class SceneSet:
    """What a set of scenes is like.

    Attributes
    ----------
    name : str
        Prefix of its row ids.
    kind : {"pairs", "classes", "edits"}
    skew : float
        How unevenly factor values are drawn (see ``factors.value_weights``).
    wording : {"plain", "other"}
        Which phrasings its captions use.
    captions : int
        Captions per picture (kind ``pairs``).
    """

    name: str
    kind: str
    skew: float
    wording: str
    captions: int = 1


def class_names() -> list[str]:
    """The colour-by-shape classes in label order, e.g. ``"red circle"``."""
    return [
        f"{colour} {shape}"
        for colour in BY_NAME["colour"].values
        for shape in BY_NAME["shape"].values
    ]


def write_scenes(
    scenes: SceneSet, rows: int, seed: int, pairs: str | Path, images: str | Path
) -> None:
    """Draw a set of scenes and write it.

    Each shard has its own generator, and the last is drawn whole and cut, so the first rows of a
    set do not depend on how many follow.

    Parameters
    ----------
    scenes : SceneSet
    rows : int
        Rows of the pairs table, at least 1. With several captions per picture, or two per edit,
        a last incomplete picture is completed, so that the table may be slightly longer.
    seed : int
        The set's seed.
    pairs : path
        The pairs table to write; the known factors of each row are columns ``factor_*``.
    images : path
        Folder of picture shards to write; for kind ``classes`` also ``classes.json`` with the
        class names and prompt templates.
    """
    import pandas as pd

    draw = _DRAWERS[scenes.kind]
    per_unit = {"pairs": scenes.captions, "classes": 1, "edits": 2}[scenes.kind]
    units = -(-rows // per_unit)
    tables = []
    with replacing_folder(images) as folder, Progress(f"draw {scenes.name}", rows, "rows") as bar:
        for shard, first in enumerate(range(0, units, SHARD_ROWS)):
            n = min(SHARD_ROWS, units - first)
            pictures, table = draw(scenes, first, SHARD_ROWS, generator(seed, shard))
            table = table.head(n * per_unit)
            kept = {*table["image"], *table.get("source", ())}
            encoded = ((key, encode_png(pixels)) for key, pixels in pictures if key in kept)
            write_shard(folder / f"{shard:05d}.tar", encoded, ".png")
            tables.append(table)
            bar.step(len(table))
        if scenes.kind == "classes":
            write_json(
                folder / "classes.json", {"names": class_names(), "templates": list(TEMPLATES)}
            )
    write_pairs(pairs, pd.concat(tables, ignore_index=True), scenes.kind)


def _keys(prefix: str, first: int, n: int) -> list[str]:
    return [f"{prefix}{first + i:08d}" for i in range(n)]


def _factor_columns(codes: Codes, names: Iterator[str] | tuple[str, ...]) -> dict[str, np.ndarray]:
    return {
        FACTOR_PREFIX + name: np.array(BY_NAME[name].values, dtype=object)[codes[name]]
        for name in names
    }


def _pairs_shard(scenes: SceneSet, first: int, n: int, rng: np.random.Generator) -> Shard:
    import pandas as pd

    seen = draw_factors(n, scenes.skew, rng, SHARED + PICTURE)
    pixels = draw_scenes(seen, rng)
    keys = _keys("", first, n)
    repeat = np.repeat(np.arange(n), scenes.captions)
    codes = {name: values[repeat] for name, values in seen.items()}
    codes |= draw_factors(len(repeat), scenes.skew, rng, TEXT)
    told = draw_mentions(len(repeat), rng)
    table = pd.DataFrame(
        {
            "id": [
                f"{scenes.name}-{keys[i]}-{j}" for i in range(n) for j in range(scenes.captions)
            ],
            "image": [keys[i] for i in repeat],
            "caption": captions(codes, told, scenes.wording),
            "status": OK,
            **_factor_columns(codes, tuple(factor.name for factor in FACTORS)),
            **{f"told_{name}": value for name, value in told.items()},
        }
    )
    return list(zip(keys, pixels, strict=True)), table


def _classes_shard(scenes: SceneSet, first: int, n: int, rng: np.random.Generator) -> Shard:
    import pandas as pd

    seen = draw_factors(n, scenes.skew, rng, SHARED + PICTURE)
    pixels = draw_scenes(seen, rng)
    keys = _keys("", first, n)
    label = seen["colour"].astype(np.int64) * len(BY_NAME["shape"].values) + seen["shape"]
    table = pd.DataFrame(
        {
            "id": [f"{scenes.name}-{key}" for key in keys],
            "image": keys,
            "label": label,
            "status": OK,
            **_factor_columns(seen, tuple(factor.name for factor in SHARED + PICTURE)),
        }
    )
    return list(zip(keys, pixels, strict=True)), table


def _edits_shard(scenes: SceneSet, first: int, n: int, rng: np.random.Generator) -> Shard:
    """Triplets: a source scene, the same with one or two shared factors changed, two captions."""
    import pandas as pd

    source = draw_factors(n, scenes.skew, rng, SHARED + PICTURE)
    target = source | draw_factors(n, scenes.skew, rng, PICTURE)
    target |= {factor.name: source[factor.name].copy() for factor in SHARED}
    texts: list[str] = []
    for i in range(n):
        changed = rng.choice(len(SHARED), size=rng.integers(1, MAX_CHANGES + 1), replace=False)
        for factor in (SHARED[j] for j in changed):
            step = rng.integers(1, len(factor.values))
            target[factor.name][i] = (source[factor.name][i] + step) % len(factor.values)
        before, after = (
            {f.name: int(side[f.name][i]) for f in SHARED} for side in (source, target)
        )
        texts += relative_captions(before, after, rng)
    source_keys, target_keys = _keys("s", first, n), _keys("t", first, n)
    repeat = np.repeat(np.arange(n), 2)
    table = pd.DataFrame(
        {
            "id": [f"{scenes.name}-{first + i:08d}-{j}" for i in range(n) for j in range(2)],
            "image": [target_keys[i] for i in repeat],
            "source": [source_keys[i] for i in repeat],
            "triplet": repeat + first,
            "caption": texts,
            "status": OK,
            **_factor_columns(
                {name: codes[repeat] for name, codes in target.items()},
                tuple(factor.name for factor in SHARED + PICTURE),
            ),
        }
    )
    pictures = list(zip(source_keys, draw_scenes(source, rng), strict=True))
    pictures += list(zip(target_keys, draw_scenes(target, rng), strict=True))
    return pictures, table


_DRAWERS: dict[str, Callable[[SceneSet, int, int, np.random.Generator], Shard]] = {
    "pairs": _pairs_shard,
    "classes": _classes_shard,
    "edits": _edits_shard,
}
