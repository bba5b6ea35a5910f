import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import svdvals
from scipy.sparse import csr_matrix
from scipy.stats import entropy

from isoenergy.measure.blockwise import BlockMatrix, atom_cosines
from isoenergy.measure.structure import (
    code_structure,
    coherence,
    dictionary_ranks,
    effective_rank,
    stable_rank,
)


def random_codes(n, n_atoms, seed, density=0.3):
    rng = np.random.default_rng(seed)
    return csr_matrix(rng.random((n, n_atoms)) * (rng.random((n, n_atoms)) < density))


def unit_rows(n, dim, seed):
    x = np.random.default_rng(seed).standard_normal((n, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_ranks_by_hand():
    singular = np.array([2.0, 1.0, 1.0, 0.0])
    assert stable_rank(singular) == pytest.approx((4 + 1 + 1) / 4)
    # Weights 1/2, 1/4, 1/4: entropy 1.5 ln 2.
    assert effective_rank(singular) == pytest.approx(2**1.5)
    assert np.isnan(stable_rank(np.zeros(3)))
    assert np.isnan(effective_rank(np.zeros(3)))


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=8), st.floats(0.1, 10))
def test_ranks_lie_between_one_and_the_rank_and_ignore_scale(values, scale):
    singular = np.array(values)
    for rank in (stable_rank, effective_rank):
        assert 1 - 1e-9 <= rank(singular) <= len(values) + 1e-9
        assert rank(scale * singular) == pytest.approx(rank(singular))


def test_ranks_of_a_basis_and_of_one_direction():
    ranks = dictionary_ranks(np.eye(5), np.array([1.0, 1.0, 0.0, 0.0, 0.0]))
    assert ranks["stable"] == pytest.approx(5)
    assert ranks["effective"] == pytest.approx(5)
    assert ranks["stable_weighted"] == pytest.approx(2)
    assert ranks["effective_weighted"] == pytest.approx(2)
    ones = dictionary_ranks(np.ones((4, 3)) / np.sqrt(3), np.ones(4))
    assert ones["stable"] == pytest.approx(1)
    assert ones["effective"] == pytest.approx(1, abs=1e-6)


def test_ranks_ignore_the_order_of_atoms():
    dictionary, energy = unit_rows(9, 4, 0), np.random.default_rng(1).random(9)
    order = np.random.default_rng(2).permutation(9)
    found, moved = (
        dictionary_ranks(dictionary, energy),
        dictionary_ranks(dictionary[order], energy[order]),
    )
    assert moved == pytest.approx(found)


def test_coherence_is_the_largest_signed_cosine_of_two_atoms():
    dictionary = np.array([[1.0, 0.0], [-1.0, 0.0], [0.6, 0.8]])
    assert coherence(atom_cosines(dictionary)) == pytest.approx(0.6)
    assert np.isnan(coherence(atom_cosines(dictionary[:1])))


@pytest.mark.parametrize("block", [1, 30, 1000])
def test_coherence_does_not_depend_on_the_block_and_leaves_the_matrix_as_it_is(block):
    dictionary = unit_rows(10, 4, 3)
    cosines = dictionary @ dictionary.T
    whole = cosines.copy()
    found = coherence(BlockMatrix(10, lambda rows: cosines[rows], block))
    assert found == pytest.approx((whole - 2 * np.eye(10)).max())
    assert (cosines == whole).all()


def codes_of_gram(gram):
    """Image and text codes, each of unit length, whose mean of z z^T is a given one."""
    weights, vectors = np.linalg.eigh(gram)
    # As many codes as there are hundredths in each eigenvalue.
    rows = np.repeat(vectors.T, np.rint(weights * 100).astype(int), axis=0)
    return csr_matrix(rows[::2]), csr_matrix(rows[1::2])


def structure(image, text, dictionary, largest_dense=100):
    return code_structure(image, text, dictionary, np.random.default_rng(0), largest_dense)


@pytest.mark.parametrize("largest_dense", [0, 100])
def test_structure_by_hand(largest_dense):
    # Two atoms always used together, half each, with cosine -0.5; a third one apart; none else.
    gram = np.zeros((40, 40))
    gram[:2, :2], gram[2, 2] = 0.25, 0.5
    image, text = codes_of_gram(gram)
    dictionary = np.eye(40)
    dictionary[1, :2] = -0.5, np.sqrt(0.75)
    found = structure(image, text, dictionary, largest_dense)
    # Eigenvalues 0.5, 0.5, 0.
    assert found.stable_rank == pytest.approx(2)
    assert found.effective_rank == pytest.approx(2, rel=1e-6)
    assert found.connectivity == pytest.approx(1 - 5 / 1600)
    assert found.interference == pytest.approx(0.125)


def test_structure_equals_singular_values_of_the_codes():
    image, text = random_codes(40, 7, 2), random_codes(40, 7, 3)
    dense = np.concatenate([image.toarray(), text.toarray()])
    dense = dense[np.linalg.norm(dense, axis=1) > 0]
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    squares = np.square(np.linalg.svd(dense, compute_uv=False))
    dictionary = unit_rows(7, 5, 4)
    found = structure(image, text, dictionary)
    assert found.stable_rank == pytest.approx(np.square(squares).sum() / squares.max() ** 2)
    assert found.effective_rank == pytest.approx(np.exp(entropy(squares)))
    assert found.effective_rank_error == 0
    gram = dense.T @ dense / 80
    negative = np.maximum(-gram * (dictionary @ dictionary.T), 0)
    assert found.interference == pytest.approx(np.linalg.norm(negative, 2))


def test_structure_ignores_the_order_of_atoms():
    image, text = random_codes(40, 7, 5), random_codes(40, 7, 6)
    dictionary, order = unit_rows(7, 5, 7), np.random.default_rng(8).permutation(7)
    found = structure(image, text, dictionary)
    moved = structure(image[:, order], text[:, order], dictionary[order])
    assert dataclasses.asdict(moved) == pytest.approx(dataclasses.asdict(found))


def test_ranks_are_those_of_scipy():
    dictionary, energy = unit_rows(9, 4, 0), np.random.default_rng(1).random(9)
    found = dictionary_ranks(dictionary, energy)
    for suffix, matrix in (("", dictionary), ("_weighted", energy[:, None] * dictionary)):
        stable = np.linalg.norm(matrix, "fro") ** 2 / np.linalg.norm(matrix, 2) ** 2
        assert found[f"stable{suffix}"] == pytest.approx(stable)
        assert found[f"effective{suffix}"] == pytest.approx(np.exp(entropy(svdvals(matrix))))


def test_structure_ignores_the_length_of_codes():
    image, text = random_codes(30, 6, 0), random_codes(30, 6, 1)
    lengths = np.random.default_rng(2).uniform(0.5, 3, (30, 1))
    longer = csr_matrix(image.multiply(lengths))
    dictionary = unit_rows(6, 4, 3)
    found = structure(image, text, dictionary)
    moved = structure(longer, 5 * text, dictionary)
    assert dataclasses.asdict(moved) == pytest.approx(dataclasses.asdict(found))


def test_coherence_is_bounded_and_ignores_order_and_rotation():
    dictionary = unit_rows(10, 4, 3)
    turn = np.linalg.qr(np.random.default_rng(4).standard_normal((4, 4)))[0]
    found = coherence(atom_cosines(dictionary))
    assert -1 <= found <= 1
    assert coherence(atom_cosines(dictionary[::-1] @ turn)) == pytest.approx(found)


def test_large_dictionaries_are_measured_as_small_ones_are():
    # Frequencies fall as in real codes, so that eigenvalues range over orders of magnitude.
    rng = np.random.default_rng(9)
    frequency = 0.5 / np.arange(1, 401)
    image, text = (
        csr_matrix(rng.normal(1, 1, (500, 400)) * (rng.random((500, 400)) < frequency))
        for _ in range(2)
    )
    dictionary = unit_rows(400, 20, 10).astype(np.float32)
    exact = structure(image, text, dictionary, largest_dense=400)
    found = structure(image, text, dictionary, largest_dense=0)
    assert 0 < found.effective_rank_error < 0.01 * exact.effective_rank
    assert abs(found.effective_rank - exact.effective_rank) < 4 * found.effective_rank_error
    assert found.stable_rank == pytest.approx(exact.stable_rank)
    assert found.connectivity == exact.connectivity
    assert found.interference == pytest.approx(exact.interference, rel=1e-5)
