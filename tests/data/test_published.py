import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from isoenergy.data.folder import find_layout, read_folder
from isoenergy.data.pairs import read_pairs
from isoenergy.data.published import TEMPLATES, lacks_index, read_edits
from isoenergy.data.shards import decode_picture, encode_png, read_pictures
from isoenergy.data.unpacked import Unpacked
from isoenergy.errors import InputError


def _picture(path, shade):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.full((4, 5, 3), shade, dtype=np.uint8)))


def _json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _read(folder, source, kind, split="train", downloads=()):
    out = (folder or downloads[0].parent).parent / "out"
    pairs, images = out / "pairs.parquet", out / "images"
    read_folder(folder, downloads, pairs, images, source, source, split, kind, None, 0)
    shades = {k: int(np.asarray(decode_picture(c))[0, 0, 0]) for k, c in read_pictures(images)}
    return pd.read_parquet(pairs), shades, images


@pytest.fixture
def coco(tmp_path):
    folder = tmp_path / "coco"
    for i in (1, 2):
        _picture(folder / f"train2017/{i:012d}.png", 10 * i)
    rows = [(2, "b one"), (1, "a"), (2, "b two"), (3, "lost"), (9, "of no picture")]
    told = {
        "images": [{"id": i, "file_name": f"{i:012d}.png"} for i in (2, 3, 1)],
        "annotations": [{"image_id": i, "caption": text} for i, text in rows],
    }
    _json(folder / "annotations/captions_train2017.json", told)
    return folder


def test_coco_has_a_row_for_every_caption_in_the_order_of_its_pictures(coco):
    table, shades, _ = _read(coco, "coco", "pairs")
    assert table["caption"].tolist() == ["b one", "b two", "lost", "a"]
    assert table["status"].tolist() == ["ok", "ok", "is not in the folder", "ok"]
    usable = read_pairs(coco.parent / "out/pairs.parquet", "pairs")
    assert [shades[key] for key in usable["image"]] == [20, 20, 10]


def test_coco_is_read_from_its_archives(coco, tmp_path):
    table, shades, _ = _read(coco, "coco", "pairs")
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    for name in ("annotations", "train2017"):
        with zipfile.ZipFile(downloads / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in (coco / name).iterdir():
                archive.write(path, f"{name}/{path.name}")
    from_zip, same, _ = _read(None, "coco", "pairs", downloads=sorted(downloads.iterdir()))
    assert from_zip.equals(table)
    assert same == shades
    assert sorted(path.name for path in downloads.iterdir()) == ["annotations.zip", "train2017.zip"]


def test_coco_val_is_the_other_part(coco):
    _picture(coco / "val2017/000000000007.png", 70)
    told = {
        "images": [{"id": 7, "file_name": "000000000007.png"}],
        "annotations": [{"image_id": 7, "caption": "v"}],
    }
    _json(coco / "annotations/captions_val2017.json", told)
    table, shades, _ = _read(coco, "coco", "pairs", "val")
    assert table["caption"].tolist() == ["v"]
    assert list(shades.values()) == [70]


def test_a_table_of_the_users_own_goes_first(coco):
    pd.DataFrame({"image": ["train2017/000000000001.png"], "caption": ["mine"]}).to_csv(
        coco / "pairs.csv", index=False
    )
    assert _read(coco, "coco", "pairs")[0]["caption"].tolist() == ["mine"]


def _imagenet(folder, index):
    for wnid, shade in (("n03", 30), ("n01", 10)):
        for i in range(2):
            _picture(folder / f"{wnid}/{wnid}_{i}.PNG", shade + i)
    (folder / "n01/readme.txt").write_text("x")
    # What macOS leaves.
    for name in ("n01/._n01_0.PNG", "__MACOSX/n01/._n01_0.PNG", ".cache/a.PNG", "._n01/a.PNG"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    _json(index, {"0": ["n01", "Great_White_shark"], "1": ["n02", "crane"], "2": ["n03", "crane"]})
    return folder


@pytest.mark.parametrize("where", ["imagenet/val", "imagenet", "downloads"])
def test_imagenet_takes_numbers_and_names_from_its_index(tmp_path, where):
    folder = _imagenet(tmp_path / "imagenet/val", tmp_path / where / "imagenet_class_index.json")
    assert lacks_index(folder, "imagenet") == (where == "downloads")
    downloads = [tmp_path / where / "imagenet_class_index.json"] if where == "downloads" else []
    table, shades, images = _read(folder, "imagenet", "classes", None, downloads)
    assert [(shades[k], n) for k, n in zip(table["image"], table["label"], strict=True)] == [
        (10, 0),
        (11, 0),
        (30, 2),
        (31, 2),
    ]
    classes = json.loads((images / "classes.json").read_text())
    assert classes["names"] == ["great white shark", "crane", "crane"]
    assert classes["templates"] == list(TEMPLATES)


def test_the_prompts_are_eighty_different_ones_of_one_name_each():
    assert len(set(TEMPLATES)) == len(TEMPLATES) == 80
    assert all(template.count("{}") == 1 and template.endswith(".") for template in TEMPLATES)
    told = {"a bad photo of a {}.", "a tattoo of the {}.", "itap of my {}.", "the origami {}."}
    assert told <= set(TEMPLATES)


def test_no_class_is_invented(tmp_path):
    folder = _imagenet(tmp_path / "val", tmp_path / "imagenet_class_index.json")
    _picture(folder / "n99/a.png", 1)
    with pytest.raises(InputError, match="n99 is no class of"):
        _read(folder, "imagenet", "classes")
    (tmp_path / "imagenet_class_index.json").unlink()
    with pytest.raises(InputError, match=r"imagenet_class_index\.json"):
        _read(folder, "imagenet", "classes")


@pytest.mark.parametrize("split", ["train", "val"])
def test_fashioniq_pools_its_categories_with_a_row_per_caption(tmp_path, split):
    folder = tmp_path / "fashioniq"
    for name, shade in (("A1", 10), ("B2", 20), ("C3", 30)):
        _picture(folder / f"images/{name}.png", shade)
        (folder / f"images/._{name}.jpg").write_bytes(b"x")
    for category, target, source in (
        ("dress", "A1", "B2"),
        ("shirt", "C3", "GONE"),
        ("toptee", "B2", "A1"),
    ):
        entry = {"target": target, "candidate": source, "captions": [f"{category} 1", "2"]}
        _json(folder / f"captions/cap.{category}.{split}.json", [entry])
    table, shades, _ = _read(folder, "fashioniq", "edits", split)
    assert table["triplet"].tolist() == [0, 0, 1, 1, 2, 2]
    assert table["category"].tolist()[::2] == ["dress", "shirt", "toptee"]
    lost = "is not in the folder"
    assert table["status"].tolist() == ["ok", "ok", lost, lost, "ok", "ok"]
    usable = read_pairs(tmp_path / "out/pairs.parquet", "edits").iloc[::2]
    assert [shades[key] for key in usable["image"]] == [10, 20]
    assert [shades[key] for key in usable["source"]] == [20, 10]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"images": []}, "not of the form that is published"),
        (
            {
                "images": [{"id": 1, "file_name": 7}],
                "annotations": [{"image_id": 1, "caption": "a"}],
            },
            "not of the form that is published",
        ),
    ],
)
def test_json_of_another_form_gets_one_sentence(coco, content, told):
    _json(coco / "annotations/captions_train2017.json", content)
    with pytest.raises(InputError, match=told):
        _read(coco, "coco", "pairs")


def test_an_empty_folder_is_told_what_it_could_hold(tmp_path):
    with pytest.raises(InputError, match=r"nor annotations/captions_train2017\.json as it is pub"):
        find_layout(Unpacked(tmp_path), "coco", "train")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda told: told.update(annotations={"0": 1}), "is no list"),
        (lambda told: told.update(annotations=[]), "has no picture with a caption; copy or"),
        (lambda told: told["annotations"].append({"image_id": 1e400, "caption": "x"}), "Overflow"),
        (lambda told: told["annotations"].append({"image_id": 1, "caption": ["x"]}), "no text"),
        (lambda told: told["annotations"].append({"image_id": 1, "caption": None}), "no text"),
        (lambda told: told["images"].append({"id": 1, "file_name": "\ud800"}), "surrogates not"),
        (lambda told: told.pop("images"), "KeyError: 'images'"),
    ],
)
def test_annotations_of_another_form_are_one_sentence(coco, change, told):
    path = coco / "annotations/captions_train2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=told) as error:
        _read(coco, "coco", "pairs")
    assert "annotations/captions_train2017.json" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, "é".encode("latin-1")])
def test_annotations_that_are_no_json_are_one_sentence(coco, content):
    (coco / "annotations/captions_train2017.json").write_bytes(content)
    with pytest.raises(InputError, match=r"captions_train2017\.json of .* not valid JSON .*; copy"):
        _read(coco, "coco", "pairs")


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([{"target": "A1", "candidate": "B2", "captions": "is red"}], "'is red' is no list"),
        ([{"target": "A1", "candidate": "B2", "captions": [["is red"]]}], "is no text"),
        ({"target": "A1"}, "is no list"),
        ([], "have no captions; copy or download"),
    ],
)
def test_edits_of_another_form_are_one_sentence(tmp_path, entries, told):
    for category in ("dress", "shirt", "toptee"):
        _json(tmp_path / f"cap.{category}.train.json", entries)
    with pytest.raises(InputError, match=told):
        read_edits(Unpacked(tmp_path), "edits", "train")
