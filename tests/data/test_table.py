import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from isoenergy.data.folder import count_rows, find_layout, find_table
from isoenergy.data.table import read_table
from isoenergy.data.unpacked import Unpacked
from isoenergy.errors import InputError

NEVER_MISSING = ["None", "null", "NA", "nan", "n/a", "NaN", "N/A", "#N/A", "NULL", "-", "0", "true"]


def read(tmp_path, content, kind="pairs", classes=None):
    path = tmp_path / "pairs.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, "mine", kind, classes)


def refused(tmp_path, content, kind="pairs", classes=None):
    with pytest.raises(InputError) as told:
        read(tmp_path, content, kind, classes)
    message = str(told.value)
    assert message.startswith(f"{tmp_path / 'pairs.csv'}")
    assert "\n" not in message
    return message


def test_no_word_stands_for_an_empty_cell(tmp_path):
    lines = "".join(f"{word},{word}.png,{word}\n" for word in NEVER_MISSING)
    table = read(tmp_path, f"id,image,caption\n{lines}")
    assert table["caption"].tolist() == table["id"].tolist() == NEVER_MISSING
    assert table["image"].tolist() == [f"{word}.png" for word in NEVER_MISSING]


def test_ids_stay_the_text_that_they_are(tmp_path):
    ids = ["007", "7", "7.0", "1e3", "0x7", "+7", "9007199254740993"]
    table = read(tmp_path, "image,caption,id\n" + "".join(f"a.png,x,{i}\n" for i in ids))
    assert table["id"].tolist() == ids


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfimage,caption\na.png,caf\xc3\xa9\nb.png,y",
        b"image,caption\r\na.png,caf\xc3\xa9\r\nb.png,y\r\n",
        b"image,caption\ra.png,caf\xc3\xa9\rb.png,y\r",
        b" caption , image \n\n\ncaf\xc3\xa9,a.png\n   \ny,b.png\n\n",
        b'"image","caption",more,more,\n"a.png","caf\xc3\xa9",,,\n"b.png",y,z,z,z\n',
    ],
)
def test_files_as_programs_write_them_are_read_alike(tmp_path, content):
    table = read(tmp_path, content)
    assert table["caption"].tolist() == ["café", "y"]
    assert table["image"].tolist() == ["a.png", "b.png"]
    assert table["id"].tolist() == ["mine-00000000", "mine-00000001"]


def test_quotes_keep_commas_quotes_and_line_breaks(tmp_path):
    table = read(tmp_path, 'image,caption\na.png,"x, ""y""\nz"\nb.png,12" wide\n')
    assert table["caption"].tolist() == ['x, "y"\nz', '12" wide']


def test_blanks_behind_a_comma_do_not_count(tmp_path):
    table = read(tmp_path, 'caption, image, id\n"a dog, running", a.png, "007"\n" x", b.png, 7\n')
    assert table["caption"].tolist() == ["a dog, running", " x"]
    assert table["image"].tolist() == ["a.png", "b.png"]
    assert table["id"].tolist() == ["007", "7"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty; its first row names the columns"),
        ("\n\n", "is empty"),
        ("image,caption\n", "has a header and no rows"),
        ("a.png,a dog\nb.png,a cat\n", "lacks the column image; .*'a.png', 'a dog'"),
        ("image,text\na.png,x\n", "lacks the column caption; .* this one has 'image', 'text'"),
        ("image;caption\na.png;x\n", "separates its cells by semicolons; separate them by commas"),
        ("image;caption\na.png;x, y\n", "separates its cells by semicolons"),
        ('"image";"caption"\n"a.png";"x"\n', "separates its cells by semicolons"),
        ("image\tcaption\na.png\tx\n", "separates its cells by tabs"),
        ("image|caption\na.png|x\n", "separates its cells by bars"),
        ("image,caption,caption\na.png,x,y\n", "has two columns caption; drop one"),
        ("image,caption\na.png,x\nb.png,a dog, red\n", r"row 1 \(line 3\) has 3 cells .* 2; put"),
        ("image,caption\na.png,a dog, red\n", r"row 0 \(line 2\) has 3 cells and the header 2"),
        ('image,caption\n"a.png","x\ny"\n\nb.png\n', r"row 1 \(line 5\) has 1 cell .* 2; fill in"),
        ("image,caption\na.png,x\nb.png,\n", r"row 1 has an empty cell \(line 3, column caption"),
        ("image,caption\na.png,x\n ,y\n", r"row 1 has an empty cell \(line 3, column image"),
        ("image,caption,id\na.png,x,a\nb.png,y,\n", "row 1 has an empty cell .*column id"),
        ("image,caption,id\na.png,x,7\nb.png,y,8\nc.png,z,7\n", "row 2 has the id '7' of row 0"),
        ('image,caption\na.png,"x\nb.png,y\n', r"row 0 \(line 2\) is not CSV \(unexpected end"),
        ('image,caption\na.png,x\nb.png,"y" z\n', r"row 1 \(line 3\) is not CSV \(',' expected"),
        (f"image,caption\na.png,{'x' * 200_000}\n", r"row 0 \(line 2\) is not CSV \(field larger"),
        ("image,caption\na.png,x\nb.png,y\0z\n", r"row 1 \(line 3\) has a NUL byte"),
        ("image,caption\na.png,café\n".encode("utf-16"), "is in UTF-16 or UTF-32; save it"),
        ("image,caption\na.png,x\n".encode("utf-16-be"), "the header has a NUL byte, as text in"),
        ("image,caption\na.png,x\n".encode("utf-32"), "is in UTF-16 or UTF-32"),
        (
            "image,caption\na.png,x\nb.png,café\n".encode("latin-1"),
            r"row 1 \(line 3\) is not in UTF-8 \(byte 0xE9\); save it as CSV in UTF-8",
        ),
        (b"PK\x03\x04\x14\x00\x06\x00 a workbook", "is a workbook, an archive or parquet, and no"),
        (b"PAR1\x15\x04", "is a workbook, an archive or parquet"),
        (b"\x1f\x8b\x08image,caption\n", "is a workbook, an archive or parquet"),
    ],
)
def test_what_is_wrong_is_told_with_the_file_and_the_row(tmp_path, content, told):
    assert re.search(told, refused(tmp_path, content))


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("cat", r"row 1 has 'cat' \(line 3, column label\); a whole number from 0"),
        ("-1", "row 1 has '-1'"),
        ("0.5", r"row 1 has '0\.5'"),
        ("9" * 30, "row 1 has '9999"),
        ("2", r"row 1 has the label 2 .*classes\.json names 2 classes"),
    ],
)
def test_a_label_that_is_no_class_is_told(tmp_path, label, told):
    assert re.search(
        told, refused(tmp_path, f"image,label\na.png,0\nb.png,{label}\n", "classes", 2)
    )


def test_whole_numbers_are_read_however_they_are_written(tmp_path):
    labels = read(tmp_path, "image,label\na.png,007\nb.png, 1 \nc.png,2.0\n", "classes")["label"]
    assert labels.tolist() == [7, 1, 2]
    assert labels.dtype == np.int64


def _parquet(tmp_path, **columns):
    path = tmp_path / "pairs.parquet"
    parquet.write_table(pa.table(columns), path)
    return path


def test_parquet_keeps_ids_and_captions_of_any_type_that_is_text(tmp_path):
    table = read_table(
        _parquet(
            tmp_path,
            id=pa.array([7, 2**53 + 1], pa.uint64()),
            image=pa.array(["a.png", "b.png"]).dictionary_encode(),
            caption=pa.array([b"caf\xc3\xa9", b"None"], pa.binary()),
        ),
        "mine",
        "pairs",
    )
    assert table["id"].tolist() == ["7", "9007199254740993"]
    assert table["image"].tolist() == ["a.png", "b.png"]
    assert table["caption"].tolist() == ["café", "None"]


def test_ids_in_the_index_of_a_parquet_file_are_ids(tmp_path):
    table = pd.DataFrame({"image": ["a.png"], "caption": ["x"]}, index=pd.Index(["007"], name="id"))
    table.to_parquet(tmp_path / "pairs.parquet")
    assert read_table(tmp_path / "pairs.parquet", "mine", "pairs")["id"].tolist() == ["007"]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"caption": [["x", "y"], ["z"]]}, r"row 0 has .*column caption\); one text is needed"),
        ({"caption": [1.5, 2.5]}, r"row 0 has '1\.5' .*one text is needed"),
        ({"caption": ["x", None]}, "row 1 has an empty cell"),
        ({"caption": ["x", " \t"]}, "row 1 has an empty cell"),
        ({"caption": [b"x", b"\xff"]}, "row 1 has .*one text is needed"),
        ({"caption": ["x", "y\0"]}, "row 1 has .*one text is needed"),
        ({"caption": ["x", "y"], "id": [7, 7]}, "row 1 has the id '7' of row 0"),
        ({"caption": pa.array([], pa.string()), "image": pa.array([], pa.string())}, "no rows"),
        ({"text": ["x", "y"]}, "lacks the column caption"),
    ],
)
def test_a_wrong_row_of_parquet_is_told(tmp_path, columns, told):
    path = _parquet(tmp_path, **{"image": ["a.png", "b.png"], **columns})
    with pytest.raises(InputError, match=told) as error:
        read_table(path, "mine", "pairs")
    assert str(error.value).startswith(str(path))


def test_a_parquet_file_that_is_none_is_told_in_one_sentence(tmp_path):
    (tmp_path / "pairs.parquet").write_text("image,caption\na.png,x\n")
    with pytest.raises(InputError, match=r"pairs\.parquet cannot be read as parquet .*copy it"):
        read_table(find_table(tmp_path), "mine", "pairs")


@pytest.mark.parametrize("name", ["pairs.parquet", "pairs.csv"])
def test_what_has_the_name_of_a_table_and_is_no_file_is_told(tmp_path, name):
    path = tmp_path / name
    path.mkdir()  # as Spark writes parquet
    for find in (find_table, lambda folder: find_layout(Unpacked(folder), "coco", "val")):
        with pytest.raises(InputError, match=f"{name} is a folder, .*; put the file there$"):
            find(tmp_path)
    path.rmdir()
    path.symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=f"{name} is a link to .*gone, which does not exist"):
        find_table(tmp_path)


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.json", "pairs.xlsx"])
def test_a_table_of_another_suffix_is_named(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"has no pairs.parquet or .*, and {name} is not read"):
        find_table(tmp_path)


@pytest.mark.parametrize("content", [b"", b"image,caption\n", b"\xff\xfe\0i", b'image,caption\n"'])
def test_rows_are_counted_of_any_file_without_an_error(tmp_path, content):
    (tmp_path / "pairs.csv").write_bytes(content)
    assert count_rows(tmp_path, 10) in (None, 0, 1)
