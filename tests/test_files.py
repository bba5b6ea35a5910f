import hashlib
import json
import os
import pickle
import resource
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoenergy.errors import InputError
from isoenergy.files import (
    growing_npy,
    hash_strings,
    open_npy,
    read_csv,
    read_json,
    read_parquet,
    replacing,
    replacing_folder,
    visible,
    write_json,
    write_npy,
    write_parquet,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("pieces", [[], [0], [3], [5, 0, 20_000], [1] * 12])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_an_array_written_in_pieces_has_the_bytes_of_the_whole(tmp_path, pieces, dtype):
    parts = [np.arange(n, dtype=dtype) - n for n in pieces]
    with growing_npy(tmp_path / "pieces.npy", dtype) as append:
        for part in parts:
            append(part)
    write_npy(tmp_path / "whole.npy", np.concatenate([np.empty(0, dtype), *parts]))
    assert (tmp_path / "pieces.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_an_array_that_fails_half_way_leaves_the_old_one(tmp_path):
    write_npy(tmp_path / "a.npy", np.arange(3))

    def fail():
        with growing_npy(tmp_path / "a.npy", np.int64) as append:
            append(np.arange(9))
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert names(tmp_path) == ["a.npy"]
    assert open_npy(tmp_path / "a.npy").tolist() == [0, 1, 2]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_appears_only_when_its_block_ends(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "new"
    assert names(path.parent) == ["a.txt"]


def test_two_writers_of_one_file_do_not_share_a_temporary(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("1")
        second.write_text("2")
        assert first != second
    assert path.read_text() == "1"  # the outer block ends last


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "f"
    for name in ("one", "two"):
        with replacing_folder(folder) as temporary:
            (temporary / name).touch()
        assert names(folder) == [name]

    def fail():
        with replacing_folder(folder) as temporary:
            (temporary / "three").touch()
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert names(folder) == ["two"]
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_and_folders_get_the_usual_permissions(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a", "")
        with replacing_folder(tmp_path / "f"):
            pass
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o777 & ~mask


def test_json_has_sorted_keys_and_comes_back(tmp_path):
    content = {"b": [1, 2.5, None], "a": {"ü": True}}
    write_json(tmp_path / "x.json", content)
    text = (tmp_path / "x.json").read_text()
    assert read_json(tmp_path / "x.json") == content
    assert list(json.loads(text)) == ["a", "b"]
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_values_that_are_no_json(tmp_path, value):
    write_json(tmp_path / "x.json", 1)
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"value": value})
    assert read_json(tmp_path / "x.json") == 1


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps([1]))


def objects(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([{}, None], dtype=object), allow_pickle=True)


def archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(2))


def truncated(path: Path) -> None:
    write_npy(path, np.zeros((100, 4)))
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize("spoil", [pickled, objects, archive, truncated, empty])
def test_what_is_no_whole_npy_is_refused(tmp_path, spoil):
    spoil(tmp_path / "x.npy")
    with pytest.raises(InputError, match=r"x\.npy cannot be read as a \.npy array"):
        open_npy(tmp_path / "x.npy")


@pytest.mark.parametrize("read", [open_npy, read_parquet, read_json])
def test_what_is_no_file_is_refused_and_never_opened(tmp_path, read):
    path = tmp_path / "x"
    for make, told in (
        (path.mkdir, "x is a folder, and a file is needed"),
        (lambda: os.mkfifo(path), "x is a named pipe, and a file"),
        (lambda: path.symlink_to("/dev/zero"), "x is a device, and a file"),
        (lambda: path.symlink_to("gone"), "x is a link to gone, which does not exist"),
        (lambda: None, "x does not exist"),
    ):
        make()
        with pytest.raises(InputError, match=told):
            read(path)
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)


def test_files_of_the_system_are_not_seen(tmp_path):
    names = ("b", "a", "._a", ".DS_Store", "__MACOSX")
    assert visible(tmp_path / name for name in names) == [tmp_path / "a", tmp_path / "b"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_npy_comes_back_memory_mapped_and_read_only(tmp_path, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    write_npy(tmp_path / "x.npy", array)
    read = open_npy(tmp_path / "x.npy")
    assert isinstance(read, np.memmap)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, array)
    with pytest.raises(ValueError, match="read-only"):
        read[0, 0] = 1


def test_parquet_comes_back_without_an_index(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"], "n": [1, 2]}, index=[7, 9])
    write_parquet(tmp_path / "x.parquet", table)
    pd.testing.assert_frame_equal(
        read_parquet(tmp_path / "x.parquet"), table.reset_index(drop=True)
    )
    assert list(read_parquet(tmp_path / "x.parquet", ["n"])) == ["n"]


def test_broken_parquet_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "x.parquet"
    write_parquet(path, pd.DataFrame({"id": ["a", "b"]}))
    with pytest.raises(InputError, match=r"x\.parquet cannot be read as parquet .*other"):
        read_parquet(path, ["other"])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"x\.parquet cannot be read as parquet") as told:
        read_parquet(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("read", [read_json, open_npy, read_parquet])
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(InputError, match="nothing-here does not exist"):
        read(tmp_path / "nothing-here")


@pytest.mark.parametrize("content", [b'{"a": ', b"\xff\xfe"])
def test_broken_json_is_refused(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.json is not valid JSON .* delete it and run again"):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("name", "made"), [("codes.npy", "it"), ("img_emb_0003.npy", "the folder {folder}")]
)
def test_a_broken_array_is_told_with_the_way_out(tmp_path, name, made):
    write_npy(tmp_path / name, np.zeros(9))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
    with pytest.raises(InputError) as told:
        open_npy(tmp_path / name)
    made = made.format(folder=tmp_path)
    assert str(told.value).endswith(
        f", it may be truncated; copy it again if it is your own, else delete {made} and run again"
    )


@pytest.mark.parametrize(
    "header",
    [
        *("{'descr': '<f4', 'shape': (2,", "{'descr': '<f4', 'shape': (1" + "0" * 30, "(" * 90),
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 9)}",
        "{'descr': '<,4', 'fortran_order': False, 'shape': (9,)}",
    ],
)
def test_an_array_with_a_spoilt_header_is_refused(tmp_path, header):
    write_npy(tmp_path / "x.npy", np.zeros(9))
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content[:10] + header.encode().ljust(117) + content[127:])
    with pytest.raises(InputError, match=r"x\.npy cannot be read as a \.npy array") as told:
        open_npy(tmp_path / "x.npy")
    assert "\n" not in str(told.value)


def test_a_store_of_many_parts_is_opened_under_the_usual_limit(tmp_path):
    write_npy(tmp_path / "x.npy", np.zeros(9))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
    try:
        parts = [open_npy(tmp_path / "x.npy") for _ in range(120)]
        assert {part.shape for part in parts} == {(9,)}
        most = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert most == (limits[1], limits[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_json_that_is_nested_without_end_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"x\.json is not valid JSON"):
        read_json(tmp_path / "x.json")


def test_a_table_of_results_comes_back_and_a_cut_one_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("model,value,note\nNA,inf,\nb,,None\nc,1.5,x\n")
    table = read_csv(path, ["model", "value", "note"], ["model", "note"])
    assert table["model"].tolist() == ["NA", "b", "c"]
    assert table["note"].tolist() == ["", "None", "x"]
    assert table["value"].tolist()[::2] == [np.inf, 1.5]
    cut = ("", "model,value,note\nNA,inf,x\nb,1", 'model,value,note\nNA,inf,"x')
    for content in (*cut, "model,value,note\nNA,much,x\n", "model;value;note\nNA;1;x\n"):
        path.write_text(content)
        with pytest.raises(InputError, match=r"t\.csv .*; copy .* delete it and run again"):
            read_csv(path, ["model", "value", "note"], ["model", "note"])


words = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))


@given(words, words)
def test_hash_tells_lists_of_strings_apart(first, second):
    assert (hash_strings(first) == hash_strings(second)) == (first == second)


def test_hash_is_the_same_on_every_machine():
    assert hash_strings(["a", "bc"]) == hashlib.sha256(b"a\0bc\0").hexdigest()
    assert hash_strings(["ü"]) == hashlib.sha256(b"\xc3\xbc\0").hexdigest()
