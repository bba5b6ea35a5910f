import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import svdvals
from scipy.sparse import csr_matrix
from scipy.stats import entropy

from isoenergy.measure.structure import (
    code_gram,
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
    assert coherence(dictionary) == pytest.approx(0.6)
    assert np.isnan(coherence(dictionary[:1]))


@pytest.mark.parametrize("block", [1, 3, 100])
def test_coherence_does_not_depend_on_the_block(block):
    dictionary = unit_rows(10, 4, 3)
    cosines = dictionary @ dictionary.T - 2 * np.eye(10)
    assert coherence(dictionary, block) == pytest.approx(cosines.max())


def test_code_gram_by_hand():
    image, text = csr_matrix([[3.0, 4.0, 0.0]]), csr_matrix([[0.0, 0.0, 5.0]])
    expected = np.array([[0.36, 0.48, 0], [0.48, 0.64, 0], [0, 0, 1.0]]) / 2
    assert np.allclose(code_gram(image, text).toarray(), expected)


def test_code_gram_equals_a_dense_oracle_and_leaves_zero_codes_out():
    image, text = random_codes(30, 6, 0), random_codes(30, 6, 1)
    dense = np.concatenate([image.toarray(), text.toarray()])
    norms = np.linalg.norm(dense, axis=1, keepdims=True)
    unit = np.divide(dense, norms, out=np.zeros_like(dense), where=norms > 0)
    found = code_gram(image, text).toarray()
    assert np.allclose(found, unit.T @ unit / 60)
    assert np.trace(found) == pytest.approx((norms > 0).mean())


def test_structure_by_hand():
    # Two atoms always used together, half each, with cosine -0.5; a third one apart.
    gram = csr_matrix(np.array([[0.25, 0.25, 0], [0.25, 0.25, 0], [0, 0, 0.5]]))
    dictionary = np.array([[1.0, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 1.0]])
    found = code_structure(gram, dictionary)
    # Eigenvalues 0.5, 0.5, 0.
    assert found["stable_rank"] == pytest.approx(2)
    assert found["effective_rank"] == pytest.approx(2)
    assert found["connectivity"] == pytest.approx(1 - 5 / 9)
    assert found["interference"] == pytest.approx(0.125)


def test_structure_equals_singular_values_of_the_codes():
    image, text = random_codes(40, 7, 2), random_codes(40, 7, 3)
    dense = np.concatenate([image.toarray(), text.toarray()])
    dense = dense[np.linalg.norm(dense, axis=1) > 0]
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    squares = np.square(np.linalg.svd(dense, compute_uv=False))
    dictionary = unit_rows(7, 5, 4)
    found = code_structure(code_gram(image, text), dictionary)
    assert found["stable_rank"] == pytest.approx(np.square(squares).sum() / squares.max() ** 2)
    assert found["effective_rank"] == pytest.approx(np.exp(entropy(squares)))
    gram = dense.T @ dense / 80
    negative = np.maximum(-gram * (dictionary @ dictionary.T), 0)
    assert found["interference"] == pytest.approx(np.linalg.norm(negative, 2))


def test_structure_ignores_the_order_of_atoms():
    image, text = random_codes(40, 7, 5), random_codes(40, 7, 6)
    dictionary, order = unit_rows(7, 5, 7), np.random.default_rng(8).permutation(7)
    found = code_structure(code_gram(image, text), dictionary)
    moved = code_structure(code_gram(image[:, order], text[:, order]), dictionary[order])
    assert moved == pytest.approx(found)


def test_ranks_are_those_of_scipy():
    dictionary, energy = unit_rows(9, 4, 0), np.random.default_rng(1).random(9)
    found = dictionary_ranks(dictionary, energy)
    for suffix, matrix in (("", dictionary), ("_weighted", energy[:, None] * dictionary)):
        stable = np.linalg.norm(matrix, "fro") ** 2 / np.linalg.norm(matrix, 2) ** 2
        assert found[f"stable{suffix}"] == pytest.approx(stable)
        assert found[f"effective{suffix}"] == pytest.approx(np.exp(entropy(svdvals(matrix))))


def test_gram_ignores_the_length_of_codes():
    image, text = random_codes(30, 6, 0), random_codes(30, 6, 1)
    lengths = np.random.default_rng(2).uniform(0.5, 3, (30, 1))
    longer = csr_matrix(image.multiply(lengths))
    assert np.allclose(code_gram(longer, 5 * text).toarray(), code_gram(image, text).toarray())


def test_coherence_is_bounded_and_ignores_order_and_rotation():
    dictionary = unit_rows(10, 4, 3)
    turn = np.linalg.qr(np.random.default_rng(4).standard_normal((4, 4)))[0]
    found = coherence(dictionary)
    assert -1 <= found <= 1
    assert coherence(dictionary[::-1] @ turn) == pytest.approx(found)
