"""Where arrays may lie, and arrays that are not what they should be."""

import os
import pickle

import numpy as np
import pandas as pd
import pytest

from isoenergy.embed.adopt import adopt_store
from isoenergy.embed.layout import find_arrays, store_files
from isoenergy.embed.store import open_store
from isoenergy.files import write_npy, write_parquet

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
    "object array": (_object_array, "text.npy cannot be read as a .npy array"),
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
        (unit(dtype=np.float64), "type float64; .* save it again with .astype('float32')"),
        (unit(dtype=">f4"), "type >f4; "),
        (np.ones((N, DIM), dtype=np.int8), "type int8; "),
        (unit(N - 1), "mine: text.npy has 12 rows of 8 and image.npy 11 of 8; row i of each"),
        (unit(dim=DIM + 1), "mine: text.npy has 12 rows of 8 and image.npy 12 of 9; row i of"),
    ],
    ids=["flat", "cube", "float64", "big-endian", "int8", "rows", "width"],
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
