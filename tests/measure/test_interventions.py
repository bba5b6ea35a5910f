import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoenergy.measure.gap import difference_in_mean
from isoenergy.measure.interventions import (
    INTERVENTIONS,
    Means,
    axes_to_drop,
    center,
    randomise,
    shift,
    without_axes,
    without_difference,
    without_mean_directions,
    without_means,
)


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    image = rng.standard_normal((200, 6)) + np.array([2, 0, 0, 1, 0, 0])
    text = rng.standard_normal((200, 6)) - np.array([0, 1, 0, 1, 0, 0])
    return image, text, Means.of(image, text)


def test_a_case_by_hand():
    image, text = np.array([[1.0, 0], [3, 2]]), np.array([[0.0, 2], [0, 4]])
    means = Means.of(image, text)
    rng = np.random.default_rng(0)
    assert means.difference.tolist() == [2, -2]
    assert [part.tolist() for part in center(image, text, means, rng)] == [
        [[-1, -1], [1, 1]],
        [[0, -1], [0, 1]],
    ]
    assert [part.tolist() for part in shift(image, text, means, rng)] == [
        [[0, 1], [2, 3]],
        [[1, 1], [1, 3]],
    ]
    np.testing.assert_allclose(
        without_difference(image, text, means)[0], [[0.5, 0.5], [2.5, 2.5]], atol=1e-12
    )
    assert [part.tolist() for part in without_axes(image, text, means, 1)] == [
        [[0, 0], [0, 2]],
        [[0, 2], [0, 4]],
    ]


@pytest.mark.parametrize(
    "act", [without_means, without_mean_directions, without_difference, shift, center]
)
def test_with_a_set_s_own_means_the_gap_is_gone(pair, act):
    image, text, means = pair
    rng = (np.random.default_rng(0),) if act in (shift, center) else ()
    assert difference_in_mean(*act(image, text, means, *rng)) == pytest.approx(0, abs=1e-12)


def test_shift_keeps_the_mean_of_all_and_every_distance_within_a_modality(pair):
    image, text, means = pair
    moved = shift(image, text, means, np.random.default_rng(0))
    np.testing.assert_allclose(
        np.concatenate(moved).mean(0), np.concatenate([image, text]).mean(0), atol=1e-12
    )
    np.testing.assert_allclose(moved[0][3] - moved[0][9], image[3] - image[9], atol=1e-12)


def test_random_adds_one_vector_to_both_and_normalises(pair):
    image, text, means = pair
    moved = randomise(image, text, means, np.random.default_rng(5))
    again = randomise(image, text, means, np.random.default_rng(5))
    np.testing.assert_array_equal(moved[0], again[0])
    for part in moved:
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1)
    direction = np.random.default_rng(5).standard_normal(6)
    direction /= np.linalg.norm(direction)
    rows = image - means.image + direction
    np.testing.assert_allclose(moved[0], rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_no_component_is_left_along_what_was_removed(pair):
    image, text, means = pair
    bare = without_mean_directions(image, text, means)
    np.testing.assert_allclose(bare[0] @ means.image, 0, atol=1e-12)
    np.testing.assert_allclose(bare[1] @ means.text, 0, atol=1e-12)
    for part in without_difference(image, text, means):
        np.testing.assert_allclose(part @ means.difference, 0, atol=1e-12)


def test_equal_means_leave_nothing_to_remove(pair):
    image, text, _ = pair
    none = Means(np.zeros(6), np.zeros(6))
    for before, after in zip((image, text), without_difference(image, text, none), strict=True):
        np.testing.assert_array_equal(before, after)
    assert axes_to_drop(none, 0.1, 6) == 0


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=8), st.floats(0.01, 3))
def test_axes_to_drop_is_the_smallest_number_that_reaches_the_target(difference, target):
    means = Means(np.array(difference), np.zeros(len(difference)))
    most = len(difference)
    gaps = []
    for n in range(most + 1):
        image, text = without_axes(means.image[None], means.text[None], means, n)
        gaps.append(difference_in_mean(image, text))
    n = axes_to_drop(means, target, most)
    assert gaps[n] <= target + 1e-6
    assert n == 0 or gaps[n - 1] > target - 1e-6
    assert sorted(gaps, reverse=True) == gaps


def test_float32_stays_float32(pair):
    image, text, means = pair
    for name in INTERVENTIONS:
        moved = INTERVENTIONS[name](
            image.astype(np.float32), text.astype(np.float32), means, np.random.default_rng(0)
        )
        assert [part.dtype for part in moved] == [np.float32, np.float32], name
