import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoenergy.data.factors import BY_NAME, FACTORS, SHARED, draw_factors, value_weights


def test_names_and_values_are_unambiguous():
    assert len(BY_NAME) == len(FACTORS)
    for factor in FACTORS:
        assert len(set(factor.values)) == len(factor.values)


def test_weights_of_three_values_with_skew_one():
    np.testing.assert_allclose(value_weights(3, 1.0), [6 / 11, 3 / 11, 2 / 11])


@given(st.integers(1, 20), st.floats(-3, 3))
def test_weights_are_a_distribution_that_falls_with_positive_skew(n, skew):
    weights = value_weights(n, skew)
    assert (weights > 0).all()
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(weights) * np.sign(skew) <= 1e-12).all()
    np.testing.assert_allclose(weights, value_weights(n, -skew)[::-1])


@pytest.mark.parametrize("skew", [0.0, 0.25, -0.5])
def test_values_are_drawn_as_often_as_their_weights_say(skew):
    n = 20_000
    for name, codes in draw_factors(n, skew, np.random.default_rng(0)).items():
        weights = value_weights(len(BY_NAME[name].values), skew)
        found = np.bincount(codes, minlength=len(weights)) / n
        assert (np.abs(found - weights) < 4.5 * np.sqrt(weights * (1 - weights) / n)).all()


def test_factors_are_drawn_independently():
    codes = draw_factors(20_000, 0.25, np.random.default_rng(1))
    correlation = np.corrcoef(np.stack([codes[factor.name] for factor in FACTORS]))
    assert np.abs(correlation - np.eye(len(FACTORS))).max() < 4.5 / np.sqrt(20_000)


def test_only_the_factors_asked_for_are_drawn():
    codes = draw_factors(5, 0.0, np.random.default_rng(2), SHARED)
    assert list(codes) == [factor.name for factor in SHARED]
    assert {values.dtype for values in codes.values()} == {np.dtype("int8")}
