import numpy as np
import pandas as pd
import pytest

from isoenergy.errors import InputError
from isoenergy.measure.sae import (
    FACTOR_METRICS,
    measure_factors,
)


@pytest.fixture
def factors(tmp_path, read_metrics):
    def run(store, weights, codes, tau=0.05):
        folder = tmp_path / "factors"
        measure_factors(store, weights, codes, folder, folder / "atoms.parquet", tau)
        return read_metrics(folder), pd.read_parquet(folder / "atoms.parquet")

    return run


def test_every_promised_factor_metric_is_written_and_no_other(factors, ideal):
    metrics, _ = factors(*ideal)
    assert set(metrics) == set(FACTOR_METRICS)
    assert len(set(FACTOR_METRICS)) == len(FACTOR_METRICS)


def test_coefficients_of_the_ideal_case_are_those_of_its_atoms(factors, ideal):
    metrics, atoms = factors(*ideal)
    shared = atoms.iloc[2:]
    expected = np.average(shared["factor_shape"], weights=shared["energy"])
    assert metrics["coefficient_shared_bimodal"].value == pytest.approx(expected)
    assert expected > 0.1
    assert metrics["coefficient_shared_image"].value == 0.0
    assert metrics["coefficient_picture_bimodal"].value == 0.0


def test_bimodal_atoms_of_the_ideal_case_follow_the_shared_factor(factors, ideal):
    # Each shape has its atom on at full strength; the constant biases follow nothing.
    metrics, atoms = factors(*ideal)
    assert metrics["follows_shared_bimodal"].value == pytest.approx(1.0)
    assert metrics["follows_none_image"].value == 1.0
    assert metrics["follows_none_text"].value == 1.0
    assert metrics["follows_picture_bimodal"].value == 0.0
    assert atoms["best_factor"].tolist() == ["shape"] * 16
    assert atoms["followed"].tolist() == ["none", "none", *["shared"] * 14]
    assert atoms["coefficient"].to_numpy() == pytest.approx(atoms["factor_shape"].to_numpy())
    assert atoms["coefficient"].iloc[0] == 0.0


def test_atoms_follow_the_side_that_shows_a_factor(factors, save_store, save_dictionary, encoded):
    rng = np.random.default_rng(0)
    noise, tail, shape = rng.integers(2, size=(3, 600))
    axes = np.eye(6)
    image = axes[2 + shape] + 0.8 * axes[0] * noise[:, None]
    text = axes[2 + shape] + 0.8 * axes[1] * tail[:, None]
    image, text = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (image, text))
    store = save_store(
        "sided", image, text, factor_noise=noise, factor_tail=tail, factor_shape=shape
    )
    weights = save_dictionary("sided-sae", axes, l0=2)
    metrics, atoms = factors(store, weights, encoded("sided-codes", weights, store))
    assert atoms["group"].tolist() == ["image", "text", "bimodal", "bimodal", "dead", "dead"]
    for kind, group in (("picture", "image"), ("text", "text"), ("shared", "bimodal")):
        assert metrics[f"follows_{kind}_{group}"].value == pytest.approx(1.0)
    assert atoms["best_factor"].tolist()[:4] == ["noise", "tail", "shape", "shape"]
    assert atoms["coefficient"].iloc[:4].min() > 0.99


def test_store_without_factors_is_refused(factors, ordinary):
    with pytest.raises(InputError, match="has no known factors"):
        factors(*ordinary)
