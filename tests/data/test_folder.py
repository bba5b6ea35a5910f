import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from hostile import encoded, huge_png, pictures, upright
from PIL import Image

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


def _read(folder, kind="pairs", rows=None, seed=0, threads=1):
    pairs, images = folder.parent / "out/pairs.parquet", folder.parent / "out/images"
    read_folder(folder, [], pairs, images, "mine", "folder", None, kind, rows, seed, threads)
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
    assert told == [
        "ok",
        "lies outside the folder",
        "lies outside the folder",
        "is not in the folder",
        "not a picture",
        "not a picture",
    ]
    assert len(list(read_pictures(images))) == 1


def test_a_name_that_no_file_can_have_costs_its_row_alone(folder):
    (folder / "loop.png").symlink_to("loop.png")
    paths = ["a.png", "x" * 300 + ".png", "y/" * 3000, "loop.png", "sub", "sub\\b.PNG", "."]
    _table(folder, image=paths, caption=list("abcdefg"))
    pairs, _ = _read(folder)
    assert pd.read_parquet(pairs)["status"].tolist() == ["ok", *["is not in the folder"] * 6]


def test_transparency_is_white_or_dropped(folder):
    clear = Image.new("RGBA", (8, 8), (200, 30, 30, 0))
    (folder / "clear.png").write_bytes(encoded(clear, "PNG"))
    _table(folder, image=["clear.png"], caption=["x"])
    for transparency, colour in (("white", (255, 255, 255)), ("drop", (200, 30, 30))):
        out = folder.parent / transparency
        read_folder(
            *(folder, [], out / "pairs.parquet", out / "images", "mine", "folder", None, "pairs"),
            *(None, 0, 1, transparency),
        )
        [(_, content)] = read_pictures(out / "images")
        assert np.abs(np.asarray(decode_picture(content)).astype(int) - colour).max() <= 3


def test_a_link_that_leads_out_of_the_folder_is_not_followed(folder):
    (folder.parent / "secret.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    _table(folder, image=["a.png", "link.png"], caption=["a", "b"])
    pairs, _ = _read(folder)
    assert pd.read_parquet(pairs)["status"].tolist() == ["ok", "lies outside the folder"]


def test_pictures_of_every_kind_are_made_alike_and_bad_ones_told(folder):
    made = pictures(1)
    bad = {
        "cut.jpg": (made["good0"][:700], "picture is truncated or corrupt"),
        "thin.png": (encoded(Image.new("RGB", (1, 9)), "PNG"), "picture has a side of one pixel"),
        "bomb.png": (huge_png(20_000, 20_000), "picture has too many pixels"),
        "page.jpg": (b"<html></html>", "not a picture"),
    }
    grey = encoded(upright("x").convert("L"))
    for name, content in {**made, "grey": grey}.items():
        (folder / name).write_bytes(content)
    for name, (content, _) in bad.items():
        (folder / name).write_bytes(content)
    names = [*made, "grey", *bad]
    _table(folder, image=names, caption=names)
    pairs, images = _read(folder)
    told = pd.read_parquet(pairs).set_index("caption")
    assert told["status"].to_dict() == {
        **dict.fromkeys([*made, "grey"], "ok"),
        **{name: why for name, (_, why) in bad.items()},
    }
    stored = dict(read_pictures(images))
    assert len(stored) == len(made) + 1
    kept = {name: stored[told.loc[name, "image"]] for name in [*made, "grey"]}
    # The size stays, and so do the bytes of what needs nothing.
    assert all(kept[name] == made[name] for name in ("good0", "png", "webp", "wide"))
    assert kept["grey"] == grey
    right = np.asarray(upright("F up")).astype(int)
    for orientation in range(1, 9):
        seen = np.asarray(decode_picture(kept[f"turned{orientation}"])).astype(int)
        assert np.abs(seen - right).mean() < 4
    for name in ("cmyk", "deep", "animated", "alpha"):
        picture = Image.open(io.BytesIO(kept[name]))
        assert (picture.mode, picture.format) == ("RGB", "JPEG")
    assert np.asarray(decode_picture(kept["deep"])).mean() == pytest.approx(127.5, abs=2)


def test_threads_change_nothing_that_is_written(folder):
    for i in range(40):
        (folder / f"n{i}.jpg").write_bytes(encoded(upright(str(i)).convert("CMYK")))
    names = [f"n{i}.jpg" for i in range(40)]
    _table(folder, image=names, caption=names)
    written = []
    for threads in (1, 5):
        pairs, images = _read(folder, threads=threads)
        shards = [path.read_bytes() for path in sorted(images.glob("*.tar"))]
        written.append((pairs.read_bytes(), shards))
    assert written[0] == written[1]


def test_pictures_in_an_archive_are_read_as_if_it_were_unpacked(folder):
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        archive.writestr("zipped/z.png", (folder / "c.png").read_bytes())
        archive.writestr("../../escaped.png", (folder / "a.png").read_bytes())
    paths = ["zipped/z.png", "a.png", "../../escaped.png", "zipped/none.png"]
    _table(folder, image=paths, caption=paths)
    pairs, images = _read(folder)
    assert pd.read_parquet(pairs)["status"].tolist() == [
        "ok",
        "ok",
        "lies outside the folder",
        "is not in the folder",
    ]
    assert len(list(read_pictures(images))) == 2
    assert not list(folder.parent.parent.glob("escaped*"))


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
        ({"image": [], "caption": []}, "pairs", r"pairs\.csv has a header and no rows"),
    ],
)
def test_a_wrong_folder_gets_one_sentence(folder, columns, kind, told):
    _table(folder, **columns)
    with pytest.raises(InputError, match=told):
        _read(folder, kind)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"names": ["x", " "], "templates": ["a {}"]}, "names must be a list of texts, none"),
        ({"names": "xy", "templates": ["a {}"]}, "names must be a list of texts"),
        ({"names": ["x"], "templates": ["a photo"]}, "template 'a photo' needs {} once"),
        ({"names": ["x"], "templates": ["{} or {}"]}, "needs {} once, where the name goes"),
        ({"names": ["x"], "templates": ["a {}"]}, "the label 1 .*names 1 classes, the first is 0"),
    ],
)
def test_classes_that_name_nothing_are_one_sentence(folder, told, why):
    (folder / "classes.json").write_text(json.dumps(told))
    _table(folder, image=["a.png", "c.png"], label=[0, 1])
    with pytest.raises(InputError, match=why):
        _read(folder, "classes")


def test_a_folder_without_a_table_gets_one_sentence(folder):
    with pytest.raises(InputError, match=r"has no pairs\.parquet or pairs\.csv"):
        _read(folder)
