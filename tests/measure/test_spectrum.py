import itertools

import numpy as np
import pytest

from isoenergy.measure.spectrum import UpperTriangle, estimate_spectrum


def matrix_of(values, seed=0):
    directions, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values),) * 2))
    return directions @ np.diag(values) @ directions.T


def entropy(values):
    share = values[values > 0] / values.sum()
    return -(share * np.log(share)).sum()


def estimate(values, seed=0):
    matrix = matrix_of(values)
    known = values.sum(), np.square(values).sum()
    rng = np.random.default_rng(seed)
    return estimate_spectrum(lambda x: matrix @ x, len(values), *known, rng)


@pytest.mark.parametrize(
    "values",
    [
        1 / np.arange(1, 401.0),
        np.exp(-np.arange(400.0) / 20),
        np.where(np.arange(400) < 200, np.linspace(3, 1, 400), 0),
    ],
    ids=["power", "exponential", "half rank"],
)
def test_estimate_lies_within_its_error_and_that_is_small(values):
    found = [estimate(values, seed) for seed in range(5)]
    errors = np.array([spectrum.error for spectrum in found])
    off = np.array([spectrum.entropy for spectrum in found]) - entropy(values)
    assert np.abs(off).max() < 4 * errors.max() + 1e-4
    assert errors.max() < 0.005
    assert found[0].largest == pytest.approx(values.max())


def test_equal_eigenvalues_have_no_error():
    found = estimate(np.full(100, 0.5))
    assert found.entropy == pytest.approx(np.log(100))
    assert found.error == pytest.approx(0, abs=1e-9)


def test_estimate_does_not_depend_on_scale():
    values = 1 / np.arange(1, 101.0)
    found, scaled = estimate(values), estimate(7 * values)
    assert scaled.entropy == pytest.approx(found.entropy)
    assert scaled.error == pytest.approx(found.error)


@pytest.mark.parametrize("cuts", [[0, 30], [0, 1, 10, 29, 30]])
def test_norm_of_the_upper_half_is_that_of_the_whole(cuts):
    matrix = np.random.default_rng(1).random((30, 30)) ** 4
    matrix += matrix.T
    triangle = UpperTriangle(30)
    for start, stop in itertools.pairwise(cuts):
        triangle.add(slice(start, stop), matrix[start:stop, start:])
    assert triangle.norm() == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-5)


def test_norm_of_nothing_is_zero():
    triangle = UpperTriangle(5)
    triangle.add(slice(0, 5), np.zeros((5, 5)))
    assert triangle.norm() == 0.0
