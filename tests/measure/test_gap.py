import math

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LogisticRegression

from isoenergy.measure.gap import (
    difference_in_mean,
    relative_modality_gap,
    separability,
    wasserstein,
)
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


def test_separability_is_the_score_of_a_probe_trained_on_one_half():
    # A generator whose permutation changes nothing: first halves train, second halves test.
    class InOrder:
        permutation = staticmethod(np.arange)

    image, text = rng(1).standard_normal((2, 80, 4)) + 0.5 * np.eye(2, 4)[:, None]
    probe = LogisticRegression(C=1.0, max_iter=1000)
    probe.fit(np.concatenate([image[:40], text[:40]]), [1] * 40 + [0] * 40)
    expected = probe.score(np.concatenate([image[40:], text[40:]]), [1] * 40 + [0] * 40)
    assert 0.5 < expected < 1
    assert separability(image, text, InOrder) == expected


def test_separability_takes_two_rows_of_each_modality():
    image, text = np.eye(2), -np.eye(2)
    assert math.isnan(separability(image[:1], text, rng()))
    assert math.isnan(separability(image, text[:1], rng()))
    assert separability(image + 5, text - 5, rng()) == 1.0


def test_separability_of_equal_rows_is_chance():
    assert separability(np.ones((20, 3)), np.ones((20, 3)), rng()) == 0.5


@pytest.mark.parametrize(("n", "m"), [(30, 30), (12, 25)])
def test_wasserstein_is_that_of_pot(n, m):
    image, text = rng(5).standard_normal((n, 6)), rng(6).standard_normal((m, 6)) + 0.5
    cost = ot.dist(image, text, metric="cosine")
    expected = ot.emd2(np.full(n, 1 / n), np.full(m, 1 / m), cost)
    assert wasserstein(image, text).cost == pytest.approx(expected, abs=1e-10)


def test_wasserstein_of_single_rows_is_their_distance():
    assert wasserstein(np.array([[1.0, 0]]), np.array([[3.0, 4]])).cost == pytest.approx(0.4)


def test_worked_relative_modality_gap():
    # Cosines: of the pairs 0.8 and 0.6, of the images 0, of the texts 0.96.
    image, text = np.eye(2), np.array([[0.8, 0.6], [0.8, 0.6]])
    text[1] = [0.6, 0.8]
    pairs, images, texts = (1 - 0.8) / 2, 0.5, (1 - 0.96) / 2
    expected = pairs / (pairs + (images + texts) / 2)
    assert relative_modality_gap(image, text) == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20), n=st.integers(2, 12))
def test_relative_modality_gap_is_that_of_every_pair_of_rows(seed, n):
    image, text = rng(seed).standard_normal((2, n, 4)) + rng(seed + 1).standard_normal((2, 1, 4))

    def mean(a, b, pairs):
        distances = [
            (1 - a[i] @ b[j] / np.linalg.norm(a[i]) / np.linalg.norm(b[j])) / 2 for i, j in pairs
        ]
        return np.mean(distances)

    different = [(i, j) for i in range(n) for j in range(n) if i != j]
    matched = mean(image, text, [(i, i) for i in range(n)])
    within = (mean(image, image, different) + mean(text, text, different)) / 2
    assert relative_modality_gap(image, text) == pytest.approx(matched / (matched + within))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_relative_modality_gap_is_symmetric_bounded_and_ignores_order_length_and_rotation(seed):
    image, text = rng(seed).standard_normal((2, 9, 4))
    found = relative_modality_gap(image, text)
    assert 0 <= found <= 1
    assert relative_modality_gap(text, image) == pytest.approx(found)
    order, turn = rng(seed).permutation(9), np.linalg.qr(rng(seed).standard_normal((4, 4)))[0]
    lengths = rng(seed).uniform(0.5, 2, (2, 9, 1))
    moved = relative_modality_gap((lengths[0] * image)[order] @ turn, (3 * text)[order] @ turn)
    assert moved == pytest.approx(found)


def test_relative_modality_gap_at_its_ends():
    rows = rng().standard_normal((10, 5))
    assert relative_modality_gap(rows, rows) == pytest.approx(0.0, abs=1e-12)
    # Two points: nothing differs within a modality.
    assert relative_modality_gap(np.ones((4, 2)), -np.ones((4, 2))) == pytest.approx(1.0)
    assert math.isnan(relative_modality_gap(np.ones((4, 3)), np.ones((4, 3))))
    assert math.isnan(relative_modality_gap(rows[:1], rows[1:2]))
    # Zero rows are at cosine 0 with everything.
    assert relative_modality_gap(0 * rows, 0 * rows) == 0.5


def test_relative_modality_gap_that_the_paper_prints_fits_its_other_numbers():
    # SPEC 3.5: matching pairs at cosine 0.31 and rows of one modality at 0.363 give the 0.52 of
    # Table 12; pairs that do not match are at 0.10.
    gram = np.array([[1, 0.363, 0.31, 0.1], [0.363, 1, 0.1, 0.31]])
    gram = np.concatenate([gram, np.roll(gram, 2, axis=1)])
    rows = np.linalg.cholesky(gram)
    assert relative_modality_gap(rows[:2], rows[2:]) == pytest.approx(0.52, abs=0.005)
