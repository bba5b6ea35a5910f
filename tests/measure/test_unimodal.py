import math

import numpy as np
import pytest

from isoenergy.measure.energy import AtomEnergies
from isoenergy.measure.unimodal import FALLBACK, strong_unimodal


def energies(image, text, frequency=None):
    image, text = np.asarray(image, float), np.asarray(text, float)
    frequency = np.ones(len(image)) / 4 if frequency is None else np.asarray(frequency)
    return AtomEnergies(image, text, frequency, image + text > 0)


# Energies of image and text, so that E is half their sum: atoms 0, 1 and 3 are text's by the
# strict rule, atom 2 has too little energy, atom 4 a score of 0.002, atom 5 is the image's.
IMAGE = [0, 0, 0, 1e-4, 4e-4, 0.5, 0]
TEXT = [0.1, 0.3, 0.0019, 0.2, 0.2, 0, 0]
ATOMS = np.array(
    [[1, 0], [0.6, 0.8], [0, 1], [0, 1], [0, 1], [-1, 0], [0.6, 0.8]], dtype=np.float32
)


def test_worked_strict_atoms():
    frequency = [0.1, 0.2, 0.3, 0.05, 0.4, 0.5, 0]
    found = strong_unimodal(energies(IMAGE, TEXT, frequency), ATOMS, "text", 0.05)
    assert found.strict
    assert found.atoms.tolist() == [1, 3, 0]
    assert found.cosines == pytest.approx(np.array([[1, 0.8, 0.6], [0.8, 1, 0], [0.6, 0, 1]]))
    assert found.mean_cosine == pytest.approx((3 + 2 * 1.4) / 9)
    assert found.frequency == pytest.approx(0.35)
    assert found.energy_share == pytest.approx(0.6001 / (sum(IMAGE) + sum(TEXT)))


def test_fewer_than_two_strict_atoms_are_replaced_by_the_strongest_of_the_group():
    n = FALLBACK + 4
    text = np.linspace(1, 2, n)
    image = np.full(n, 0.01)  # scores about 0.01: of the group at tau 0.05, not within 0.001
    found = strong_unimodal(energies(image, text), np.eye(n), "text", 0.05)
    assert not found.strict
    assert found.atoms.tolist() == list(range(n - 1, n - 1 - FALLBACK, -1))
    assert found.mean_cosine == pytest.approx(1 / FALLBACK)
    one = strong_unimodal(
        energies(np.append(image, 0), np.append(text, 1)), np.eye(n + 1), "text", 0.05
    )
    assert not one.strict
    assert len(one.atoms) == FALLBACK


def test_one_atom_of_a_group_is_shown_and_none_is_defined():
    told = energies([1.0, 0.5], [0.0, 0.5])
    found = strong_unimodal(told, np.eye(2), "image", 0.05)
    assert (found.atoms.tolist(), found.strict, found.mean_cosine) == ([0], False, 1.0)
    none = strong_unimodal(told, np.eye(2), "text", 0.05)
    assert len(none.atoms) == 0
    assert math.isnan(none.mean_cosine)
    assert (none.frequency, none.energy_share) == (0.0, 0.0)


def test_dead_atoms_are_of_no_side():
    told = energies([0.0, 1, 1], [0.0, 0, 0])
    assert strong_unimodal(told, np.eye(3), "text", 0.05).atoms.tolist() == []
    assert strong_unimodal(told, np.eye(3), "image", 0.05).atoms.tolist() == [1, 2]
