import json

import pandas as pd
import pytest

from isoenergy.data.edits import list_edits
from isoenergy.data.gather import gather_ranges
from isoenergy.data.pairs import read_pairs
from isoenergy.data.shards import encode_png, write_shard
from isoenergy.errors import InputError

# Category, target, source, captions.
EDITS = (
    ("dress", "A1", "B2", ["longer", "is red"]),
    ("shirt", "C3", "A1", ["blue", "no collar"]),
    ("toptee", "B2", "D4", ["x", "y"]),
)
URLS = {"dress": "A1 \t http://h/a.jpg\nB2 \t http://h/b.jpg\n", "shirt": "C3\thttp://h/c.jpg\n\n"}


@pytest.fixture
def downloads(tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    for category, target, source, captions in EDITS:
        entry = {"target": target, "candidate": source, "captions": captions}
        (folder / f"cap.{category}.val.json").write_text(json.dumps([entry]))
        (folder / f"asin2url.{category}.txt").write_text(URLS.get(category, ""))
    return sorted(folder.iterdir())


def _list(downloads, rows=None):
    folder = downloads[0].parents[1]
    links, edits = folder / "links.parquet", folder / "edits.parquet"
    list_edits(downloads, links, edits, "fiq", "val", rows, 0)
    return pd.read_parquet(links), pd.read_parquet(edits)


def test_every_picture_is_a_link_once_and_every_caption_a_row(downloads):
    links, edits = _list(downloads)
    assert dict(zip(links["id"], links["url"], strict=True)) == {
        "A1": "http://h/a.jpg",
        "C3": "http://h/c.jpg",
        "B2": "http://h/b.jpg",
        "D4": "",  # of no address that is listed
    }
    assert edits["caption"].tolist() == ["longer", "is red", "blue", "no collar", "x", "y"]
    assert edits["triplet"].tolist() == [0, 0, 1, 1, 2, 2]
    assert edits["image"].tolist()[::2] == ["A1", "C3", "B2"]
    assert edits["source"].tolist()[::2] == ["B2", "A1", "D4"]


def test_a_sample_asks_for_the_pictures_that_it_needs_alone(downloads):
    links, edits = _list(downloads, 2)
    assert len(edits) == 2
    assert set(links["id"]) == {*edits["image"], *edits["source"]}


def test_rows_without_both_pictures_say_which_failed(downloads, tmp_path):
    links, _ = _list(downloads)
    told = {"A1": "ok", "C3": "HTTP 404", "B2": "ok", "D4": "not a http or https URL"}
    links["status"] = links["id"].map(told)
    links["image"] = [f"{i:09d}" for i in range(len(links))]
    links["sha256"] = links["id"].where(links["status"] == "ok", "")
    links.to_parquet(tmp_path / "0.parquet")
    keys = links.loc[links["status"] == "ok", "image"]
    grey = encode_png(pd.DataFrame([[0]]).to_numpy().astype("uint8")[:, :, None].repeat(3, 2))
    write_shard(tmp_path / "0.tar", [(f"{key}.png", grey) for key in keys], "")
    paths = [tmp_path / name for name in ("p.parquet", "images", "links.parquet", "f.parquet")]
    gather_ranges(
        [tmp_path / "0.tar"], [tmp_path / "0.parquet"], *paths, edits=tmp_path / "edits.parquet"
    )
    table = pd.read_parquet(tmp_path / "p.parquet")
    assert table["status"].tolist()[::2] == ["ok", "HTTP 404", "not a http or https URL"]
    usable = read_pairs(tmp_path / "p.parquet", "edits")
    key = dict(zip(links["id"], links["image"], strict=True))
    assert usable["image"].tolist() == [key["A1"]] * 2
    assert usable["source"].tolist() == [key["B2"]] * 2
    fetched = pd.read_parquet(tmp_path / "f.parquet")
    assert fetched["id"].tolist() == usable["id"].tolist()
    assert fetched["sha256"].tolist() == ["A1", "A1"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("asin2url.shirt.txt", None, r"asin2url\.shirt\.txt is not in the folder: "),
        ("cap.dress.val.json", "[{}]", r"cap\.dress\.val\.json is not of the form that is publ"),
        (
            "cap.dress.val.json",
            json.dumps([{"target": "../../x", "candidate": "B2", "captions": ["a"]}]),
            r"'\.\./\.\./x' is no number of a good",
        ),
    ],
)
def test_files_of_another_form_are_one_sentence(downloads, name, content, told):
    path = downloads[0].parent / name
    path.write_text(content) if content else path.unlink()
    with pytest.raises(InputError, match=told):
        _list([path for path in downloads if path.exists()])
