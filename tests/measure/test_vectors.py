import numpy as np
import pytest

from isoenergy.measure import vectors
from isoenergy.measure.interventions import INTERVENTIONS, Means, changed
from isoenergy.measure.reconstruction import Reconstructions, reconstruct
from isoenergy.measure.vectors import draw_rows, mean_vector


@pytest.mark.parametrize(("n", "size"), [(10, 4), (10, 10), (10, 50), (5000, 30), (5000, 2400)])
@pytest.mark.parametrize("permuted", [1, 2**22])
def test_rows_drawn_are_different_and_as_many_as_asked_for(n, size, permuted, monkeypatch):
    monkeypatch.setattr(vectors, "_PERMUTED", permuted)
    drawn = draw_rows(n, size, np.random.default_rng(0))
    assert len(drawn) == min(n, size)
    assert len(set(drawn.tolist())) == len(drawn)
    assert (drawn.min() >= 0, drawn.max() < n) == (True, True)
    assert drawn.tolist() == draw_rows(n, size, np.random.default_rng(0)).tolist()


def test_every_row_is_as_likely_at_every_place_however_rows_are_drawn(monkeypatch):
    monkeypatch.setattr(vectors, "_PERMUTED", 1)
    rng = np.random.default_rng(1)
    counts = np.zeros((2, 12))
    for _ in range(6000):
        for place, row in enumerate(draw_rows(12, 2, rng)):
            counts[place, row] += 1
    # 500 expected, with a standard deviation of 21.
    assert np.abs(counts - 500).max() < 100


def test_the_mean_is_that_of_all_blocks(monkeypatch):
    x = np.random.default_rng(2).standard_normal((50, 4)).astype(np.float32)
    whole = mean_vector(x)
    np.testing.assert_allclose(whole, x.mean(axis=0, dtype=np.float64), rtol=1e-12)
    monkeypatch.setattr(vectors.blocks, "__defaults__", (7,))
    np.testing.assert_allclose(mean_vector(x), whole, rtol=1e-12)


@pytest.mark.parametrize("name", list(INTERVENTIONS))
def test_rows_changed_when_asked_for_are_rows_of_all_changed(name, random_energies):
    image, text, _ = random_energies(3)
    rng = np.random.default_rng(4)
    dictionary, kept = rng.standard_normal((10, 5)).astype(np.float32), rng.random(10) < 0.6
    whole = [reconstruct(side, dictionary, kept) for side in (image, text)]
    lazy = [Reconstructions(side, dictionary, kept) for side in (image, text)]
    means = Means.of(*whole)

    def act(images, texts):
        return INTERVENTIONS[name](images, texts, means, np.random.default_rng(9))

    rows = np.array([7, 0, 39])
    for found, expected in zip(changed(*lazy, act), act(*whole), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found[rows], expected[rows], rtol=1e-6)
        np.testing.assert_allclose(found[5:9], expected[5:9], rtol=1e-6)
