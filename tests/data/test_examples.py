import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from isoenergy.data.examples import COLUMNS, EDIT_COLUMNS, EXAMPLES, draw_examples, write_examples
from isoenergy.data.pairs import write_pairs
from isoenergy.data.shards import encode_png, write_shard
from isoenergy.files import read_parquet, write_json


def _table(n, **columns):
    ids = [f"r{i}" for i in range(n)]
    return pd.DataFrame({"id": ids, "image": ids, "status": "ok", **columns})


def test_a_picture_with_several_captions_is_one_example():
    table = _table(30, caption=[f"caption {i}" for i in range(30)])
    table["image"] = [f"{i // 10}" for i in range(30)]
    rows = draw_examples(table, "pairs", [], seed=0)
    assert sorted(rows["image"]) == ["0", "1", "2"]
    assert list(rows["caption"]) == ["caption 0", "caption 10", "caption 20"]
    assert list(rows["place"]) == [0, 1, 2]


def test_examples_are_drawn_by_the_seed_and_kept_in_order():
    table = _table(500, caption="x")
    drawn = [list(draw_examples(table, "pairs", [], seed)["id"]) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == EXAMPLES["pairs"]
    places = [int(name[1:]) for name in drawn[0]]
    assert places == sorted(places)
    assert max(places) > 100


def test_classes_show_their_names():
    rows = draw_examples(_table(3, label=[1, 0, 7]), "classes", ["cat", "dog\x00"], seed=0)
    assert list(rows["caption"]) == ["dog", "cat", ""]


def test_edits_show_every_relative_caption_of_a_triplet():
    captions = ["same but\nblue", "is blue", "larger", "is large", "no", "not"]
    table = _table(6, caption=captions, triplet=[0, 0, 1, 1, 2, 2])
    table["image"] = [f"t{i // 2}" for i in range(6)]
    table["source"] = [f"s{i // 2}" for i in range(6)]
    rows = draw_examples(table, "edits", [], seed=0)
    assert list(rows["caption"]) == ["same but blue\nis blue", "larger\nis large", "no\nnot"]
    assert list(rows["source"]) == ["s0", "s1", "s2"]


@pytest.fixture
def data(tmp_path):
    """Three data sets of one row each, whose picture is 12 pixels of one grey."""

    def colour(value):
        return encode_png(np.full((12, 12, 3), value, dtype=np.uint8))

    tables = {
        "pairs": _table(1, caption="a"),
        "classes": _table(1, label=[0]),
        "edits": _table(1, caption="b", source="s", triplet=[0]),
    }
    for kind, table in tables.items():
        write_pairs(tmp_path / kind / "pairs.parquet", table, kind)
        shard = [("r0", colour(10)), ("s", colour(20))][: 1 + (kind == "edits")]
        write_shard(tmp_path / kind / "images/0.tar", shard, ".png")
    write_json(tmp_path / "classes/images/classes.json", {"names": ["cat"], "templates": ["{}"]})
    return tmp_path


@pytest.mark.parametrize(("blur", "side"), [(False, 12), (True, 6)])
def test_every_data_set_gets_a_table_with_its_pictures(data, blur, side):
    kinds = list(EXAMPLES)
    paths = [data / kind / "examples.parquet" for kind in kinds]
    write_examples(
        [{"kind": kind, "seed": 0} for kind in kinds],
        [data / kind / "pairs.parquet" for kind in kinds],
        [data / kind / "images" for kind in kinds],
        paths,
        blur,
    )
    pairs, classes, edits = map(read_parquet, paths)
    assert tuple(pairs) == tuple(classes) == COLUMNS
    assert tuple(edits) == EDIT_COLUMNS
    assert [t["caption"].item() for t in (pairs, classes, edits)] == ["a", "cat", "b"]
    shown = [pairs["picture"], classes["picture"], edits["picture"], edits["source_picture"]]
    for pictures, value in zip(shown, (10, 10, 10, 20), strict=True):
        found = Image.open(io.BytesIO(pictures.item()))
        assert found.size == (side, side)
        assert found.getpixel((0, 0)) == (value,) * 3
