"""The compiled choice of atoms against the plain loop, with ties, odd sizes and threads."""

import numpy as np
import pytest

from isoenergy.train.kernel import LANES, choose_by_gram


def plain(correlations, gram, l0):
    left, chosen = correlations.copy(), np.empty((len(correlations), l0), dtype=np.int64)
    for step in range(l0):
        atom = left.argmax(axis=1)
        chosen[:, step] = atom
        left -= left.max(axis=1)[:, None] * gram[atom]
    return chosen


def problem(rows, n_atoms, dim, seed=0):
    rng = np.random.default_rng(seed)
    atoms = rng.standard_normal((n_atoms, dim))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    return rng.standard_normal((rows, dim)) @ atoms.T, atoms @ atoms.T


@pytest.mark.parametrize("n_atoms", [1, 5, LANES - 1, LANES, LANES + 1, 5 * LANES + 7])
@pytest.mark.parametrize("threads", [1, 3])
def test_atoms_are_those_of_the_plain_loop(n_atoms, threads):
    correlations, gram = problem(11, n_atoms, 9)
    expected = plain(correlations, gram, 6)
    assert np.array_equal(choose_by_gram(correlations.copy(), gram, 6, threads), expected)


def test_few_rows_differ_from_the_plain_loop_in_single_precision():
    correlations, gram = (part.astype(np.float32) for part in problem(4000, 300, 24, seed=1))
    differ = choose_by_gram(correlations.copy(), gram, 8) != plain(correlations, gram, 8)
    assert differ.any(axis=1).mean() < 1e-3


def test_ties_go_to_the_lowest_index():
    for first, second in ((3, 3 + LANES), (LANES - 1, LANES), (0, 2 * LANES + 1)):
        correlations = np.zeros((1, 3 * LANES))
        correlations[0, [first, second]] = 2.0
        gram = np.eye(3 * LANES)
        assert choose_by_gram(correlations, gram, 2)[0].tolist() == [first, second]


def test_all_nan_ends():
    assert choose_by_gram(np.full((1, 70), np.nan), np.eye(70), 3).shape == (1, 3)
