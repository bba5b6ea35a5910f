import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from isoenergy.measure.blockwise import BlockMatrix, atom_cosines, cross_covariance
from isoenergy.measure.bridge_shares import (
    PAIRS,
    THRESHOLDS,
    bridge_entries,
    bridge_shares,
)
from isoenergy.measure.energy import AtomEnergies


def dense_entries(mass):
    rows, columns = np.nonzero(mass)
    return rows, columns, mass[rows, columns]


def test_thresholds_are_those_of_the_figure():
    assert (len(THRESHOLDS), THRESHOLDS[0], THRESHOLDS[-1]) == (100, 1e-3, 0.5)


def test_worked_shares():
    # Atoms: text (mu 0.1), image (mu 0.8), bimodal (mu 0.5).
    score = np.array([0.1, 0.8, 0.5])
    mass = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    found = bridge_shares(*dense_entries(mass), score, np.array([0.05, 0.15, 0.3, 0.5]))
    expected = {
        # At 0.15 atom 0 has left, at 0.3 atom 1 too; atom 2 never does: 0.5 is not below 0.5.
        "B-B": [45, 5 + 6 + 8 + 9, 9, 9],
        "B-T": [0, 2 + 3 + 4 + 7, 3 + 7, 3 + 7],
        "B-I": [0, 0, 6 + 8, 6 + 8],
        "T-T": [0, 1, 1, 1],
        "I-I": [0, 0, 5, 5],
        "T-I": [0, 0, 2 + 4, 2 + 4],
    }
    assert tuple(found) == PAIRS
    for pair, values in expected.items():
        assert (45 * found[pair]).tolist() == pytest.approx(values), pair


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_shares_equal_a_pass_over_the_whole_matrix_for_every_threshold(seed):
    rng = np.random.default_rng(seed)
    image, text = rng.random((2, 12)) * (rng.random((2, 12)) < 0.8)
    image[:2], text[:2] = (0.2, 0.3), (0.8, 0.7)  # scores that a threshold may equal
    energies = AtomEnergies(image, text, np.ones(12), image + text > 0)
    mass = rng.random((12, 12)) * (rng.random((12, 12)) < 0.5)
    grid = np.sort(np.append(rng.uniform(0, 0.5, 5), [0.2, 0.3, 0.5]))
    found = bridge_shares(*dense_entries(mass), energies.modality_score, grid)
    for i, limit in enumerate(grid):
        group = energies.groups(limit)
        live = group != "dead"
        total = mass[np.ix_(live, live)].sum()
        for pair in PAIRS:
            one, other = ({"B": "bimodal", "T": "text", "I": "image"}[end] for end in pair[::2])
            a, b = group == one, group == other
            both = (a[:, None] & b[None]) | (b[:, None] & a[None])
            assert found[pair][i] == pytest.approx(mass[both].sum() / total, abs=1e-12), pair
    assert sum(found.values()) == pytest.approx(np.ones(len(grid)))


def test_bridges_of_dead_atoms_do_not_count():
    mass = np.array([[1.0, 5], [5, 5]])
    found = bridge_shares(*dense_entries(mass), np.array([0.5, -1.0]), np.array([0.1]))
    assert found["B-B"].tolist() == [1.0]


def test_shares_without_mass_are_undefined():
    nothing = np.array([], dtype=int)
    found = bridge_shares(nothing, nothing, np.array([]), np.array([0.5]), np.array([0.1, 0.2]))
    assert all(np.isnan(values).all() for values in found.values())


def codes_and_atoms(seed, n_atoms=40, n=60):
    rng = np.random.default_rng(seed)
    sides = [
        csr_matrix((rng.random((n, n_atoms)) * (rng.random((n, n_atoms)) < 0.2)).astype("f4"))
        for _ in range(2)
    ]
    atoms = rng.standard_normal((n_atoms, 5)).astype("f4")
    return *sides, atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


def in_blocks(image, text, atoms, block=1024):
    """Sigma and D D^T as matrices whose blocks have at most so many rows."""
    made = cross_covariance(image, text).dense(), atom_cosines(atoms).dense()
    return [
        BlockMatrix(len(matrix), lambda rows, matrix=matrix: matrix[rows], block * len(matrix))
        for matrix in made
    ]


def dense_bridge(image, text, atoms):
    covariance = image.toarray().T @ text.toarray() / image.shape[0]
    bridge = np.ones_like(covariance, dtype=np.float64)
    for factor, share in ((covariance, 0.999), (atoms @ atoms.T, 0.9)):
        limit = np.sort(factor, axis=None)[int(share * factor.size) - 1]
        bridge *= np.where(np.abs(factor) >= limit, np.abs(factor), 0)
    return bridge


@pytest.mark.parametrize("block", [7, 40, 1000])
def test_entries_are_those_of_the_dense_bridge_whatever_the_block(block):
    image, text, atoms = codes_and_atoms(1)
    rows, columns, mass = bridge_entries(*in_blocks(image, text, atoms, block))
    dense = dense_bridge(image, text, atoms)
    assert mass.sum() > 0
    found = np.zeros_like(dense)
    found[rows, columns] = mass
    assert found == pytest.approx(dense, rel=1e-5)


def test_shares_at_tau_give_rho():
    image, text, atoms = codes_and_atoms(2, n_atoms=400)
    score = np.random.default_rng(0).random(400)
    bimodal = (score >= 0.3) & (score <= 0.7)
    found = bridge_shares(*bridge_entries(*in_blocks(image, text, atoms)), score, np.array([0.3]))
    touching = sum(found[pair][0] for pair in ("B-B", "B-T", "B-I"))
    dense = dense_bridge(image, text, atoms)
    neither = dense[~bimodal][:, ~bimodal].sum()
    rho = (dense.sum() - neither) / neither
    assert 0 < touching < 1
    assert touching / (1 - touching) == pytest.approx(rho, rel=1e-5)
