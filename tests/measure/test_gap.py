import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from isoenergy.measure.gap import difference_in_mean, separability, wasserstein
from isoenergy.measure.retrieval import unit_rows


def rng(seed=0):
    return np.random.default_rng(seed)


def test_worked_difference_in_mean():
    image, text = np.array([[1.0, 0], [0, 1.0]]), np.array([[-1.0, 0]])
    assert difference_in_mean(image, text) == pytest.approx(2.5**0.5)


def test_difference_in_mean_uses_lengths():
    assert difference_in_mean(np.array([[4.0, 0]]), np.array([[1.0, 0]])) == 3.0


def test_opposite_means_of_unit_rows_are_two_apart():
    assert difference_in_mean(np.array([[0, 1.0]] * 3), np.array([[0, -1.0]] * 5)) == 2.0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_difference_in_mean_is_a_shift_away(seed):
    image, shift = rng(seed).standard_normal((9, 4)), rng(seed + 1).standard_normal(4)
    assert difference_in_mean(image, image[::-1] + shift) == pytest.approx(np.linalg.norm(shift))


def test_worked_wasserstein():
    # Cosines to (1, 0) and (0, 1): crossing is free, so W is 0; with (0, -1) instead it is 1/2.
    image = np.array([[2.0, 0], [0, 1.0]])
    assert wasserstein(image, np.array([[0, 3.0], [1.0, 0]])).cost == pytest.approx(0.0, abs=1e-12)
    assert wasserstein(image, np.array([[0, -3.0], [1.0, 0]])).cost == pytest.approx(0.5 * 2)


def test_zero_row_has_cosine_zero():
    assert wasserstein(np.array([[0.0, 0]]), np.array([[1.0, 0]])).cost == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(4))
def test_wasserstein_is_the_best_assignment(seed):
    image, text = rng(seed).standard_normal((2, 25, 6)) + rng(seed).standard_normal((2, 1, 6))
    cost = 1 - unit_rows(image) @ unit_rows(text).T
    expected = cost[linear_sum_assignment(cost)].mean()
    assert wasserstein(image, text).cost == pytest.approx(expected, abs=1e-10)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_wasserstein_is_symmetric_bounded_and_forgets_length(seed):
    image, text = rng(seed).standard_normal((8, 4)), rng(seed + 1).standard_normal((5, 4))
    found = wasserstein(image, text).cost
    assert 0 <= found <= 2
    assert wasserstein(text, image).cost == pytest.approx(found)
    assert wasserstein(3 * image, text * rng(seed).uniform(1, 2, (5, 1))).cost == pytest.approx(
        found
    )


def test_apart_clouds_are_separable():
    image, text = rng().standard_normal((2, 200, 5))
    assert separability(image + 9 * np.eye(5)[0], text, rng()) == 1.0


def test_same_cloud_is_separable_by_chance():
    image, text = rng().standard_normal((2, 1000, 3))
    assert separability(image, text, rng()) == pytest.approx(0.5, abs=0.06)


def test_separability_is_measured_on_rows_not_trained_on():
    # With as many dimensions as rows a probe fits any labels it is trained on.
    image, text = rng(3).standard_normal((2, 60, 200))
    assert separability(image, text, rng()) == pytest.approx(0.5, abs=0.2)
