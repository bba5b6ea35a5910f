import numpy as np
import pandas as pd
import pytest

from isoenergy.data import scenes as module
from isoenergy.data.factors import BY_NAME, SHARED
from isoenergy.data.scenes import SceneSet, class_names, write_scenes
from isoenergy.data.shards import decode_picture, read_pictures
from isoenergy.files import read_json, read_parquet

PAIRS = SceneSet("few", "pairs", 0.25, "plain", captions=3)
CLASSES = SceneSet("few", "classes", 0.0, "plain")
EDITS = SceneSet("few", "edits", 0.25, "plain")
BACKGROUNDS = {
    "white": (250, 250, 250),
    "black": (12, 12, 12),
    "grey": (128, 128, 128),
    "brown": (110, 70, 35),
    "navy": (15, 25, 85),
    "beige": (228, 212, 178),
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a set in shards of 16 units; gives its table and its folder of pictures."""
    monkeypatch.setattr(module, "SHARD_ROWS", 16)

    def run(scenes, rows, seed=5, name="set"):
        folder = tmp_path / name
        write_scenes(scenes, rows, seed, folder / "pairs.parquet", folder / "images")
        return read_parquet(folder / "pairs.parquet"), folder

    return run


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("scenes", [PAIRS, CLASSES, EDITS], ids=lambda scenes: scenes.kind)
def test_a_seed_gives_its_bytes(write, scenes):
    _, first = write(scenes, 50, name="first")
    _, again = write(scenes, 50, name="again")
    _, other = write(scenes, 50, seed=6, name="other")
    assert content(first) == content(again)
    for name, found in content(other).items():
        assert (found == content(first)[name]) == name.endswith("classes.json")


@pytest.mark.parametrize("scenes", [PAIRS, CLASSES, EDITS], ids=lambda scenes: scenes.kind)
@pytest.mark.parametrize("more", [36, 120])
def test_the_first_rows_do_not_depend_on_how_many_follow(write, scenes, more):
    few, few_folder = write(scenes, 30, name="few")
    many, many_folder = write(scenes, more, name="many")
    pd.testing.assert_frame_equal(few, many.head(30))
    pictures = dict(read_pictures(many_folder / "images"))
    for key, found in read_pictures(few_folder / "images"):
        assert found == pictures[key]


@pytest.mark.parametrize(
    ("scenes", "asked", "rows", "pictures"),
    [(PAIRS, 50, 51, 17), (PAIRS, 1, 3, 1), (CLASSES, 33, 33, 33), (EDITS, 33, 34, 34)],
)
def test_a_last_incomplete_picture_is_completed(write, scenes, asked, rows, pictures):
    table, folder = write(scenes, asked)
    keys = [key for key, _ in read_pictures(folder / "images")]
    assert len(table) == rows
    assert table["id"].is_unique
    assert len(keys) == len(set(keys)) == pictures
    assert set(table["image"]) | set(table.get("source", ())) == set(keys)


def test_captions_of_one_picture_share_what_it_shows(write):
    table, _ = write(PAIRS, 60)
    seen = [f"factor_{f.name}" for f in SHARED] + ["factor_noise", "factor_border", "factor_logo"]
    assert (table.groupby("image").size() == 3).all()
    assert (table.groupby("image")[seen].nunique() == 1).all(axis=None)
    assert (table.groupby("image")["caption"].nunique() > 1).mean() > 0.9
    assert (table.groupby("image")["factor_phrasing"].nunique() > 1).mean() > 0.9
    assert list(table["id"].head(4)) == [
        "few-00000000-0",
        "few-00000000-1",
        "few-00000000-2",
        "few-00000001-0",
    ]


def test_captions_tell_the_factors_that_the_table_says(write):
    table, _ = write(PAIRS, 60)
    for _, row in table.iterrows():
        words = row["caption"].split()
        for factor in SHARED:
            vocabulary = {word for value in factor.values for word in value.split()}
            told = row[f"factor_{factor.name}"].split() if row[f"told_{factor.name}"] else []
            assert [word for word in words if word in vocabulary] == told


@pytest.mark.parametrize("scenes", [PAIRS, CLASSES, EDITS], ids=lambda scenes: scenes.kind)
def test_pictures_show_the_factors_that_the_table_says(write, scenes):
    table, folder = write(scenes, 700)
    pictures = {key: np.asarray(decode_picture(c)) for key, c in read_pictures(folder / "images")}
    clear = table[(table["factor_noise"] == "none") & (table["factor_exposure"] == "normal")]
    # Objects that leave the upper left corner to the background.
    clear = clear[(clear["factor_size"] == "small") & ~clear["factor_place"].str.contains("top")]
    assert len(clear) > 5
    for _, row in clear.iterrows():
        picture = pictures[row["image"]]
        ground = BACKGROUNDS[row["factor_background"]]
        frame = {"none": ground, "white": 3 * (255,), "black": 3 * (0,)}[row["factor_border"]]
        assert tuple(picture[0, 0]) == frame
        assert tuple(picture[2, 2]) == ground


def test_a_label_is_the_class_of_colour_and_shape(write):
    table, folder = write(CLASSES, 100)
    names = read_json(folder / "images" / "classes.json")["names"]
    assert names == class_names()
    assert len(set(names)) == 64
    assert names[:9][-2:] == ["red heart", "orange circle"]
    assert [names[label] for label in table["label"]] == list(
        table["factor_colour"] + " " + table["factor_shape"]
    )
    assert "caption" not in table


@pytest.fixture
def drawn(monkeypatch):
    """The factor codes of every call to the drawing function, whose pictures are left blank."""
    calls = []

    def record(factors, rng):
        calls.append(factors)
        return np.zeros((len(factors["shape"]), 2, 2, 3), dtype=np.uint8)

    monkeypatch.setattr(module, "draw_scenes", record)
    return calls


def test_an_edits_captions_name_exactly_the_factors_that_change(write, drawn):
    table, _ = write(EDITS, 32)
    source, target = drawn
    counts = []
    for (triplet, rows), i in zip(table.groupby("triplet"), range(16), strict=True):
        changed = [f for f in SHARED if source[f.name][i] != target[f.name][i]]
        counts.append(len(changed))
        assert triplet == i
        short, long = rows["caption"]
        assert short.startswith("same but ")
        assert long.endswith(" , otherwise the same")
        assert long.count(" and ") == short.count(" and ") == len(changed) - 1
        for factor in SHARED:
            old, new = (factor.values[side[factor.name][i]] for side in (source, target))
            assert (rows[f"factor_{factor.name}"] == new).all()
            named = [f"{new} not {old}" in long, f"{new} instead of" in long]
            named.append(f"{new} background not {old}" in long)
            assert any(named) == (factor in changed)
    assert set(counts) == {1, 2}


def test_an_edit_redraws_what_captions_cannot_tell(write, drawn):
    write(EDITS, 32)
    source, target = drawn
    assert set(source) == set(target)
    for name in ("noise", "exposure", "border", "logo", "jitter"):
        assert (source[name] != target[name]).any()
        assert BY_NAME[name].kind == "picture"


def test_source_and_target_of_an_edit_are_two_pictures(write):
    table, folder = write(EDITS, 40)
    pictures = dict(read_pictures(folder / "images"))
    assert (table["source"].str[0] == "s").all()
    assert (table["image"].str[0] == "t").all()
    assert (table["source"].str[1:] == table["image"].str[1:]).all()
    for _, row in table.iterrows():
        assert pictures[row["source"]] != pictures[row["image"]]
