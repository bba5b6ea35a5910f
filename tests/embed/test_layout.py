"""Where arrays may lie, and arrays that are not what they should be."""

import os
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest

from isoenergy.embed.adopt import adopt_store, inspect_store
from isoenergy.embed.layout import find_arrays, store_files
from isoenergy.embed.store import FORMAT, open_store
from isoenergy.errors import InputError
from isoenergy.files import write_json, write_npy, write_parquet

N, DIM = 12, 8


def unit(n=N, dim=DIM, seed=0, dtype=np.float32):
    values = np.random.default_rng(seed).standard_normal((n, dim))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(dtype)


def write_plain(folder, image=None, text=None):
    write_npy(folder / "image.npy", unit(seed=1) if image is None else image)
    write_npy(folder / "text.npy", unit(seed=2) if text is None else text)
    return folder


def write_parts(folder, images, texts):
    """Empty files in the clip-retrieval layout under these numbers."""
    for prefix, numbers in (("img_emb", images), ("text_emb", texts)):
        (folder / prefix).mkdir(parents=True)
        for number in numbers:
            (folder / prefix / f"{prefix}_{number}.npy").touch()
    return folder


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
def test_two_plain_files_are_a_store(tmp_path, dtype, order):
    image, text = (unit(seed=seed, dtype=dtype) for seed in (1, 2))
    folder = write_plain(tmp_path / "mine", *(np.asarray(a, order=order) for a in (image, text)))
    adopt_store(folder, tmp_path / "adopted/store.json", "mine", False)
    opened = open_store(tmp_path / "adopted")
    assert opened.image[:].dtype == np.float32
    np.testing.assert_array_equal(opened.image[:], image)
    np.testing.assert_array_equal(opened.text[np.array([7, 3])], text[[7, 3]])
    assert opened.metadata()["id"].tolist() == [str(i) for i in range(N)]


def test_plain_files_may_have_metadata(tmp_path):
    folder = write_plain(tmp_path / "mine")
    table = pd.DataFrame({"caption": [f"caption {i}" for i in range(N)]})
    write_parquet(folder / "metadata/metadata.parquet", table)
    assert open_store(folder).metadata()["caption"].iloc[5] == "caption 5"


def test_columns_in_the_place_of_rows_are_told(tmp_path, sentence):
    folder = write_plain(tmp_path / "mine", unit(40).T, unit(40, seed=1).T)
    told = sentence(inspect_store, folder, False)
    assert "image.npy: columns have unit norm in the place of rows; save the transposed" in told


def test_normalise_and_its_refusal_hold_for_plain_files(tmp_path, sentence):
    folder = write_plain(tmp_path / "mine", text=3 * unit(seed=2))
    path = tmp_path / "adopted/store.json"
    told = sentence(adopt_store, folder, path, "mine", False)
    assert "text.npy: row 0 has norm 3; rows have unit norm; set normalise: true" in told
    adopt_store(folder, path, "mine", True)
    np.testing.assert_allclose(open_store(path).text[:], unit(seed=2), atol=1e-6)


class _Boom:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def _object_array(folder, trap):
    array = np.array([_Boom(trap)], dtype=object)
    np.save(folder / "text.npy", array, allow_pickle=True)


def _bare_pickle(folder, trap):
    (folder / "text.npy").write_bytes(pickle.dumps(_Boom(trap)))


def _archive(folder, trap):
    with (folder / "text.npy").open("wb") as file:
        np.savez(file, text=unit())


def _only_archive(folder, trap):
    np.savez(folder / "text.npz", text=unit())
    (folder / "text.npy").unlink()


UNREADABLE = {
    "object array": (_object_array, "(it holds Python objects, which are never unpickled); save"),
    "pickle": (_bare_pickle, "text.npy cannot be read as a .npy array"),
    "archive": (_archive, "text.npy cannot be read as a .npy array"),
    "npz": (_only_archive, "has no text.npy (it has image.npy, text.npz); a store holds"),
}


@pytest.mark.parametrize(("spoil", "told"), UNREADABLE.values(), ids=UNREADABLE)
def test_nothing_is_unpickled_or_unpacked(tmp_path, spoil, told, sentence):
    folder = write_plain(tmp_path / "mine")
    spoil(folder, tmp_path / "trap")
    assert told in sentence(open_store, folder)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (unit().reshape(-1), "image.npy has shape (96,) and type float32; allowed are rows of"),
        (unit()[None], "image.npy has shape (1, 12, 8)"),
        (unit()[:, :0], "image.npy has shape (12, 0) and type float32"),
        (np.ones((N, DIM), dtype=np.int8), "type int8; .* save it again as float32 with scale and"),
        (np.ones((N, DIM), dtype=bool), "type bool; .* whole numbers are no embeddings"),
        (
            unit(dtype=np.float16).view(np.uint16),
            "type uint16; .* save it again as (x.astype('uint16').astype('uint32') << 16)",
        ),
        (unit().view("V4").reshape(N, DIM), "type |V4; .* records and raw bytes are no embeddings"),
        (unit(dtype=np.float16).view("V2"), "type |V2; .* (x.view('uint16').astype('uint32')"),
        (unit(dtype=np.complex64), "type complex64; .* complex numbers are no embeddings"),
        (unit().astype("U9"), "type <U9; .* texts are no embeddings; save it again as float32"),
        (unit().view([("x", "f4")]), "records and raw bytes are no embeddings"),
        (unit(N - 1), "mine: text.npy has 12 rows of 8 and image.npy 11 of 8; row i of each"),
        (unit(dim=DIM + 1), "mine: text.npy has 12 rows of 8 and image.npy 12 of 9; row i of"),
    ],
    ids=[
        "flat",
        "cube",
        "empty",
        "int8",
        "bool",
        "uint16",
        "V4",
        "bfloat16",
        "complex",
        "text",
        "records",
        "rows",
        "width",
    ],
)
def test_arrays_of_another_kind_get_one_sentence(tmp_path, image, told, sentence):
    said = sentence(open_store, write_plain(tmp_path / "mine", image=image))
    first, _, last = told.partition(".* ")
    assert first in said
    assert last in said


def test_without_any_array_the_sentence_says_what_there_is(tmp_path, sentence):
    told = sentence(find_arrays, tmp_path)
    assert told.startswith(f"{tmp_path} has no img_emb/img_emb_*.npy; a store holds ")
    for name in ("photos.npy", "captions.npy"):
        (tmp_path / name).touch()
    assert "(it has captions.npy, photos.npy)" in sentence(find_arrays, tmp_path)


def test_both_layouts_at_once_are_refused(tmp_path, sentence):
    write_parts(tmp_path, [0], [0])
    assert "has image.npy and img_emb/; keep one" in sentence(find_arrays, write_plain(tmp_path))


def test_part_10_comes_after_part_9(tmp_path):
    found = find_arrays(write_parts(tmp_path, range(11), range(11)))
    assert [path.stem for path in found["image"]] == [f"img_emb_{i}" for i in range(11)]


def test_parts_with_other_numbers_are_refused(tmp_path, sentence):
    told = sentence(find_arrays, write_parts(tmp_path, (0, 1, 3), (0, 1, 2)))
    assert "img_emb_3.npy and text_emb_2.npy have the same place" in told


def write_rows(folder, rows):
    """Parts of so many rows, by their numbers."""
    for prefix, seed in (("img_emb", 1), ("text_emb", 2)):
        for number, n in rows.items():
            write_npy(folder / prefix / f"{prefix}_{number}.npy", unit(n, seed=seed + 2 * n))
    return folder


def test_a_part_that_is_missing_on_both_sides_is_told(tmp_path, sentence):
    told = sentence(inspect_store, write_rows(tmp_path, {"0000": 4, "0002": 5}), False)
    assert told.startswith(f"{tmp_path}/img_emb/img_emb_0000.npy is followed by img_emb_0002.npy; ")
    assert "a part between them is missing" in told
    with pytest.raises(InputError, match="a part between them is missing"):
        adopt_store(tmp_path, tmp_path / "adopted/store.json", "mine", False)


@pytest.mark.parametrize(
    ("rows", "notes"),
    [
        ({"0": 4, "1": 3, "2": 2}, 0),
        ({"0": 4, "4": 3, "7": 2}, 0),
        ({"1": 4, "2": 3}, 1),
        ({"5": 4}, 1),
    ],
    ids=["from 0", "by first rows", "from 1", "one"],
)
def test_parts_are_numbered_one_after_another_or_by_their_first_rows(tmp_path, rows, notes):
    inspected = inspect_store(write_rows(tmp_path, rows), False)
    assert inspected.image.shape == (sum(rows.values()), DIM)
    first = next(iter(rows))
    assert [
        f"the first part is {tmp_path}/img_emb/img_emb_{first}.npy" in note
        for note in inspected.notes
    ] == [True] * notes


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"0000": 4, "0004": 3, "0009": 2}, "img_emb_0004.npy is followed by img_emb_0009.npy; "),
        ({"0004": 3, "0007": 2}, "img_emb_0004.npy begins with row 4, as parts are numbered by"),
    ],
    ids=["in between", "at the start"],
)
def test_a_part_that_is_missing_is_told_where_numbers_are_first_rows(
    tmp_path, rows, told, sentence
):
    assert told in sentence(inspect_store, write_rows(tmp_path, rows), False)


@pytest.mark.parametrize(
    "name",
    [
        *("img_emb_0001.NPY", "img_emb_0001.npz", "img_emb_0001.npy.gz", "img_emb_0001.npy.part"),
        *("img_emb_0001.pt", "img_emb-0001.npy", "image_emb_0001.npy", "text_emb_0001.npy"),
    ],
)
def test_what_is_almost_a_part_is_not_left_out_in_silence(tmp_path, name, sentence):
    write_rows(tmp_path, {"0000": 4})
    (tmp_path / "img_emb" / name).touch()
    told = sentence(find_arrays, tmp_path)
    assert f"{name} is not named as a part, which is img_emb_0000.npy with a number of" in told


def test_what_lies_beside_parts_is_passed_over(tmp_path):
    write_rows(tmp_path, {"0000": 4})
    before = find_arrays(tmp_path)
    for name in ("img_emb_0000.npy.sha256", "img_emb_0000.json", "img_emb.dvc", "README.md"):
        (tmp_path / "img_emb" / name).touch()
    assert find_arrays(tmp_path) == before


def test_a_store_of_the_workflow_may_leave_out_numbers_but_no_rows(tmp_path, sentence):
    write_rows(tmp_path, {"0000": 4, "0002": 5})
    parts = [{"number": i, "rows": n} for i, n in enumerate((4, 0, 5))]
    told = {"format": FORMAT, "rows": 9, "dim": DIM, "parts": parts}
    write_json(tmp_path / "store.json", told)
    assert len(inspect_store(tmp_path, False).image) == 9
    write_json(tmp_path / "store.json", told | {"rows": 12})
    assert "store.json says 12 rows of 8 and the arrays have 9" in sentence(
        inspect_store, tmp_path, False
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("img_emb_0.npy", "img_emb_0.npy and img_emb_0000.npy are one part in two spellings"),
        ("img_emb_0000 (1).npy", "img_emb_0000 (1).npy is not named as a part, which is img_emb_"),
        ("img_emb_0000_copy.npy", "img_emb_0000_copy.npy is not named as a part"),
    ],
)
def test_copies_are_no_parts(tmp_path, name, told, sentence):
    write_rows(tmp_path, {"0000": 4})
    for prefix in ("img_emb", "text_emb"):
        copy = tmp_path / prefix / name.replace("img_emb", prefix)
        copy.write_bytes((tmp_path / prefix / f"{prefix}_0000.npy").read_bytes())
    assert told in sentence(find_arrays, tmp_path)


@pytest.mark.parametrize("layout", ["parts", "plain"])
def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path, layout, sentence):
    if layout == "parts":
        path = write_rows(tmp_path, {"0000": 4}) / "img_emb/img_emb_0000.npy"
    else:
        path = write_plain(tmp_path) / "image.npy"
    path.unlink()
    path.symlink_to("nowhere.npy")
    assert f"{path} is a link to nowhere.npy, which does not exist" in sentence(
        find_arrays, tmp_path
    )
    path.unlink()
    os.mkfifo(path)
    assert f"{path} is a named pipe, and a file is needed" in sentence(find_arrays, tmp_path)
    path.unlink()
    path.symlink_to("/dev/zero")
    assert f"{path} is a device, and a file" in sentence(find_arrays, tmp_path)
    path.unlink()
    path.mkdir()
    assert f"{path} is a folder, and a file" in sentence(find_arrays, tmp_path)
    path.rmdir()
    path.symlink_to(path)
    assert f"{path} cannot be read (" in sentence(find_arrays, tmp_path)


def test_a_folder_of_parts_that_is_none_is_told(tmp_path, sentence):
    shutil.rmtree(write_rows(tmp_path, {"0000": 4}) / "text_emb")
    (tmp_path / "text_emb").symlink_to("gone")
    assert "text_emb is a link to gone, which does not exist" in sentence(find_arrays, tmp_path)
    (tmp_path / "text_emb").unlink()
    (tmp_path / "text_emb").touch()
    assert "text_emb is a file, and a folder of parts is needed" in sentence(find_arrays, tmp_path)


def test_files_whose_names_begin_with_a_dot_are_no_part_of_a_store(tmp_path):
    write_rows(tmp_path, {"0000": 4})
    write_parquet(tmp_path / "metadata/metadata_0000.parquet", pd.DataFrame({"id": range(4)}))
    before = store_files(tmp_path)
    for name in ("img_emb/._img_emb_0000.npy", "text_emb/.text_emb_0001.npy", "._image.npy"):
        (tmp_path / name).write_bytes(b"junk")
    (tmp_path / "metadata/._metadata_0000.parquet").write_bytes(b"junk")
    assert open_store(tmp_path).metadata()["id"].tolist() == ["0", "1", "2", "3"]
    assert store_files(tmp_path) == before


@pytest.mark.parametrize("dtype", [">f4", ">f2", "f8", ">f8", np.longdouble])
def test_other_floating_point_types_are_read_as_float32_and_told(tmp_path, dtype):
    image, text = unit(seed=1), unit(seed=2)
    folder = write_plain(tmp_path / "mine", image.astype(dtype), text)
    (note,) = inspect_store(folder, False).notes
    name = np.dtype(dtype).newbyteorder("=").name
    assert note.startswith(f"{folder}/image.npy is {name}")
    assert note.endswith(", and read as float32")
    adopt_store(folder, tmp_path / "adopted/store.json", "mine", False)
    opened = open_store(tmp_path / "adopted")
    assert opened.image[:].dtype == np.float32
    expected = image.astype(np.float16) if dtype == ">f2" else image
    np.testing.assert_array_equal(opened.image[:], expected)
    np.testing.assert_array_equal(opened.image[np.array([3, 1])], expected[[3, 1]])


def test_numbers_beyond_float32_are_no_embeddings(tmp_path, sentence):
    image = unit(seed=1, dtype=np.float64)
    image[3, 2] = 1e300
    folder = write_plain(tmp_path, image)
    assert "image.npy: row 3 holds NaN or infinity" in sentence(open_store, folder)


def test_parts_of_one_number_hold_the_same_pairs(tmp_path, sentence):
    for prefix, sizes in (("img_emb", (7, 5)), ("text_emb", (5, 7))):
        for i, size in enumerate(sizes):
            write_npy(tmp_path / prefix / f"{prefix}_{i:04d}.npy", unit(size))
    told = sentence(open_store, tmp_path)
    assert "img_emb_0000.npy has 7 rows and text_emb_0000.npy 5; row i of each" in told


def test_images_and_texts_may_be_cut_otherwise(tmp_path):
    image, text = unit(seed=1), unit(seed=2)
    write_npy(tmp_path / "img_emb/img_emb_0000.npy", image)
    for i, part in enumerate(np.split(text, [4, 9])):
        write_npy(tmp_path / f"text_emb/text_emb_{i:04d}.npy", part)
    opened = open_store(tmp_path)
    np.testing.assert_array_equal(opened.image[:], image)
    np.testing.assert_array_equal(opened.text[:], text)


def test_a_store_s_files_are_its_own_alone(tmp_path):
    write_plain(tmp_path)
    (tmp_path / "other").mkdir()
    for name in ("notes.txt", "other/large.npy", "extra.npy"):
        (tmp_path / name).touch()
    assert [path.name for path in store_files(tmp_path)] == ["image.npy", "text.npy"]
