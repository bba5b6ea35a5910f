import json
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoenergy.embed.rows import Rows
from isoenergy.embed.store import open_store, write_store
from isoenergy.errors import InputError
from isoenergy.files import read_json, write_json, write_npy, write_parquet

N, DIM = 12, 8
IDS = [f"r{i}" for i in range(N)]


def unit(n=N, dim=DIM, seed=0, dtype=np.float32):
    values = np.random.default_rng(seed).standard_normal((n, dim))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(dtype)


def write(folder, dtype=np.float32, **changed):
    arguments = {
        "arrays": {"image": unit(seed=1, dtype=dtype), "text": unit(seed=2, dtype=dtype)},
        "metadata": pd.DataFrame({"id": IDS, "caption": [f"text {i}" for i in range(N)]}),
        "row_ids": {"image": IDS, "text": IDS},
        "description": {"model": "M", "dataset": "D"},
        **changed,
    }
    write_store(folder, **arguments)
    return folder


@pytest.fixture
def store(tmp_path):
    return write(tmp_path / "store")


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_store_comes_back_as_float32_with_its_metadata(tmp_path, dtype):
    folder = write(tmp_path / "store", dtype)
    for path in (folder, str(folder), folder / "store.json"):
        opened = open_store(path)
        assert (len(opened), opened.dim) == (N, DIM)
        assert opened.image[:].dtype == np.float32
        np.testing.assert_array_equal(opened.image[:], unit(seed=1, dtype=dtype))
        np.testing.assert_array_equal(opened.text[:], unit(seed=2, dtype=dtype))
        assert opened.source is opened.classes is None
        assert opened.metadata()["caption"].tolist() == [f"text {i}" for i in range(N)]
    assert opened.description["dtype"] == np.dtype(dtype).name
    assert opened.description["model"] == "M"


def test_source_pictures_and_class_vectors_come_back(tmp_path):
    arrays = {"image": unit(seed=1), "text": unit(seed=2), "source": unit(seed=3)}
    classes = unit(5, seed=4)
    folder = write(tmp_path / "store", arrays=arrays, classes=classes)
    opened = open_store(folder)
    np.testing.assert_array_equal(opened.source[:], arrays["source"])
    np.testing.assert_array_equal(opened.classes, classes)


def test_the_layout_is_that_of_clip_retrieval(store, snapshot):
    assert set(snapshot(store)) == {
        "img_emb/img_emb_0000.npy",
        "text_emb/text_emb_0000.npy",
        "metadata/metadata_0000.parquet",
        "store.json",
    }
    assert np.load(store / "img_emb/img_emb_0000.npy").shape == (N, DIM)


def edit_array(side, change):
    def spoil(folder):
        path = folder / f"{side}_emb/{side}_emb_0000.npy"
        values = np.load(path)
        write_npy(path, change(values))

    return spoil


def put(row, value):
    def change(values):
        values[row] = value
        return values

    return change


def edit_file(name, change):
    def spoil(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return spoil


def edit_metadata(change):
    def spoil(folder):
        path = folder / "metadata/metadata_0000.parquet"
        write_parquet(path, change(pd.read_parquet(path)))

    return spoil


def edit_description(**changed):
    def spoil(folder):
        write_json(folder / "store.json", {**read_json(folder / "store.json"), **changed})

    return spoil


def add_part(side, values):
    return lambda folder: write_npy(folder / f"{side}_emb/{side}_emb_0001.npy", values)


def both(*spoils):
    return lambda folder: [spoil(folder) for spoil in spoils]


def objects(folder):
    with (folder / "img_emb/img_emb_0000.npy").open("wb") as file:
        np.save(file, np.array([[None]], dtype=object), allow_pickle=True)


FAULTS = {
    "NaN": (edit_array("img", put((3, 2), np.nan)), "img_emb: row 3 holds NaN or infinity; drop"),
    "infinity": (edit_array("text", put((0, 0), np.inf)), "text_emb: row 0 holds NaN or infinity"),
    "zero row": (edit_array("text", put(5, 0)), "text_emb: row 5 is all zero; drop the pair"),
    "not unit norm": (
        edit_array("img", lambda values: values * 2),
        "img_emb: row 0 has norm 2; rows have unit norm; set normalise: true",
    ),
    "slightly off unit norm": (
        edit_array("img", lambda values: values * np.float32(1.01)),
        "img_emb: row 0 has norm 1.01; rows have unit norm",
    ),
    "order of metadata": (
        edit_metadata(lambda table: table.iloc[::-1]),
        "the image rows were made from other row ids than the metadata holds, or in another order",
    ),
    "ids of texts": (
        edit_description(ids={"text": "0" * 64}),
        "the text rows were made from other row ids than the metadata holds",
    ),
    "metadata is short": (
        edit_metadata(lambda table: table.head(N - 1)),
        f"metadata has {N - 1} rows and img_emb {N}; they must agree",
    ),
    "ids repeat": (
        edit_metadata(lambda table: table.assign(id=["r0", "r0", *IDS[2:]])),
        "row id 'r0' occurs twice in the metadata",
    ),
    "an id is missing": (
        edit_metadata(lambda table: table.assign(id=["r0", None, *IDS[2:]])),
        "row 1 of the metadata has no id; number the rows",
    ),
    "other metadata": (
        edit_metadata(lambda table: table.drop(columns="id")),
        "the image rows were made from other row ids than the metadata holds",
    ),
    "width of texts": (
        edit_array("text", lambda values: unit(dim=6)),
        f"text_emb has {N} rows of 6 and img_emb {N} of {DIM}; row i of each is one pair",
    ),
    "number of texts": (
        edit_array("text", lambda values: values[:-1]),
        f"text_emb has {N - 1} rows of {DIM} and img_emb {N} of {DIM}; row i of each is one pair",
    ),
    "width of a part": (
        add_part("img", unit(2, 6)),
        f"img_emb_0001.npy is 6 wide and img_emb_0000.npy {DIM}; all parts have one width",
    ),
    "one more part": (
        both(add_part("img", unit(2)), add_part("text", unit(2))),
        f"store.json says {N} rows of {DIM} and the arrays have {N + 2} of {DIM}",
    ),
    "type": (
        edit_array("img", lambda values: values.astype(np.int64)),
        f"img_emb_0000.npy has shape ({N}, {DIM}) and type int64; allowed are rows of float16",
    ),
    "two arrays in one file": (
        edit_file("img_emb/img_emb_0000.npy", lambda content: 2 * content),
        f"img_emb_0000.npy goes on for {128 + N * DIM * 4} bytes behind its array of {N} rows",
    ),
    "axes": (
        edit_array("text", lambda values: values.ravel()),
        f"text_emb_0000.npy has shape ({N * DIM},) and type float32; allowed are rows",
    ),
    "no rows": (
        both(
            edit_array("img", lambda values: values[:0]),
            edit_array("text", lambda values: values[:0]),
            lambda folder: (folder / "store.json").unlink(),
        ),
        "has no rows",
    ),
    "truncated array": (
        edit_file("img_emb/img_emb_0000.npy", lambda content: content[:-1]),
        "img_emb_0000.npy cannot be read as a .npy array (",
    ),
    "empty array": (
        edit_file("text_emb/text_emb_0000.npy", lambda content: b""),
        "text_emb_0000.npy cannot be read as a .npy array (",
    ),
    "pickled array": (objects, "img_emb_0000.npy cannot be read as a .npy array ("),
    "pickle": (
        edit_file("img_emb/img_emb_0000.npy", lambda content: pickle.dumps([[1.0]])),
        "img_emb_0000.npy cannot be read as a .npy array (",
    ),
    "truncated parquet": (
        edit_file("metadata/metadata_0000.parquet", lambda content: content[:-9]),
        "metadata_0000.parquet cannot be read as parquet (",
    ),
    "truncated description": (
        edit_file("store.json", lambda content: content[:-9]),
        "store.json is not valid JSON (",
    ),
    "description of another kind": (
        edit_file("store.json", lambda content: b"[]"),
        "store.json",
    ),
    "no pictures": (
        lambda folder: shutil.rmtree(folder / "img_emb"),
        "has no img_emb/img_emb_*.npy",
    ),
    "no texts": (
        lambda folder: (folder / "text_emb/text_emb_0000.npy").unlink(),
        "has no text_emb/text_emb_*.npy",
    ),
    "rows told": (
        edit_description(rows=N + 1),
        f"store.json says {N + 1} rows of {DIM} and the arrays have {N} of {DIM}; a part is",
    ),
    "width told": (
        edit_description(dim=DIM + 1),
        f"store.json says {N} rows of {DIM + 1} and the arrays have {N} of {DIM}; a part is",
    ),
    "location told": (edit_description(location="/gone"), "/gone is not a folder; an embedding"),
}


@pytest.mark.parametrize(("spoil", "told"), FAULTS.values(), ids=FAULTS)
def test_each_fault_is_one_sentence_and_alters_nothing(store, spoil, told, snapshot, sentence):
    spoil(store)
    before = snapshot(store)
    assert told in sentence(open_store, store)
    assert snapshot(store) == before


def test_a_missing_folder_is_named(tmp_path, sentence):
    assert sentence(open_store, tmp_path / "gone") == (
        f"{tmp_path}/gone is not a folder; an embedding store is a folder"
    )


def test_values_may_be_left_unchecked_but_shapes_may_not(store):
    edit_array("img", put((3, 2), np.nan))(store)
    assert np.isnan(open_store(store, check_values=False).image[3:4]).any()
    edit_array("img", lambda values: values[:-1])(store)
    with pytest.raises(InputError, match="row i of each is one pair"):
        open_store(store, check_values=False)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"arrays": {"image": unit() * 2, "text": unit()}}, "row 0 has norm 2"),
        ({"arrays": {"image": unit(), "text": unit(N - 1)}}, "row i of each is one pair"),
        ({"row_ids": {"image": IDS, "text": IDS[::-1]}}, "the text rows were made from other row"),
        ({"metadata": pd.DataFrame({"id": ["a"] * N})}, "row id 'a' occurs twice"),
        ({"metadata": pd.DataFrame({"id": IDS[:-1]})}, f"metadata has {N - 1} rows"),
    ],
)
def test_a_store_that_cannot_be_opened_is_not_written_as_whole(store, changed, told):
    with pytest.raises(InputError, match=told):
        write(store, **changed)
    assert not (store / "store.json").exists()


def test_a_description_holds_no_values_and_names_its_format(store):
    told = json.loads((store / "store.json").read_text())
    assert told["format"] == "isoenergy-store-1"
    assert (told["rows"], told["dim"], told["dtype"]) == (N, DIM, "float32")
    assert told["ids"]["image"] == told["ids"]["text"]


parts_of_rows = st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any)


@given(st.data(), parts_of_rows, st.sampled_from([np.float16, np.float32]))
def test_rows_of_parts_are_rows_of_the_whole(data, sizes, dtype):
    whole = unit(sum(sizes), 3, dtype=dtype)
    rows = Rows(np.split(whole, np.cumsum(sizes)[:-1]))
    n = len(whole)
    assert rows.shape == whole.shape
    cut = data.draw(st.slices(n))
    index = np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=9)), dtype=np.int64)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    for asked in (cut, index, mask, slice(None)):
        np.testing.assert_array_equal(rows[asked], whole[asked].astype(np.float32))
        assert rows[asked].dtype == np.float32


@given(parts_of_rows, st.integers(1, 20))
def test_blocks_are_the_whole_once_in_order(sizes, size):
    whole = unit(sum(sizes), 3)
    blocks = list(Rows(np.split(whole, np.cumsum(sizes)[:-1])).blocks(size))
    assert [start for start, _ in blocks] == list(range(0, len(whole), size))
    np.testing.assert_array_equal(np.concatenate([values for _, values in blocks]), whole)


@pytest.mark.parametrize("index", [[5], [-1], [0, 7]])
def test_rows_that_are_not_there_are_refused(index):
    with pytest.raises(IndexError):
        Rows([unit(3), unit(2)])[np.array(index)]


def test_reading_rows_does_not_touch_what_is_stored():
    values = unit(4) * 3
    rows = Rows([values], normalise=True)
    rows[:][:] = 0
    np.testing.assert_allclose(np.linalg.norm(rows[:], axis=1), 1, atol=1e-6)
    assert np.linalg.norm(values, axis=1) == pytest.approx(3)
