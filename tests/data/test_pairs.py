import pandas as pd
import pytest

from isoenergy.data.pairs import check_pairs, read_pairs, write_pairs
from isoenergy.errors import InputError

EXTRA = {
    "pairs": {"caption": ["x", "y", "z"]},
    "classes": {"label": [0, 5, 0]},
    "edits": {"caption": ["x", "y", "z"], "source": ["s", "s", "s"], "triplet": [0, 0, 1]},
}


def table(kind, **changed):
    content = {"id": ["a", "b", "c"], "image": ["p", "p", "q"], "status": ["ok", "404", "ok"]}
    return pd.DataFrame({**content, **EXTRA[kind], **changed})


@pytest.mark.parametrize("kind", EXTRA)
def test_a_good_table_comes_back_without_the_rows_that_failed(tmp_path, kind):
    whole = table(kind, factor_colour=["red", "blue", "red"])
    write_pairs(tmp_path / "pairs.parquet", whole, kind)
    read = read_pairs(tmp_path / "pairs.parquet", kind)
    pd.testing.assert_frame_equal(
        read, whole.iloc[[0, 2]].reset_index(drop=True), check_dtype=False
    )


@pytest.mark.parametrize(
    ("kind", "changed", "column"),
    [
        ("pairs", {"id": ["a", "b", "a"]}, "id"),
        ("pairs", {"id": ["a", None, "c"]}, "id"),
        ("pairs", {"id": [1, 2, 3]}, "id"),
        ("pairs", {"image": ["p", None, "q"]}, "image"),
        ("pairs", {"caption": ["x", None, "z"]}, "caption"),
        ("pairs", {"status": [True, False, True]}, "status"),
        ("classes", {"label": [0, -1, 0]}, "label"),
        ("classes", {"label": [0.0, 1.5, 0.0]}, "label"),
        ("classes", {"label": ["cat", "dog", "cat"]}, "label"),
        ("edits", {"triplet": [0, -1, 0]}, "triplet"),
        ("edits", {"source": ["s", None, "s"]}, "source"),
    ],
)
def test_a_bad_column_is_named_and_nothing_is_written(tmp_path, kind, changed, column):
    path = tmp_path / "pairs.parquet"
    with pytest.raises(InputError, match=column) as told:
        write_pairs(path, table(kind, **changed), kind)
    assert str(told.value).startswith(f"{path}: ")
    assert "\n" not in str(told.value)
    assert not path.exists()


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        *((kind, column) for kind in EXTRA for column in ("id", "image", "status")),
        *((kind, column) for kind, columns in EXTRA.items() for column in columns),
    ],
)
def test_a_missing_column_is_named(kind, column):
    with pytest.raises(InputError, match=rf"^here: .*{column}"):
        check_pairs(table(kind).drop(columns=column), kind, "here")


def test_a_table_without_rows_is_refused(tmp_path):
    with pytest.raises(InputError, match="here"):
        check_pairs(table("pairs").head(0), "pairs", "here")


def test_a_table_without_pictures_is_refused(tmp_path):
    path = tmp_path / "pairs.parquet"
    write_pairs(path, table("pairs", status=["404"] * 3), "pairs")
    with pytest.raises(InputError, match="none of 3 rows has a picture; see its status column"):
        read_pairs(path, "pairs")
