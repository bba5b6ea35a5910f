import math

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from isoenergy.measure.blockwise import BlockMatrix
from isoenergy.measure.bridge import (
    bridge_masses,
    distributional_agreement,
    functional_alignment,
    ratio,
    threshold,
    transport_atoms,
)
from isoenergy.measure.energy import AtomEnergies


def energies(image, text, live=None):
    image, text = np.asarray(image, float), np.asarray(text, float)
    live = np.ones(len(image), bool) if live is None else np.asarray(live)
    return AtomEnergies(image, text, np.ones(len(image)), live)


def in_blocks(matrix):
    return BlockMatrix(len(matrix), lambda rows: np.asarray(matrix, np.float32)[rows], block=1)


def rho(covariance, cosines, bimodal):
    return functional_alignment(in_blocks(covariance), in_blocks(cosines), bimodal)


def fda(plan, cosines, told, tau):
    return distributional_agreement(csr_array(plan), in_blocks(cosines), told, tau)


def test_threshold_keeps_what_is_as_large_in_absolute_value():
    # The median of -9, 1, 2, 4 is 1.5.
    assert threshold(np.array([[-9.0, 1], [2, 4]]), 1.5).tolist() == [[-9, 0], [2, 4]]


def test_threshold_keeps_entries_at_the_limit_and_all_at_a_negative_one():
    entries = np.array([3.0, -0.1, 2.9])
    assert threshold(entries, 3).tolist() == [3, 0, 0]
    assert threshold(entries, -1).tolist() == entries.tolist()


def test_worked_bridge_masses():
    bridge = np.array([[1.0, -2, 4], [8, 16, 32], [64, -128, 256]])
    # Atom 1 is bimodal: its row and column touch it.
    bimodal = np.array([False, True, False])
    assert bridge_masses(bridge, bimodal, bimodal) == (
        2 + 8 + 16 + 32 + 128,
        1 + 4 + 64 + 256,
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_bridge_masses_split_the_whole_and_ignore_order(seed):
    rng = np.random.default_rng(seed)
    bridge, bimodal, order = rng.standard_normal((6, 6)), rng.random(6) < 0.5, rng.permutation(6)
    found = bridge_masses(bridge, bimodal, bimodal)
    assert sum(found) == pytest.approx(np.abs(bridge).sum())
    moved = bridge_masses(bridge[np.ix_(order, order)], bimodal[order], bimodal[order])
    assert moved == pytest.approx(found)


def test_ratio_is_infinite_or_undefined_with_nothing_below():
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(0.0, 2.0) == 0.0
    assert ratio(3.0, 0.0) == math.inf
    assert math.isnan(ratio(0.0, 0.0))


def test_worked_rho_under_both_protocols():
    covariance = np.array([[4.0, 2, 0], [2, 4, 0], [0, 0, -8]])
    cosines = np.array([[1.0, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
    # The 8th smallest of both nine is kept: of the cosines it is 1, of the covariances 4, so that
    # the diagonal stays.
    # Atom 1 is bimodal: 4 / (4 + 8). All entries: (4 + 1 + 1) / (4 + 8).
    found = rho(covariance, cosines, np.array([False, True, False]))
    assert found == pytest.approx({"code": 1 / 3, "paper": 1 / 2})


def test_rho_equals_the_plain_loop():
    rng = np.random.default_rng(0)
    covariance, cosines = rng.standard_normal((2, 40, 40))
    bimodal = rng.random(40) < 0.3
    limits = np.sort(covariance, axis=None)[1597], np.sort(cosines, axis=None)[1439]
    masses = {True: 0.0, False: 0.0}
    for i in range(40):
        for j in range(40):
            # The 1598th and the 1440th of 1600 entries; kept too is what is as negative.
            if abs(covariance[i, j]) >= limits[0] and abs(cosines[i, j]) >= limits[1]:
                masses[bool(bimodal[i] or bimodal[j])] += abs(covariance[i, j] * cosines[i, j])
    assert min(masses.values()) > 0
    found = rho(covariance, cosines, bimodal)
    assert found["code"] == pytest.approx(masses[True] / masses[False])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11, 33])
@pytest.mark.parametrize("ties", [False, True])
def test_bridges_keep_what_a_sort_says_that_the_authors_keep(size, ties):
    rng = np.random.default_rng(size)
    covariance, cosines = rng.standard_normal((2, size, size)).astype(np.float32)
    if ties:
        covariance, cosines = np.rint(2 * covariance), np.rint(2 * cosines)
    kept = np.ones((size, size))
    for factor, share in ((covariance, 0.999), (cosines, 0.9)):
        limit = sorted(factor.ravel().tolist())[max(int(share * size * size), 1) - 1]
        kept *= np.where(np.abs(factor) >= limit, np.abs(factor), 0)
    bimodal = rng.random(size) < 0.4
    neither = kept[~bimodal][:, ~bimodal].sum()
    found = rho(covariance, cosines, bimodal)["code"]
    assert found == pytest.approx(ratio(kept.sum() - neither, neither), rel=1e-6, nan_ok=True)


def test_rho_without_unimodal_mass_is_infinite():
    found = rho(np.eye(3), np.eye(3), np.ones(3, bool))
    assert found == {"code": math.inf, "paper": math.inf}


def test_rho_without_bimodal_atoms_is_zero():
    assert rho(np.eye(3), np.eye(3), np.zeros(3, bool))["code"] == 0.0


def test_rho_of_the_authors_stored_run():
    covariance = np.diag([0.10783, 0.10467])
    found = rho(covariance, np.ones((2, 2)), np.array([False, True]))
    assert found["paper"] == pytest.approx(0.9707, abs=1e-4)


@pytest.mark.parametrize("largest_dense", [0, 100])
def test_worked_transport_of_atoms(largest_dense):
    # Half of the image's energy moves to the text's atom, at cosine 1/4; atom 0 stays.
    dictionary = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0.25, np.sqrt(15) / 4]])
    solved = transport_atoms(energies([2, 2, 0], [3, 0, 3]), dictionary, largest_dense)
    assert np.allclose(solved.plan.toarray(), [[0.5, 0, 0], [0, 0, 0.5], [0, 0, 0]])
    assert solved.cost == pytest.approx(0.5 * 0.75)


@pytest.mark.parametrize("largest_dense", [0, 100])
def test_dead_atoms_are_not_transported(largest_dense):
    told = energies([1, 0, 1], [0, 1, 1], live=[True, True, False])
    solved = transport_atoms(told, np.eye(3), largest_dense)
    assert np.allclose(solved.plan.toarray(), [[0, 1, 0], [0, 0, 0], [0, 0, 0]])


def test_side_without_energy_is_refused():
    with pytest.raises(ValueError, match="marginal b"):
        transport_atoms(energies([1, 1], [0, 0]), np.eye(2))


def test_fda_of_the_authors_stored_run():
    # SPEC 4: masses 0.21966 and 0.12156, bimodal share 0.32038: 3.833 by code, 1.01 as printed.
    plan = np.zeros((3, 3))
    plan[1, 1], plan[0, 2] = 0.21966, 0.12156
    found = fda(
        plan,
        np.ones((3, 3)),
        energies([0.67962, 0.32038, 0], [0, 0.32038, 0.67962]),
        0.05,
    )
    assert found["code"] == pytest.approx(3.833, abs=1e-3)
    assert found["paper"] == pytest.approx(1.013, abs=1e-3)


def test_worked_fda_thresholds_the_cosines():
    # Percentile 90 of the cosines is 1, so only the diagonal of the plan counts: alpha 0.3 on the
    # bimodal atom, upsilon 0.2; epsilon 2 / 4.
    plan = np.array([[0.2, 0.1, 0.3], [0, 0.3, 0.1], [0, 0, 0]])
    cosines = np.array([[1.0, 0.9, 0], [0.9, 1, 0.9], [0, 0.9, 1]])
    found = fda(plan, cosines, energies([2, 2, 0], [0, 2, 2]), 0.05)
    assert found["code"] == pytest.approx(0.3 / 0.5 * 0.5 / 0.2)
    assert found["paper"] == pytest.approx(0.3 / 0.5 * 0.5 / (0.5 - 0.3))


def test_fda_share_is_strict_at_the_threshold_and_its_mass_is_not():
    # Atom 0 has score 0.25 = tau: it is bimodal for the mass, but not for the energy share.
    told = energies([1, 3, 0], [3, 3, 4])
    plan = np.diag([0.25, 0.5, 0.25])
    found = fda(plan, np.eye(3), told, 0.25)
    epsilon = 3 / (2 + 3 + 2)
    assert found["code"] == pytest.approx(0.75 / epsilon * (1 - epsilon) / 0.25)


def test_fda_without_bimodal_energy_is_undefined():
    found = fda(np.eye(2) / 2, np.eye(2), energies([1, 0], [0, 1]), 0.05)
    assert math.isnan(found["code"])
    assert math.isnan(found["paper"])


def test_fda_without_unimodal_bridge_is_infinite():
    plan = np.diag([0.0, 1.0])
    found = fda(plan, np.eye(2), energies([1, 1], [0, 1]), 0.05)
    assert found["code"] == math.inf


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_rho_and_fda_ignore_the_order_of_atoms(seed):
    rng = np.random.default_rng(seed)
    told = energies(rng.random(8) * (rng.random(8) < 0.7), rng.random(8) + 0.01)
    atoms = rng.standard_normal((8, 4))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    cosines, covariance = atoms @ atoms.T, rng.random((8, 8))
    plan, order = rng.random((8, 8)), rng.permutation(8)
    swap = np.ix_(order, order)
    moved = energies(told.image[order], told.text[order])
    bimodal = told.groups(0.2) == "bimodal"
    assert rho(covariance[swap], cosines[swap], bimodal[order]) == pytest.approx(
        rho(covariance, cosines, bimodal), nan_ok=True
    )
    assert fda(plan[swap], cosines[swap], moved, 0.2) == pytest.approx(
        fda(plan, cosines, told, 0.2), nan_ok=True
    )


def test_transport_of_atoms_costs_what_pot_says():
    rng = np.random.default_rng(3)
    atoms = rng.standard_normal((12, 5))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    told = energies(rng.random(12) * (rng.random(12) < 0.6), rng.random(12))
    expected = ot.emd2(
        told.image / told.image.sum(), told.text / told.text.sum(), 1 - atoms @ atoms.T
    )
    assert transport_atoms(told, atoms).cost == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_fda_equals_the_plain_loop(seed):
    rng = np.random.default_rng(seed)
    plan, cosines = rng.random((20, 20)), rng.standard_normal((20, 20))
    image, text = rng.random(20) ** 4, rng.random(20) ** 4
    tau = 0.2
    limit = np.sort(cosines, axis=None)[359]  # the 360th of 400 entries
    score = [a / (a + b) for a, b in zip(image, text, strict=True)]
    bimodal = [tau <= mu <= 1 - tau for mu in score]
    epsilon = sum(a + b for a, b, of in zip(image, text, bimodal, strict=True) if of)
    epsilon /= sum(image) + sum(text)
    masses = {True: 0.0, False: 0.0}
    for i in range(20):
        for j in range(20):
            if np.float32(abs(cosines[i, j])) >= np.float32(limit):
                masses[bimodal[i] or bimodal[j]] += abs(plan[i, j] * cosines[i, j])
    assert 0 < epsilon < 1
    assert min(masses.values()) > 0
    found = fda(plan, cosines, energies(image, text), tau)
    expected = (masses[True] / epsilon) / (masses[False] / (1 - epsilon))
    assert found["code"] == pytest.approx(expected)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**20), scale=st.floats(0.1, 10))
def test_rho_and_fda_ignore_the_scale_of_codes(seed, scale):
    rng = np.random.default_rng(seed)
    atoms = rng.standard_normal((8, 4))
    cosines, covariance, plan = atoms @ atoms.T, rng.random((8, 8)), rng.random((8, 8))
    told = energies(rng.random(8), rng.random(8))
    larger = energies(scale**2 * told.image, scale**2 * told.text)
    bimodal = told.groups(0.2) == "bimodal"
    assert rho(scale**2 * covariance, cosines, bimodal) == pytest.approx(
        rho(covariance, cosines, bimodal), nan_ok=True
    )
    assert fda(plan, cosines, larger, 0.2) == pytest.approx(
        fda(plan, cosines, told, 0.2), nan_ok=True
    )


def test_fda_without_any_energy_is_undefined():
    found = fda(np.eye(2) / 2, np.eye(2), energies([0, 0], [0, 0]), 0.05)
    assert all(math.isnan(value) for value in found.values())
