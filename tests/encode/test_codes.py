import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from isoenergy.encode.codes import FILES, Codes, StoredCodes, open_codes, row_blocks, write_codes
from isoenergy.errors import InputError


def codes(seed=0, n=6, n_atoms=9):
    rng = np.random.default_rng(seed)
    dense = [rng.random((n, n_atoms)) * (rng.random((n, n_atoms)) < 0.4) for _ in range(2)]
    return Codes(*(csr_matrix(z.astype(np.float32)) for z in dense), ids=f"ids{seed}")


@pytest.fixture
def written(tmp_path):
    write_codes(tmp_path / "codes.json", codes())
    return tmp_path / "codes.json"


def test_what_is_read_is_what_was_written(written):
    before, after = codes(), open_codes(written)
    for side in ("image", "text"):
        assert np.array_equal(getattr(before, side).toarray(), getattr(after, side)[:].toarray())
    assert after.ids == "ids0"


def test_empty_rows_and_unused_atoms_survive(tmp_path):
    empty = csr_matrix((3, 5), dtype=np.float32)
    one = csr_matrix(([2.0], ([1], [4])), shape=(3, 5), dtype=np.float32)
    write_codes(tmp_path / "codes.json", Codes(empty, one, ""))
    after = open_codes(tmp_path / "codes.json")
    assert after.image.nnz == 0
    assert after.text[:].toarray().tolist() == [[0] * 5, [0, 0, 0, 0, 2.0], [0] * 5]


def test_arrays_are_read_only(written):
    codes_read = open_codes(written)
    with pytest.raises(ValueError, match="read-only"):
        codes_read.image.data[0] = 1.0


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_refused(written, name):
    (written.parent / name).unlink()
    with pytest.raises(InputError, match=name):
        open_codes(written)


@pytest.mark.parametrize("kept", [0, 9, 100, -4])
@pytest.mark.parametrize("name", FILES)
def test_truncated_file_is_refused(written, name, kept):
    path = written.parent / name
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=f"{name} .*delete it and run again"):
        open_codes(written)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [lambda a: a.astype("f2"), lambda a: a[:, None], lambda a: a[0]])
def test_array_of_another_type_or_shape_is_refused(written, name, change):
    path = written.parent / name
    np.save(path, change(np.load(path)))
    with pytest.raises(InputError, match=r"do not match codes\.json; delete .* and run again"):
        open_codes(written)


@pytest.mark.parametrize("name", FILES)
def test_array_of_another_length_is_refused(written, name):
    path = written.parent / name
    np.save(path, np.load(path)[:-1])
    with pytest.raises(InputError, match=r"do not match codes\.json"):
        open_codes(written)


@pytest.mark.parametrize("shift", [-1, 1])
def test_row_pointers_of_other_codes_are_refused(written, shift):
    path = written.parent / "image_indptr.npy"
    pointers = np.load(path)
    pointers[-1] += shift
    np.save(path, pointers)
    with pytest.raises(InputError, match=r"do not match codes\.json"):
        open_codes(written)


def test_atom_outside_the_dictionary_is_refused(written):
    path = written.parent / "text_indices.npy"
    indices = np.load(path)
    indices[0] = 9
    np.save(path, indices)
    with pytest.raises(InputError, match=r"do not match codes\.json"):
        open_codes(written)


def test_missing_description_is_refused(written):
    written.unlink()
    with pytest.raises(InputError, match=r"codes\.json does not exist"):
        open_codes(written)


def test_description_of_other_codes_is_refused(written):
    told = json.loads(written.read_text())
    written.write_text(json.dumps({**told, "rows": told["rows"] + 1}))
    with pytest.raises(InputError, match=r"do not match codes\.json"):
        open_codes(written)


@pytest.mark.parametrize("content", ['{"rows": 6}', "[]", "", "{"])
def test_description_of_another_form_is_refused(written, content):
    written.write_text(content)
    with pytest.raises(InputError, match=r"codes\.json .* delete it and run again"):
        open_codes(written)


@pytest.mark.parametrize(
    "changed", [{"rows": "six"}, {"n_atoms": None}, {"nonzeros": {"image": 1}}]
)
def test_description_of_no_numbers_is_refused(written, changed):
    written.write_text(json.dumps({**json.loads(written.read_text()), **changed}))
    with pytest.raises(InputError, match=r"codes\.json does not describe codes; delete it"):
        open_codes(written)


@pytest.mark.parametrize(
    "rows",
    [
        slice(0, 6),
        slice(2, 5),
        slice(4, 100),
        slice(5, 2),
        np.array([5, 0, 0, 3]),
        np.array([], dtype=int),
    ],
)
def test_rows_on_disk_are_those_in_memory(written, rows):
    expected, found = codes().image[rows], open_codes(written).image[rows]
    assert found.shape == expected.shape
    assert np.array_equal(found.toarray(), expected.toarray())
    assert found.dtype == np.float32


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 12))
def test_blocks_cover_every_row_once_and_hold_what_they_may(counts, entries):
    sides = []
    for each in (counts, counts[::-1]):
        indptr = np.concatenate([[0], np.cumsum(each)])
        parts = np.ones(indptr[-1], np.float32), np.zeros(indptr[-1], np.int32), indptr
        sides.append(StoredCodes(*parts, 9))
    found = list(row_blocks(*sides, entries=entries))
    assert [block.start for block in found] == [0, *(block.stop for block in found[:-1])]
    assert found[-1].stop == len(counts)
    for block in found:
        held = [side.indptr[block.stop] - side.indptr[block.start] for side in sides]
        assert max(held) <= entries or block.stop - block.start == 1
    # As many as fit: the next row would be too much on one side.
    for block, following in itertools.pairwise(found):
        more = [side.indptr[following.start + 1] - side.indptr[block.start] for side in sides]
        assert max(more) > entries
