import numpy as np
import pytest

from isoenergy.measure.energy import AtomEnergies
from isoenergy.measure.scores import (
    BINS,
    active_pairs,
    activity,
    choose_atoms,
    score_histograms,
)


def energies(score, energy, frequency=0.1):
    score, energy = np.asarray(score, float), np.asarray(energy, float)
    return AtomEnergies(
        2 * energy * score,
        2 * energy * (1 - score),
        np.broadcast_to(frequency, energy.shape),
        energy > 0,
    )


def test_worked_activity(sparse):
    image, text = (
        sparse([[1, 0, 2], [0, 0, 1], [0, 0, 0]]),
        sparse([[1, 0, 0], [3, 0, 0], [0, 0, 4]]),
    )
    assert active_pairs(image, text, 0).tolist() == [True, True, False]
    assert active_pairs(image, text, 1).tolist() == [False] * 3
    assert active_pairs(image, text, 2).tolist() == [True] * 3
    assert activity(image, text).tolist() == pytest.approx([2 / 3, 0, 1])


def test_activity_is_the_mean_of_active_pairs(random_energies):
    image, text, _ = random_energies(4)
    expected = [active_pairs(image, text, atom).mean() for atom in range(10)]
    assert activity(image, text).tolist() == pytest.approx(expected)
    assert active_pairs(image, text, 5).tolist() == (
        ((image.toarray() + text.toarray())[:, 5] > 0).tolist()
    )


def test_chosen_are_the_strongest_and_one_at_the_tenth_percentile():
    # 22 bimodal atoms of energy 1..22; the strongest unimodal and the degenerate one do not count.
    energy = np.append(np.arange(1.0, 23), [50, 60])
    told = energies(
        np.append(np.full(22, 0.5), [1.0, 0.5]), energy, np.append(np.full(23, 0.1), 0.95)
    )
    active = np.full(24, 0.5)
    # Of the 21 others, the one with 2 below it.
    assert choose_atoms(told, active, 0.05) == {"high": 21, "low": 2}
    active[:4] = 0.001  # too rare: 17 are left, index 1 of them
    assert choose_atoms(told, active, 0.05) == {"high": 21, "low": 5}


@pytest.mark.parametrize(
    ("score", "active", "expected"),
    [
        ([0.5, 0.5, 0.5], [0.5, 0.001, 0.001], {"high": 2, "low": 0}),
        ([0.5, 0.5, 0.5], [0.001, 0.001, 0.5], {"high": 2, "low": 0}),  # no other is busy
        ([0.0, 0.5, 1.0], [0.5, 0.5, 0.5], {"high": 1}),
        ([0.0, 0.0, 1.0], [0.5, 0.5, 0.5], {"high": 2, "low": 0}),  # none is bimodal
    ],
)
def test_choice_is_defined_with_few_atoms(score, active, expected):
    assert choose_atoms(energies(score, [1.0, 2, 3]), np.array(active), 0.05) == expected


def test_dead_atoms_stand_in_where_all_are_dead():
    assert choose_atoms(energies([0.5, 0.5], [0.0, 0]), np.zeros(2), 0.05) == {"high": 1, "low": 0}


def test_histograms_count_every_pair_once_per_modality(sparse):
    rng = np.random.default_rng(0)
    image, text = rng.normal(0.3, 0.1, (2, 500)).T, rng.normal(-0.2, 0.1, (2, 500)).T
    on = [rng.random((500, 3)) < 0.1 for _ in range(2)]
    atoms = {2: np.array([1.0, 0]), 0: np.array([0, 1.0])}
    found = score_histograms(image, text, tuple(map(sparse, on)), atoms)
    for column, atom in enumerate(atoms):
        edges, counts = found[atom]
        active = on[0][:, atom] | on[1][:, atom]
        assert len(edges) == BINS + 1
        assert (edges[0], edges[-1]) == (text[:, column].min(), image[:, column].max())
        for name, values in (("image", image[:, column]), ("text", text[:, column])):
            assert counts[name, True].sum() == active.sum()
            assert counts[name, False].sum() == (~active).sum()
            below = counts[name, True][:50].sum()
            assert below == (values[active] < edges[50]).sum()


def test_equal_scores_have_a_histogram(sparse):
    always = sparse(np.ones((4, 1)))
    edges, counts = score_histograms(
        np.zeros((4, 2)), np.zeros((4, 2)), (always, always), {0: np.ones(2)}
    )[0]
    assert counts["image", True].sum() == 4
    assert (np.diff(edges) > 0).all()
