"""Stores made elsewhere: in parts, without store.json, adopted where they lie."""

import shutil

import numpy as np
import pandas as pd
import pytest

from isoenergy.embed.adopt import adopt_store, inspect_store
from isoenergy.embed.store import open_store
from isoenergy.files import write_json, write_npy, write_parquet

N, DIM = 12, 8
IDS = [f"r{i}" for i in range(N)]


def unit(n=N, dim=DIM, seed=0, dtype=np.float32):
    values = np.random.default_rng(seed).standard_normal((n, dim))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(dtype)


def put(path, row, value):
    values = np.load(path)
    values[row] = value
    write_npy(path, values)


def write_parts(folder, parts=(5, 4, 3), dtype=np.float32, ids=IDS, seeds=(1, 2)):
    """A store made elsewhere, in parts, without store.json."""
    starts = np.cumsum([0, *parts])
    for name, seed in zip(("img", "text"), seeds, strict=True):
        values = unit(seed=seed, dtype=dtype)
        for i, start in enumerate(starts[:-1]):
            write_npy(folder / f"{name}_emb/{name}_emb_{i:04d}.npy", values[start : starts[i + 1]])
    for i, start in enumerate(starts[:-1]):
        rows = pd.DataFrame({"id": ids[start : starts[i + 1]]})
        write_parquet(folder / f"metadata/metadata_{i:04d}.parquet", rows)
    return folder


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_parts_are_joined_in_the_order_of_their_names(tmp_path, dtype):
    opened = open_store(write_parts(tmp_path, dtype=dtype))
    np.testing.assert_array_equal(opened.image[:], unit(seed=1, dtype=dtype))
    np.testing.assert_array_equal(opened.text[:], unit(seed=2, dtype=dtype))
    assert opened.metadata()["id"].tolist() == IDS


def test_a_store_without_metadata_numbers_its_rows(tmp_path):
    shutil.rmtree(write_parts(tmp_path) / "metadata")
    assert open_store(tmp_path).metadata()["id"].tolist() == [str(i) for i in range(N)]


def test_a_fault_deep_in_a_later_part_is_told_with_its_row(tmp_path, sentence):
    path = write_parts(tmp_path) / "img_emb/img_emb_0001.npy"
    put(path, 2, 0)
    assert "img_emb: row 7 is all zero" in sentence(open_store, tmp_path)


def test_ids_are_checked_without_a_description_too(tmp_path, sentence):
    folder = write_parts(tmp_path / "twice", ids=[*IDS[:-1], "r0"])
    assert "row id 'r0' occurs twice in the metadata" in sentence(open_store, folder)
    (folder / "metadata/metadata_0002.parquet").unlink()
    assert f"metadata has {N - 3} rows and img_emb {N}" in sentence(open_store, folder)


def describe(folder, normalise=False, name="mine"):
    """Adopt a folder; gives the description's path."""
    path = folder.parent / "adopted" / "store.json"
    adopt_store(folder, path, name, normalise)
    return path


def test_an_adopted_store_is_read_where_it_lies(tmp_path, snapshot):
    folder = write_parts(tmp_path / "elsewhere")
    before = snapshot(folder)
    opened = open_store(describe(folder))
    assert snapshot(folder) == before
    np.testing.assert_array_equal(opened.image[:], unit(seed=1))
    assert opened.metadata()["id"].tolist() == IDS
    assert opened.description["dataset"] == "mine"
    assert opened.path == tmp_path / "adopted"


def test_an_adopted_store_may_have_numbers_for_ids_or_none(tmp_path):
    for name, column in (("numbers", "id"), ("none", "url")):
        folder = write_parts(tmp_path / name)
        shutil.rmtree(folder / "metadata")
        table = pd.DataFrame({column: np.arange(100, 100 + N)})
        write_parquet(folder / "metadata/metadata_0.parquet", table)
        first = "100" if column == "id" else "0"
        assert open_store(describe(folder)).metadata()["id"].iloc[0] == first


def test_normalise_scales_rows_whenever_they_are_read(tmp_path, sentence):
    folder = write_parts(tmp_path / "long")
    scale = np.linspace(0.1, 30, 5, dtype=np.float32)[:, None]
    path = folder / "img_emb/img_emb_0000.npy"
    write_npy(path, np.load(path) * scale)
    assert "img_emb: row 0 has norm 0.1; rows have unit norm; set normalise: true" in sentence(
        describe, folder
    )
    assert not (tmp_path / "adopted/store.json").exists()
    opened = open_store(describe(folder, normalise=True))
    np.testing.assert_allclose(opened.image[:], unit(seed=1), atol=1e-6)
    np.testing.assert_allclose(opened.text[:], unit(seed=2), atol=1e-6)


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
def test_normalise_does_not_hide_rows_without_a_direction(tmp_path, value, sentence):
    folder = write_parts(tmp_path / "broken")
    path = folder / "text_emb/text_emb_0002.npy"
    put(path, 1, value)
    assert "text_emb: row 10 " in sentence(describe, folder, True)


def test_an_adopted_store_with_repeated_ids_is_refused(tmp_path, sentence):
    folder = write_parts(tmp_path / "twice", ids=[*IDS[:-1], "r0"])
    assert "row id 'r0' occurs twice in the metadata" in sentence(describe, folder)
    assert not (tmp_path / "adopted/store.json").exists()


def test_an_adopted_store_that_changes_later_is_refused(tmp_path, sentence):
    folder = write_parts(tmp_path / "elsewhere")
    path = describe(folder)
    table = folder / "metadata/metadata_0000.parquet"
    write_parquet(table, pd.read_parquet(table).iloc[::-1])
    assert "the metadata rows were made from other row ids" in sentence(open_store, path)


def test_a_second_folder_must_be_as_wide_as_the_first(tmp_path, sentence):
    first, second = write_parts(tmp_path / "first"), tmp_path / "second"
    for name in ("img", "text"):
        write_npy(second / f"{name}_emb/{name}_emb_0000.npy", unit(dim=DIM - 1))
    told = sentence(adopt_store, second, tmp_path / "store.json", "second", False, first)
    assert f"rows of {DIM - 1}" in told
    assert f"rows of {DIM}; both must be embeddings by one encoder" in told
    assert not (tmp_path / "store.json").exists()
    adopt_store(first, tmp_path / "store.json", "first", False, first)
    assert (tmp_path / "store.json").exists()


def test_stores_that_tell_encoders_that_differ_are_refused(tmp_path, sentence):
    folders = [tmp_path / "one", tmp_path / "other"]
    for i, folder in enumerate(folders):
        write_parts(folder, seeds=(1 + i, 3 + i))

    def tell(folder, checkpoint):
        encoder = {"checkpoint": checkpoint, "revision": None, "torch": str(folder)}
        write_json(folder / "store.json", {"encoder": encoder})

    inspect_store(folders[0], False, folders[1])
    tell(folders[0], "a")
    inspect_store(folders[0], False, folders[1])
    tell(folders[1], "a")
    inspect_store(folders[0], False, folders[1])
    tell(folders[1], "b")
    told = sentence(inspect_store, folders[0], False, folders[1])
    assert f"{folders[0]} and {folders[1]} are by encoders that differ" in told
