import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoenergy.render.lab import blend, to_lab, to_rgb


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        # Published L*a*b* of the sRGB primaries under D65.
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
    ],
)
def test_known_colours(rgb, lab):
    assert to_lab(np.array([rgb], float))[0] == pytest.approx(lab, abs=0.02)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**20))
def test_there_and_back(seed):
    rgb = np.random.default_rng(seed).random((5, 3))
    assert to_rgb(to_lab(rgb)) == pytest.approx(rgb, abs=1e-9)


def test_blend_ends_at_its_ends_and_has_the_mean_lightness_between():
    start, end = np.array([[0.1, 0.5, 0.7]]), np.array([[0.9, 0.7, 0.1]])
    assert blend(start, end, 0.0) == pytest.approx(start)
    assert blend(start, end, 1.0) == pytest.approx(end)
    middle = to_lab(blend(start, end, 0.5))[0, 0]
    assert middle == pytest.approx((to_lab(start) + to_lab(end))[0, 0] / 2)
