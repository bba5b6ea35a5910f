"""Ids and captions of stores made elsewhere, whatever types their parquet files hold."""

import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from isoenergy.embed.metadata import (
    check_captions,
    check_ids,
    check_schema,
    has_captions,
    read_metadata,
)
from isoenergy.errors import InputError

LARGE = 2**62


def write(folder, *parts):
    """A part of metadata of each table of columns."""
    (folder / "metadata").mkdir(parents=True, exist_ok=True)
    for i, columns in enumerate(parts):
        parquet.write_table(pa.table(columns), folder / f"metadata/metadata_{i:04d}.parquet")
    return folder


def test_ids_of_other_types_are_joined_as_text_without_loss(tmp_path):
    ids = [
        pa.array([LARGE, LARGE + 1], pa.int64()),
        pa.array([2**63 + 1, 2**64 - 1], pa.uint64()),
        pa.array([3.0, 0.5], pa.float64()),
        pa.array(["007", "a"]),
        pa.array([b"b", b"\xff\x00"]),
        pa.array(["x", "y"]).dictionary_encode(),
    ]
    write(tmp_path, *({"id": own} for own in ids))
    found = read_metadata(tmp_path, 12)["id"].tolist()
    assert found == [
        *(str(LARGE), str(LARGE + 1), str(2**63 + 1), str(2**64 - 1), "3", "0.5"),
        *("007", "a", "b", "ff00", "x", "y"),
    ]
    assert len(check_ids(tmp_path, 12, {})) == 64


def test_an_id_that_occurs_twice_is_told_with_what_to_do(tmp_path, sentence):
    write(tmp_path, {"id": [0, 0, 1]})
    told = sentence(check_ids, tmp_path, 3, {})
    assert "row id '0' occurs twice in the metadata, in rows 0 and 1" in told
    assert "make them unique, or drop or rename the column id" in told
    assert "float64" not in told
    # Two ids of pandas that have become one.
    write(tmp_path, {"id": np.array([LARGE, LARGE + 1], dtype=np.float64)})
    assert "(as float64 they are exact to 2**53 alone)" in sentence(check_ids, tmp_path, 2, {})
    write(tmp_path, {"id": np.array([2**24, 2**24 + 1]).astype(np.float32)})
    assert "(as float32 they are exact to 2**24 alone)" in sentence(check_ids, tmp_path, 2, {})


def test_an_id_may_be_of_a_type_of_its_own(tmp_path):
    storage = pa.array([bytes([i]) * 16 for i in (200, 201)], pa.binary(16))
    write(tmp_path, {"id": pa.ExtensionArray.from_storage(pa.uuid(), storage)})
    assert read_metadata(tmp_path, 2)["id"].tolist() == ["c8" * 16, "c9" * 16]


def test_an_id_that_is_the_index_of_a_table_is_read(tmp_path):
    (tmp_path / "metadata").mkdir()
    table = pd.DataFrame({"id": ["a", "b"], "caption": ["x", "y"]}).set_index("id")
    table.to_parquet(tmp_path / "metadata/metadata_0000.parquet")
    assert read_metadata(tmp_path, 2)["id"].tolist() == ["a", "b"]


def test_the_name_of_a_folder_is_no_column(tmp_path):
    write(tmp_path / "id=5", {"caption": ["x", "y"]})
    assert read_metadata(tmp_path / "id=5", 2)["id"].tolist() == ["0", "1"]


def test_captions_are_read_from_lists_and_bytes(tmp_path):
    captions = [
        pa.array([["first", "second"], [], None]),
        pa.array(["é".encode(), b"b", None]),
        pa.array([[b"c"], [b"d", b"e"], [b"f"]], pa.large_list(pa.binary())),
        pa.array([["g"], ["h"], ["i"]], pa.list_(pa.string(), 1)),
        pa.array(["j", None, "None"]).dictionary_encode(),
    ]
    write(tmp_path, *({"caption": own} for own in captions))
    check_schema(tmp_path, [(tmp_path / "image.npy", 15)])
    assert has_captions(tmp_path)
    found = read_metadata(tmp_path, 15)
    assert found["caption"].tolist() == [
        *("first", None, None, "é", "b", None, "c", "d", "f", "g", "h", "i", "j", None, "None")
    ]
    assert found.columns.tolist() == ["id", "caption"]


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pa.array([1, 2]), "column caption holds int64; captions are text, bytes of UTF-8"),
        (pa.array([{"raw": "a"}, {"raw": "b"}]), "column caption holds struct<raw: string>"),
        (pa.array([[["a"]], [["b"]]]), "column caption holds list<"),
    ],
)
def test_captions_of_other_types_are_refused(tmp_path, column, told, sentence):
    write(tmp_path, {"caption": column})
    assert told in sentence(check_schema, tmp_path, [(tmp_path / "image.npy", 2)])
    assert told in sentence(read_metadata, tmp_path, 2)


def test_captions_that_are_no_text_are_refused_with_their_row(tmp_path, sentence):
    write(tmp_path, {"caption": [b"good", b"\xff\xfe"]})
    told = "metadata_0000.parquet: the caption of row 1 is bytes that are no UTF-8"
    assert told in sentence(read_metadata, tmp_path, 2)
    # Known before anything is made, not when captions are shown.
    assert told in sentence(check_captions, tmp_path)
    latin = pa.Array.from_buffers(pa.string(), 2, pa.array([b"good", b"caf\xe9"]).buffers())
    write(tmp_path, {"caption": latin})
    assert "cannot be read as parquet ('utf-8' codec" in sentence(check_captions, tmp_path)


def test_columns_that_nothing_depends_on_do_no_harm(tmp_path):
    latin = pa.Array.from_buffers(pa.string(), 2, pa.array([b"a", b"caf\xe9"]).buffers())
    arrays = [["x", "y"], ["1.jpg", "2.jpg"], ["u", "v"], ["u", "v"], latin]
    names = ["caption", "image", "url", "url", "author"]
    (tmp_path / "metadata").mkdir()
    table = pa.table([pa.array(own) for own in arrays], names=names)
    parquet.write_table(table, tmp_path / "metadata/metadata_0000.parquet")
    found = read_metadata(tmp_path, 2)
    assert found.to_dict("list") == {
        "id": ["0", "1"],
        "caption": ["x", "y"],
        "image": ["1.jpg", "2.jpg"],
    }


def test_metadata_that_is_no_parquet_by_name_is_not_left_out_in_silence(tmp_path, sentence):
    write(tmp_path, {"id": ["a"]})
    path = tmp_path / "metadata/metadata_0000.parquet"
    for name in ("metadata_0000.csv", "metadata_0000.PARQUET", "part-0.snappy.parquet.gz"):
        path = path.rename(path.with_name(name))
        assert f"{name} is not named as a part, which is" in sentence(read_metadata, tmp_path, 1)


def test_lists_are_no_ids(tmp_path, sentence):
    write(tmp_path, {"id": [["a"], ["b"]]})
    assert "column id holds list<" in sentence(check_ids, tmp_path, 2, {})


def test_parts_have_the_same_columns(tmp_path, sentence):
    write(tmp_path, {"id": ["a"], "caption": ["x"]}, {"id": ["b"]})
    told = sentence(check_schema, tmp_path, [(tmp_path / "image.npy", 2)])
    assert "metadata_0001.parquet has no column caption and metadata_0000.parquet has one" in told
    assert has_captions(tmp_path)
    write(tmp_path, {"id": ["a"]}, {"caption": ["x"]})
    assert "0001.parquet has no column id" in sentence(read_metadata, tmp_path, 2)


def test_parts_of_one_number_hold_the_same_pairs(tmp_path, sentence):
    write(tmp_path, {"id": ["a"]}, {"id": ["b", "c"]})

    def arrays(*parts):
        return [(tmp_path / f"img_emb_{number:04d}.npy", rows) for number, rows in parts]

    check_schema(tmp_path, arrays((0, 1), (1, 2)))
    # Cut otherwise, as captions in one file are.
    check_schema(tmp_path, arrays((0, 3)))
    told = sentence(check_schema, tmp_path, arrays((0, 2), (1, 1)))
    assert "metadata_0000.parquet has 1 rows and img_emb_0000.npy 2" in told
    told = sentence(check_schema, tmp_path, arrays((0, 1), (2, 2)))
    assert "metadata_0001.parquet and img_emb_0002.npy have the same place" in told
    told = sentence(check_schema, tmp_path, arrays((0, 1), (1, 3)))
    assert "metadata has 3 rows and img_emb 4; they must agree (in metadata_0000.parquet to" in told


def test_one_part_in_two_spellings_is_refused(tmp_path, sentence):
    write(tmp_path, {"id": ["a"]})
    os.link(tmp_path / "metadata/metadata_0000.parquet", tmp_path / "metadata/metadata_0.parquet")
    told = sentence(read_metadata, tmp_path, 2)
    assert "metadata_0.parquet and metadata_0000.parquet are one part in two spellings" in told


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(60) + b"PAR1", b"id\na\n"])
def test_what_is_no_parquet_is_told(tmp_path, content):
    write(tmp_path, {"id": ["a"]})
    (tmp_path / "metadata/metadata_0000.parquet").write_bytes(content)
    assert has_captions(tmp_path)
    for read in (check_ids, read_metadata):
        with pytest.raises(InputError, match=r"metadata_0000\.parquet cannot be read as parquet"):
            read(*([tmp_path, 1, {}] if read is check_ids else [tmp_path, 1]))


def test_a_pipe_in_the_place_of_metadata_is_not_opened(tmp_path, sentence):
    (tmp_path / "metadata").mkdir()
    os.mkfifo(tmp_path / "metadata/metadata_0000.parquet")
    assert "metadata_0000.parquet is a named pipe" in sentence(read_metadata, tmp_path, 1)
    assert has_captions(tmp_path)
