import numpy as np
import pytest

from isoenergy.measure.energy import AtomEnergies
from isoenergy.measure.ranks import moving_average, ranked


def test_worked_moving_average():
    assert moving_average(np.array([1.0, 0, 2])).tolist() == pytest.approx([1, 0.9, 1.01])
    assert moving_average(np.array([4.0, 0]), inertia=0.0).tolist() == [4, 0]


def test_moving_average_is_the_weighted_sum_of_all_before():
    values = np.random.default_rng(0).random(30)
    weights = 0.1 * 0.9 ** np.arange(29, -1, -1)
    weights[0] = 0.9**29
    assert moving_average(values)[-1] == pytest.approx(weights @ values)
    assert weights.sum() == pytest.approx(1)


def test_moving_average_leaves_its_input_alone():
    values = np.array([1.0, 0, 2])
    moving_average(values)
    assert values.tolist() == [1, 0, 2]


def test_worked_ranks_put_dead_atoms_last():
    energies = AtomEnergies(
        image=np.array([0.0, 0.2, 0, 1e-20, 0.6]),
        text=np.array([0.4, 0.6, 0, 0, 0]),
        frequency=np.array([0.1, 0.5, 0, 0.4, 0.3]),
        live=np.array([True, True, False, False, True]),
    )
    found = ranked(energies)
    assert found["rank"].tolist() == [1, 2, 3, 4, 5]
    assert found["atom"].tolist() == [1, 4, 0, 2, 3]
    assert found["energy"].tolist() == pytest.approx([0.4, 0.3, 0.2, 0, 0])
    assert found["frequency"].tolist() == [0.5, 0.3, 0.1, 0, 0.4]
    assert found["magnitude"].tolist() == pytest.approx([0.8, 1.0, 2.0, np.nan, 0], nan_ok=True)
    assert found["magnitude_smooth"][:3].tolist() == pytest.approx([0.8, 0.82, 0.938])
    assert np.isnan(found["energy_smooth"][3:]).all()
