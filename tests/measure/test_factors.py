import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.metrics import mutual_info_score

from isoenergy.measure.energy import AtomEnergies, atom_energies
from isoenergy.measure.factors import (
    FactorAlignment,
    factor_alignment,
    followed_shares,
    group_coefficients,
    uncertainty_coefficients,
)


def entropy(active):
    p = active.mean()
    return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)


def test_worked_coefficient(sparse):
    # The atom is on in 3 of 4 rows "a" and 1 of 4 rows "b". H(A) = ln 2, H(A|F) = 0.562335,
    # chance (2 - 1) / 16: (0.693147 - 0.562335 - 0.0625) / 0.693147 = 0.098553.
    codes = sparse([[1], [2], [1], [0], [0], [5], [0], [0]])
    found = uncertainty_coefficients(codes, np.array(list("aaaabbbb")))
    assert found == pytest.approx([0.098553], abs=1e-6)


def test_atom_that_is_the_factor_has_one_but_for_chance():
    factor = np.tile(["red", "blue"], 5000)
    codes = csr_matrix((factor == "red").astype(np.float32)[:, None] * 3.0)
    found = uncertainty_coefficients(codes, factor)[0]
    assert found == pytest.approx(1 - 1 / 20000 / math.log(2))


def test_atom_of_one_value_of_many_has_one_but_for_chance():
    factor = np.arange(6000) % 6
    codes = csr_matrix((factor == 2).astype(np.float32)[:, None])
    assert uncertainty_coefficients(codes, factor)[0] == pytest.approx(1.0, abs=2e-3)


def test_independent_atoms_have_nothing():
    rng = np.random.default_rng(0)
    codes = csr_matrix((rng.random((4000, 30)) < rng.uniform(0.05, 0.5, 30)).astype(np.float32))
    found = uncertainty_coefficients(codes, rng.integers(8, size=4000))
    assert found.max() < 0.01
    assert (found == 0).any()


def test_constant_atoms_have_nothing(sparse):
    found = uncertainty_coefficients(sparse([[0, 1], [0, 1], [0, 1]]), np.array([0, 1, 1]))
    assert found.tolist() == [0, 0]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), n_values=st.integers(1, 6))
def test_coefficient_is_that_of_mutual_information(seed, n_values):
    rng = np.random.default_rng(seed)
    factor = rng.integers(n_values, size=60)
    lift = rng.random((n_values, 5))
    codes = (rng.random((60, 5)) < lift[factor]).astype(np.float32) * 2.5
    seen = len(np.unique(factor))
    found = uncertainty_coefficients(csr_matrix(codes), factor)
    for atom, active in enumerate((codes != 0).T):
        information = mutual_info_score(active, factor) - (seen - 1) / 120
        expected = max(information, 0) / entropy(active) if 0 < active.mean() < 1 else 0.0
        assert found[atom] == pytest.approx(expected, abs=1e-9)
    assert ((found >= 0) & (found <= 1)).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_coefficient_ignores_names_of_values_and_order_of_rows(seed):
    rng = np.random.default_rng(seed)
    factor, codes = rng.integers(3, size=40), (rng.random((40, 4)) < 0.5).astype(np.float32)
    found = uncertainty_coefficients(csr_matrix(codes), factor)
    order, names = rng.permutation(40), np.array(["z", "a", "m"])
    moved = uncertainty_coefficients(csr_matrix(codes[order]), names[factor][order])
    assert moved == pytest.approx(found)


def test_sides_are_weighed_by_the_modality_score(sparse):
    factor = np.array(list("aabb") * 50)
    on = (factor == "a").astype(float)[:, None]
    rng = np.random.default_rng(0)
    off = (rng.random((200, 1)) < 0.5).astype(float)
    # Image codes follow the factor with twice the amplitude, so three or four times the energy.
    image, text = sparse(2 * on), sparse(off)
    energies = atom_energies(image, text)
    score = energies.modality_score[0]
    found = factor_alignment(image, text, {"f": factor}, {"f": "shared"}, energies)
    expected = score * uncertainty_coefficients(image, factor) + (
        1 - score
    ) * uncertainty_coefficients(text, factor)
    assert found.coefficients[:, 0] == pytest.approx(expected)
    assert 0.7 < found.coefficients[0, 0] < 0.9


@pytest.fixture
def alignment():
    return FactorAlignment(
        ("shape", "noise", "tail"),
        ("shared", "picture", "text"),
        np.array([[0.9, 0.2, 0.0], [0.05, 0.02, 0.01], [0.1, 0.3, 0.2], [0.0, 0.0, 0.1]]),
    )


def test_worked_best_factors(alignment):
    index, coefficient = alignment.best()
    assert index.tolist() == [0, 0, 1, 2]
    assert coefficient.tolist() == [0.9, 0.05, 0.3, 0.1]
    assert alignment.followed_kind().tolist() == ["shared", "none", "picture", "text"]


def test_worked_shares(alignment):
    # Energies 1, 3, 2, 4; atoms 0 and 1 are bimodal, 2 image only, 3 text only.
    energies = AtomEnergies(
        np.array([1.0, 3, 4, 0]), np.array([1.0, 3, 0, 8]), np.ones(4), np.ones(4, bool)
    )
    found = followed_shares(alignment, energies, 0.05)
    assert found["bimodal"] == {"shared": 0.25, "picture": 0.0, "text": 0.0, "none": 0.75}
    assert found["image"] == {"shared": 0.0, "picture": 1.0, "text": 0.0, "none": 0.0}
    assert found["text"] == {"shared": 0.0, "picture": 0.0, "text": 1.0, "none": 0.0}


def test_worked_group_coefficients(alignment):
    energies = AtomEnergies(
        np.array([1.0, 3, 4, 0]), np.array([1.0, 3, 0, 8]), np.ones(4), np.ones(4, bool)
    )
    found = group_coefficients(alignment, energies, 0.05)
    # Atoms 0 and 1 with energies 1 and 3: (0.9 + 0.15) / 4, (0.2 + 0.06) / 4, 0.03 / 4.
    assert found["bimodal"] == pytest.approx({"shared": 0.2625, "picture": 0.065, "text": 0.0075})
    assert found["image"] == pytest.approx({"shared": 0.1, "picture": 0.3, "text": 0.2})
    assert found["text"] == pytest.approx({"shared": 0.0, "picture": 0.0, "text": 0.1})


def test_group_coefficient_takes_the_best_factor_of_a_kind_and_zero_for_none():
    two = FactorAlignment(("a", "b"), ("shared", "shared"), np.array([[0.2, 0.6], [0.4, 0.0]]))
    energies = AtomEnergies(np.array([1.0, 3]), np.array([1.0, 3]), np.ones(2), np.ones(2, bool))
    found = group_coefficients(two, energies, 0.05)
    assert found["bimodal"] == pytest.approx({"shared": 1.8 / 4, "picture": 0.0, "text": 0.0})
    assert all(math.isnan(value) for value in found["image"].values())


def test_shares_of_a_group_sum_to_one(random_energies):
    image, text, energies = random_energies(1)
    rng = np.random.default_rng(1)
    factors = {name: rng.integers(3, size=40) for name in "xyz"}
    kinds = dict(zip("xyz", ("shared", "picture", "text"), strict=True))
    found = followed_shares(factor_alignment(image, text, factors, kinds, energies), energies, 0.3)
    assert sum(found["bimodal"].values()) == pytest.approx(1.0)


def test_group_without_energy_has_no_shares(alignment):
    energies = AtomEnergies(np.ones(4), np.ones(4), np.ones(4), np.ones(4, bool))
    found = followed_shares(alignment, energies, 0.05)
    assert all(math.isnan(share) for share in found["image"].values())
    assert sum(found["bimodal"].values()) == pytest.approx(1.0)


def test_shares_and_coefficients_ignore_the_order_of_atoms_and_the_scale_of_energy(random_energies):
    image, text, energies = random_energies(4)
    rng = np.random.default_rng(1)
    factors = {name: rng.integers(3, size=40) for name in "xyz"}
    kinds = dict(zip("xyz", ("shared", "picture", "text"), strict=True))
    order = rng.permutation(10)
    moved = [3 * side[:, order] for side in (image, text)]
    told = []
    for codes, of in (((image, text), energies), (moved, atom_energies(*moved))):
        found = factor_alignment(*codes, factors, kinds, of)
        for summary in (followed_shares, group_coefficients):
            told.append(summary(found, of, 0.3))
    for one, other in zip(told[:2], told[2:], strict=True):
        for group in one:
            assert other[group] == pytest.approx(one[group], nan_ok=True)


def test_summaries_are_those_of_loops_over_atoms(random_energies):
    image, text, energies = random_energies(5)
    rng = np.random.default_rng(2)
    factors = {name: rng.integers(3, size=40) for name in "xyz"}
    kinds = {"x": "shared", "y": "shared", "z": "text"}
    found = factor_alignment(image, text, factors, kinds, energies)
    group, energy = energies.groups(0.3), energies.both
    for name in ("text", "bimodal", "image"):
        atoms = [k for k in range(10) if group[k] == name]
        total = sum(energy[k] for k in atoms)
        if not atoms:
            continue
        best = sum(energy[k] * max(found.coefficients[k, :2]) for k in atoms) / total
        means = group_coefficients(found, energies, 0.3)[name]
        assert means["shared"] == pytest.approx(best)
        followed = [
            "none" if max(row) < 0.1 else list(kinds.values())[int(np.argmax(row))]
            for row in found.coefficients
        ]
        share = sum(energy[k] for k in atoms if followed[k] == "shared") / total
        assert followed_shares(found, energies, 0.3)[name]["shared"] == pytest.approx(share)
