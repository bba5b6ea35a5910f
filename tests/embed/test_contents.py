"""Pairs that are rows of unit norm, and still mean nothing or little."""

import numpy as np
import pytest

from isoenergy.embed.adopt import adopt_store, inspect_store
from isoenergy.embed.contents import peek, scan
from isoenergy.embed.rows import CHECKED, Rows
from isoenergy.embed.store import open_store
from isoenergy.errors import InputError
from isoenergy.files import write_npy


def unit(n=40, dim=6, seed=0):
    values = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def rows(values, where="image"):
    return Rows([values], where=where)


def scanned(image, text, beside=None):
    others = beside and tuple(map(rows, beside))
    return scan(rows(image), rows(text, "text"), others, "the first")


def test_ordinary_pairs_have_no_notes():
    assert scanned(unit(seed=1), unit(seed=2), (unit(seed=3), unit(seed=4))) == []


@pytest.mark.parametrize("side", [0, 1])
def test_rows_that_are_all_equal_are_refused(side):
    sides = [unit(seed=1), unit(seed=2)]
    # As far as float16 tells.
    noise = np.random.default_rng(0).normal(0, 1e-4, (40, 6))
    sides[side] = (sides[side][:1] + noise).astype(np.float32)
    with pytest.raises(InputError, match=rf"^{('image', 'text')[side]}: all 40 rows are equal"):
        scanned(*sides)


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)], ids=["alike", "turned"])
def test_texts_that_are_the_images_are_refused(order):
    image = unit(seed=1)
    with pytest.raises(InputError, match="text holds the same rows as image"):
        scanned(image, image[order])


def test_texts_that_are_the_images_as_float16_keeps_them_are_refused():
    image = unit(seed=1)
    with pytest.raises(InputError, match="text holds the same rows as image"):
        scanned(image, image.astype(np.float16).astype(np.float32))


def test_some_images_among_the_texts_are_told():
    image, text = unit(seed=1), unit(seed=2)
    text[5:9] = image[20:24]
    assert scanned(image, text) == ["4 of the 40 rows of text are rows of image too"]


def test_few_rows_that_differ_are_told():
    image, text = unit(seed=1), unit(seed=2)
    text = text[np.arange(40) % 3]
    assert scanned(image, text) == ["only 3 of the 40 rows of text differ"]
    # Five captions of each picture are as they should be.
    assert scanned(image[np.arange(40) // 5], unit(seed=2)) == []


def test_pairs_that_repeat_others_are_told():
    image, text = unit(seed=1), unit(seed=2)
    rows = np.arange(40) % 30
    assert scanned(image[rows], text[rows]) == ["10 of the 40 pairs of image repeat others"]


def test_the_pairs_that_saes_are_trained_on_are_no_second_store():
    image, text = unit(seed=1), unit(seed=2)
    for order in (np.arange(40), np.arange(40)[::-1]):
        with pytest.raises(InputError, match="hold the same pairs as the first"):
            scanned(image[order], text[order], (image, text))
    part = scanned(image[:10], text[:10], (image, text))
    assert part == ["10 of the 10 pairs of image are pairs of the first too"]
    # A picture with another caption is another pair.
    assert scanned(image, text[::-1], (image, text)) == []


def test_a_first_look_at_many_rows_sees_the_first_ones():
    image, text = unit(CHECKED + 9, seed=1), unit(CHECKED + 9, seed=2)
    image[CHECKED + 2] = np.nan
    assert peek(rows(image), rows(text), None, "") == []
    with pytest.raises(InputError, match=f"row {CHECKED + 2} holds NaN"):
        scanned(image, text)
    image[7] = np.nan
    with pytest.raises(InputError, match="row 7 holds NaN"):
        peek(rows(image), rows(text), None, "")


def write_plain(folder, image, text):
    write_npy(folder / "image.npy", image)
    write_npy(folder / "text.npy", text)
    return folder


def test_what_is_doubtful_is_kept_with_the_store(tmp_path, caplog):
    for n in (40, CHECKED + 4):
        text = unit(n, seed=2)[np.arange(n) % 3]
        folder = write_plain(tmp_path / "mine", unit(n, seed=1), text)
        told = f"only 3 of the {n:,} rows of {folder}/text.npy differ"
        # Said once: at first look where that sees all, else by the job that does.
        seen = inspect_store(folder, False).notes == (told,)
        adopt_store(folder, tmp_path / "adopted/store.json", "mine", False)
        assert open_store(tmp_path / "adopted").description["notes"] == [told]
        assert seen != (f"note: {told}" in caplog.text)


def test_a_second_store_of_few_pairs_is_doubtful(tmp_path):
    first = write_plain(tmp_path / "first", unit(300), unit(300, seed=1))
    few = write_plain(tmp_path / "few", unit(255, seed=2), unit(255, seed=3))
    told = f"{few} has only 255 pairs, so that most of what is measured on them is chance"
    assert inspect_store(few, False, first).notes == (told,)
    adopt_store(few, tmp_path / "adopted/store.json", "few", False, first)
    assert open_store(tmp_path / "adopted").description["notes"] == [told]
    assert inspect_store(first, False).notes == ()


def test_links_to_one_file_are_told_at_first_look(tmp_path, sentence):
    first = write_plain(tmp_path / "first", unit(2 * CHECKED), unit(2 * CHECKED, seed=1))
    for name in ("twins", "second"):
        (tmp_path / name).mkdir()
    for side in ("image", "text"):
        (tmp_path / f"twins/{side}.npy").symlink_to(first / "image.npy")
        (tmp_path / f"second/{side}.npy").symlink_to(first / f"{side}.npy")
    told = sentence(inspect_store, tmp_path / "twins", False)
    assert "text.npy is the same as" in told
    told = sentence(inspect_store, tmp_path / "second", False, first)
    assert f"second has the arrays of {first}, on which SAEs are trained" in told


def test_one_pair_is_no_store(tmp_path, sentence):
    folder = write_plain(tmp_path, unit(1), unit(1, seed=1))
    assert f"{folder} holds 1 pair; an SAE is trained on many" in sentence(
        inspect_store, folder, False
    )
