import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoenergy.measure.probing import (
    energy_weighted_mean_atom,
    own_accuracies,
    probe_accuracies,
    probing_accuracy,
)

IMAGE = np.array([[1.0, 0], [1, 1]])
TEXT = np.array([[-1.0, 0], [0, -1]])
GROUPS = ["image", "text", "bimodal", "dead"]


def test_worked_accuracies():
    # Atom (1, 0) is above 0 on both images and on no text; (0, 1) on the second image alone.
    found = probe_accuracies(np.eye(2), IMAGE, TEXT, np.zeros((1, 2)))[0]
    assert found.tolist() == [1.0, 0.75]


def test_accuracies_are_taken_about_the_centre():
    # About (1, 0): atom (1, 0) is above 0 nowhere; (0, 1) as before. About (0, 1/2) the reverse.
    centres = np.array([[1.0, 0], [0, 0.5]])
    found = probe_accuracies(np.eye(2), IMAGE, TEXT, centres)
    assert found.tolist() == [[0.5, 0.75], [1.0, 0.75]]


def test_accuracies_count_rows_beyond_one_block():
    image, text = np.tile(IMAGE, (3000, 1)), np.tile(TEXT, (2100, 1))
    found = probe_accuracies(np.eye(2), image, text, np.zeros((1, 2)))[0]
    assert found.tolist() == pytest.approx([1.0, (3000 + 4200) / 10200])


def test_worked_p_acc_under_both_protocols():
    accuracies, energy = np.array([1.0, 0.25, 0.75, 0.9]), np.array([1.0, 2, 1, 5])
    # Scores 1, 0.75 and 0.75 (code) or 0.5 (paper); the dead atom does not count.
    assert probing_accuracy(accuracies, energy, np.array(GROUPS), "code") == pytest.approx(3.25 / 4)
    assert probing_accuracy(accuracies, energy, np.array(GROUPS), "paper") == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("accuracy", "code", "paper"), [(0.5, 1.0, 1.0), (1.0, 0.5, 0.0), (0.0, 0.5, 0.0)]
)
def test_bimodal_atom_scores_best_where_it_tells_nothing(accuracy, code, paper):
    one = np.array([accuracy]), np.ones(1), np.array(["bimodal"])
    assert probing_accuracy(*one, "code") == code
    assert probing_accuracy(*one, "paper") == paper


def test_no_live_atom_leaves_it_undefined():
    assert math.isnan(probing_accuracy(np.ones(2), np.ones(2), np.array(["dead"] * 2), "code"))


def test_worked_energy_weighted_mean_atom():
    found = energy_weighted_mean_atom(np.array([[1.0, 0], [0, 1]]), np.array([3.0, 1]))
    assert found.tolist() == [0.75, 0.25]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_p_acc_is_bounded_and_the_paper_never_scores_higher(seed):
    rng = np.random.default_rng(seed)
    accuracies, energy = rng.random(9), rng.random(9)
    group = rng.choice(GROUPS[:3], 9)
    code, paper = (probing_accuracy(accuracies, energy, group, p) for p in ("code", "paper"))
    assert 0 <= paper <= code <= 1
    order = rng.permutation(9)
    moved = probing_accuracy(accuracies[order], 7 * energy[order], group[order], "code")
    assert moved == pytest.approx(code)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_accuracies_agree_with_the_plain_loop(seed):
    rng = np.random.default_rng(seed)
    dictionary, centre = rng.standard_normal((5, 3)), rng.standard_normal(3)
    image, text = rng.standard_normal((7, 3)) + 0.5, rng.standard_normal((4, 3))
    expected = [
        (sum((x - centre) @ d > 0 for x in image) + sum((x - centre) @ d <= 0 for x in text)) / 11
        for d in dictionary
    ]
    assert probe_accuracies(dictionary, image, text, centre[None])[0] == pytest.approx(expected)


def test_energy_weighted_mean_atom_is_the_average_and_zero_without_energy():
    rng = np.random.default_rng(0)
    dictionary, energy = rng.standard_normal((6, 4)), rng.random(6)
    expected = np.average(dictionary, axis=0, weights=energy)
    assert energy_weighted_mean_atom(dictionary, energy) == pytest.approx(expected)
    assert energy_weighted_mean_atom(dictionary, 0 * energy).tolist() == [0.0] * 4


@pytest.mark.parametrize("protocol", ["code", "paper"])
def test_p_acc_is_that_of_a_loop_over_atoms(protocol):
    rng = np.random.default_rng(1)
    accuracies, energy, group = rng.random(40), rng.random(40), rng.choice(GROUPS, 40)
    top = bottom = 0.0
    for accuracy, weight, name in zip(accuracies, energy, group, strict=True):
        told = max(accuracy, 1 - accuracy) - 0.5
        score = {
            "image": accuracy,
            "text": 1 - accuracy,
            "bimodal": 1 - told if protocol == "code" else 1 - 2 * told,
        }
        if name != "dead":
            top, bottom = top + weight * score[name], bottom + weight
    assert probing_accuracy(accuracies, energy, group, protocol) == pytest.approx(top / bottom)


def test_accuracies_ignore_the_length_of_atoms_and_follow_their_order():
    rng = np.random.default_rng(2)
    dictionary, centre = rng.standard_normal((8, 3)), rng.standard_normal(3)
    rows = rng.standard_normal((2, 25, 3))
    found = probe_accuracies(dictionary, *rows, centre[None])[0]
    order, lengths = rng.permutation(8), rng.uniform(0.5, 2, (8, 1))
    moved = probe_accuracies((lengths * dictionary)[order], *rows, centre[None])[0]
    assert moved.tolist() == found[order].tolist()


def test_worked_own_accuracies():
    accuracies = np.array([0.9, 0.2, 0.3, 0.7])
    found = own_accuracies(accuracies, np.array(["image", "text", "bimodal", "dead"]))
    assert found[:3].tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert math.isnan(found[3])
