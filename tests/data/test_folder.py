import json

import numpy as np
import pandas as pd
import pytest

from isoenergy.data.folder import read_folder
from isoenergy.data.pairs import read_pairs
from isoenergy.data.shards import decode_picture, encode_png, read_pictures
from isoenergy.errors import InputError


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "mine"
    (folder / "sub").mkdir(parents=True)
    for i, name in enumerate(("a.png", "sub/b.PNG", "c.png")):
        (folder / name).write_bytes(encode_png(np.full((4, 5, 3), 40 * i, dtype=np.uint8)))
    return folder


def _read(folder, kind="pairs", rows=None, seed=0):
    pairs, images = folder.parent / "out/pairs.parquet", folder.parent / "out/images"
    read_folder(folder, pairs, images, "mine", "folder", kind, rows, seed)
    return pairs, images


def _table(folder, **columns):
    pd.DataFrame(columns).to_csv(folder / "pairs.csv", index=False)


def test_rows_keep_their_captions_and_pictures(folder):
    _table(folder, image=["sub/b.PNG", "a.png", "a.png"], caption=["B", "A1", "A, two"])
    pairs, images = _read(folder)
    table = read_pairs(pairs, "pairs")
    assert table["caption"].tolist() == ["B", "A1", "A, two"]
    assert table["id"].tolist() == ["mine-00000000", "mine-00000001", "mine-00000002"]
    pixels = {key: np.asarray(decode_picture(content)) for key, content in read_pictures(images)}
    assert [int(pixels[key][0, 0, 0]) for key in table["image"]] == [40, 0, 0]
    assert len(pixels) == 2


def test_a_picture_that_cannot_be_used_costs_its_row_and_says_why(folder):
    (folder.parent / "secret.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("x")
    paths = ["a.png", "../secret.png", "/etc/passwd.png", "gone.png", "broken.png", "notes.txt"]
    _table(folder, image=paths, caption=list("abcdef"))
    pairs, images = _read(folder)
    told = pd.read_parquet(pairs)["status"].tolist()
    assert told[:5] == [
        "ok",
        "lies outside the folder",
        "lies outside the folder",
        "is not in the folder",
        "is not a picture",
    ]
    assert told[5].startswith("is none of .png")
    assert len(list(read_pictures(images))) == 1


def test_a_link_that_leads_out_of_the_folder_is_not_followed(folder):
    (folder.parent / "secret.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    _table(folder, image=["a.png", "link.png"], caption=["a", "b"])
    pairs, _ = _read(folder)
    assert pd.read_parquet(pairs)["status"].tolist() == ["ok", "lies outside the folder"]


def test_a_sample_is_drawn_by_seed_and_keeps_the_order(folder):
    _table(folder, image=["a.png", "sub/b.PNG", "c.png"] * 10, caption=[str(i) for i in range(30)])
    drawn = [read_pairs(_read(folder, rows=5, seed=s)[0], "pairs")["caption"] for s in (1, 1, 2)]
    numbers = drawn[0].astype(int)
    assert len(numbers) == 5
    assert numbers.is_monotonic_increasing
    assert drawn[0].equals(drawn[1])
    assert not drawn[0].equals(drawn[2])


def test_classes_and_edits(folder):
    (folder / "classes.json").write_text(json.dumps({"names": ["x", "y"], "templates": ["a {}"]}))
    _table(folder, image=["a.png", "c.png"], label=[1, 0])
    pairs, images = _read(folder, "classes")
    assert read_pairs(pairs, "classes")["label"].tolist() == [1, 0]
    assert json.loads((images / "classes.json").read_text())["names"] == ["x", "y"]
    _table(folder, image=["a.png"], source=["c.png"], caption=["darker"], triplet=[0])
    pairs, _ = _read(folder, "edits")
    row = read_pairs(pairs, "edits").iloc[0]
    assert row["image"] != row["source"]


@pytest.mark.parametrize(
    ("columns", "kind", "told"),
    [
        ({"image": ["a.png"]}, "pairs", "lacks the column caption"),
        ({"image": ["a.png", "c.png"], "caption": ["x", None]}, "pairs", "row 1 has an empty cell"),
        ({"image": ["gone.png"], "caption": ["x"]}, "pairs", "none of its pictures can be used"),
        ({"image": ["a.png"], "label": [0]}, "classes", r"classes\.json does not exist"),
    ],
)
def test_a_wrong_folder_gets_one_sentence(folder, columns, kind, told):
    _table(folder, **columns)
    with pytest.raises(InputError, match=told):
        _read(folder, kind)


def test_a_folder_without_a_table_gets_one_sentence(folder):
    with pytest.raises(InputError, match=r"has no pairs\.parquet or pairs\.csv"):
        _read(folder)
