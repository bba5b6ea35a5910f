import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from isoenergy.measure import blockwise
from isoenergy.measure.blockwise import (
    BlockMatrix,
    atom_cosines,
    code_gram,
    cross_covariance,
    multiply_gram,
    unit_codes,
)


def in_blocks(matrix, block=2**20):
    return BlockMatrix(len(matrix), lambda rows: matrix[rows], block)


@pytest.mark.parametrize("block", [1, 20, 49, 1000])
def test_blocks_cover_every_row_once(block):
    matrix = np.arange(49.0).reshape(7, 7)
    found = list(in_blocks(matrix, block).blocks())
    assert [rows.start for rows, _ in found] == [0, *(rows.stop for rows, _ in found[:-1])]
    assert max(entries.size for _, entries in found) <= max(block, 7)
    assert (in_blocks(matrix, block).dense() == matrix).all()


def test_entries_are_picked_across_blocks():
    matrix = np.arange(49.0).reshape(7, 7)
    rows, columns = np.array([6, 0, 3, 3]), np.array([1, 0, 6, 2])
    assert in_blocks(matrix, 14).at(rows, columns).tolist() == [43, 0, 27, 23]


def test_the_kth_smallest_by_hand():
    # Of nine entries int(0.9 * 9) = 8 and int(0.5 * 9) = 4; of a single one k is 1, not 0.
    matrix = np.array([[-5, 2, 7], [2, 0, 9], [-1, 2, 8]], dtype=np.float32)
    assert in_blocks(matrix, 3).kth_smallest(0.9) == 8
    assert in_blocks(matrix, 3).kth_smallest(0.5) == 2
    assert in_blocks(matrix, 3).kth_smallest(0.0) == -5
    assert in_blocks(matrix, 3).kth_smallest(1.0) == 9
    assert in_blocks(matrix[:1, :1]).kth_smallest(0.9) == -5


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    size=st.integers(1, 40),
    share=st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.999, 1.0]),
    kind=st.sampled_from(["normal", "ties", "zeros", "tiny", "negative"]),
)
def test_the_kth_smallest_is_that_of_a_sort_whatever_the_block(seed, size, share, kind):
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((size, size))
    matrix = {
        "normal": drawn,
        "ties": np.rint(drawn),
        "zeros": drawn * (rng.random((size, size)) < 0.1),
        "tiny": drawn * 10.0 ** rng.integers(-40, 30, (size, size)),
        "negative": -np.abs(drawn),
    }[kind].astype(np.float32)
    expected = np.sort(matrix, axis=None)[max(int(share * size * size), 1) - 1]
    for block in (2 * size, 2**20):
        assert in_blocks(matrix, block).kth_smallest(share) == expected


def test_the_kth_smallest_of_many_entries():
    matrix = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
    ordered = np.sort(matrix, axis=None)
    for share, k in ((0.9, 81_000), (0.999, 89_910)):
        assert in_blocks(matrix, 5000).kth_smallest(share) == ordered[k - 1]


def test_worked_cross_covariance_is_not_centred(sparse):
    found = cross_covariance(sparse([[1, 0, 2], [3, 0, 0]]), sparse([[0, 4, 1], [5, 0, 0]]))
    assert found.dense().tolist() == [[7.5, 2.0, 0.5], [0, 0, 0], [0, 4.0, 1.0]]


def test_cross_covariance_equals_the_dense_one(random_energies):
    image, text, _ = random_energies(2)
    expected = image.toarray().T.astype(float) @ text.toarray() / 40
    assert np.allclose(cross_covariance(image, text).dense(), expected)


@pytest.mark.parametrize("entries", [1, 7, 60])
def test_sums_over_many_blocks_of_codes_are_those_over_one(random_energies, monkeypatch, entries):
    image, text, _ = random_energies(5)
    whole = cross_covariance(image, text).dense(), code_gram(image, text).dense()
    vectors = np.random.default_rng(0).standard_normal((10, 3))
    monkeypatch.setattr(blockwise, "BLOCK", entries)
    parts = cross_covariance(image, text).dense(), code_gram(image, text).dense()
    for found, expected in zip(parts, whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(multiply_gram((image, text), vectors), whole[1] @ vectors)


def test_a_kept_matrix_is_made_once():
    made = []

    def make(rows):
        made.append(rows)
        return np.ones((rows.stop - rows.start, 4))

    kept = BlockMatrix(4, make, block=8, keep=True)
    assert kept.kth_smallest(0.5) == 1
    assert kept.dense().sum() == 16
    assert len(made) == 2


def test_cosines_are_the_product_of_the_dictionary():
    dictionary = np.random.default_rng(3).standard_normal((5, 3)).astype(np.float32)
    assert (atom_cosines(dictionary).dense() == dictionary @ dictionary.T).all()


def test_code_gram_by_hand():
    codes = unit_codes(csr_matrix([[3.0, 4.0, 0.0], [0.0, 0.0, 5.0]]))
    expected = np.array([[0.36, 0.48, 0], [0.48, 0.64, 0], [0, 0, 1.0]]) / 2
    assert np.allclose(code_gram(codes).dense(), expected)


def test_code_gram_equals_a_dense_oracle_and_leaves_zero_codes_out():
    rng = np.random.default_rng(0)
    dense = rng.random((60, 6)) * (rng.random((60, 6)) < 0.3)
    norms = np.linalg.norm(dense, axis=1, keepdims=True)
    unit = np.divide(dense, norms, out=np.zeros_like(dense), where=norms > 0)
    found = code_gram(unit_codes(csr_matrix(dense))).dense()
    assert np.allclose(found, unit.T @ unit / 60)
    assert np.trace(found) == pytest.approx((norms > 0).mean())
    assert (norms == 0).any()
