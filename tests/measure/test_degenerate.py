"""Input with nothing in it to measure: every metric is written, with a defined value.

Undefined is NaN (null in the file, a dash in tables), a ratio with nothing below is infinite, and
no warning is given on the way.
"""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from isoenergy.embed.store import open_store
from isoenergy.encode.codes import Codes, write_codes
from isoenergy.files import hash_file
from isoenergy.measure.embeddings import PAIR_METRICS, Samples, measure_embeddings
from isoenergy.measure.metric import read_metric
from isoenergy.measure.quality import QUALITY_METRICS, measure_quality
from isoenergy.measure.retrieval import TIES
from isoenergy.measure.sae import (
    FACTOR_METRICS,
    SAE_METRICS,
    SaeSettings,
    measure_factors,
    measure_sae,
)
from isoenergy.measure.stability import measure_stability

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

LARGER = 10_000  # than any sample here, as the paper's sample sizes are
ATOMS, DIM = 9, 5


def unit(n, seed, dim=DIM):
    x = np.random.default_rng(seed).standard_normal((n, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def some_codes(n, atoms, seed):
    """Positive codes of some atoms, each row using at least one."""
    rng = np.random.default_rng(seed)
    dense = np.zeros((n, ATOMS), dtype=np.float32)
    dense[:, atoms] = rng.random((n, len(atoms))) * (rng.random((n, len(atoms))) < 0.7)
    dense[:, atoms[0]] += 0.1
    return csr_matrix(dense)


@pytest.fixture
def measure(tmp_path, save_store, save_dictionary, read_metrics):
    """Everything measured on one SAE, from given codes."""

    def run(image_codes, text_codes, name="one", image=None, text=None):
        n = image_codes.shape[0]
        image = unit(n, 1) if image is None else image
        text = unit(n, 2) if text is None else text
        store = save_store(name, image, text, factor_shape=np.arange(n).astype(str))
        weights = save_dictionary(f"{name}-sae", unit(ATOMS, 3).astype(np.float32), 3)
        ids = open_store(store).description["ids"]["image"]
        codes = tmp_path / f"{name}-codes" / "codes.json"
        write_codes(codes, Codes(image_codes, text_codes, ids, hash_file(weights)))
        folder = tmp_path / f"{name}-metrics"
        settings = SaeSettings(tau=0.05, probe=LARGER, gap=LARGER, recall=LARGER)
        measure_sae(store, weights, codes, folder, folder / "atoms.parquet", settings, 0)
        measure_quality(store, weights, codes, folder, 4, 0)
        measure_factors(store, weights, codes, folder, folder / "factors.parquet", 0.05)
        metrics = read_metrics(folder)
        assert set(metrics) == {*SAE_METRICS, *QUALITY_METRICS, *FACTOR_METRICS}
        assert told(metrics)
        return {name: metric.value for name, metric in metrics.items()}, weights, folder

    return run


def told(metrics):
    """Whether every value that is not finite says why, and not what finite ones say."""
    notes = [
        metric.note
        for metric in metrics.values()
        if not all(map(math.isfinite, metric.protocols.values()))
    ]
    return all(note and "duality gap" not in note and TIES not in note for note in notes)


def undefined(values, names=SAE_METRICS + QUALITY_METRICS):
    return {name for name in names if math.isnan(values[name])}


def test_no_bimodal_atom(measure):
    values, _, folder = measure(some_codes(40, [0, 1, 2, 3], 0), some_codes(40, [4, 5, 6, 7], 1))
    assert values["atoms_bimodal"] == 0
    assert values["energy_share_bimodal"] == 0
    # The two covariances that are kept are of atoms whose cosine is not.
    assert read_metric(folder / "rho.json").protocols["paper"] == 0
    assert undefined(values) == {"rho", "fda"}
    assert read_metric(folder / "rho.json").note.startswith("code: no bridge is left")
    assert read_metric(folder / "fda.json").note == "bimodal atoms have no energy"
    masked = read_metric(folder / "recall_at_1_masked.json")
    assert masked.zero_share == {"image": 1.0, "text": 1.0}
    assert read_metric(folder / "mse.json").zero_share == {"image": 0.0, "text": 0.0}
    assert values["difference_in_mean_masked"] == 0
    # All reconstructions are zero: ties, of which each of the 40 is found for 1 / 40.
    assert values["recall_at_1_masked"] == pytest.approx(1 / 40)
    assert values["delta_r_at_1"] == values["recall_at_1_reconstruction"] - 1 / 40
    assert math.isnan(values["follows_none_bimodal"])


def test_all_atoms_bimodal(measure):
    codes = some_codes(40, list(range(ATOMS)), 0)
    values, _, folder = measure(codes, codes)
    assert (
        read_metric(folder / "rho.json").note == "all of the bridge's mass touches a bimodal atom"
    )
    assert read_metric(folder / "fda.json").note.startswith("code: all energy is in bimodal atoms")
    assert values["atoms_bimodal"] == ATOMS
    assert values["energy_share_bimodal"] == 1
    assert values["rho"] == math.inf
    assert undefined(values) == {"fda"}
    assert values["transport_cost"] == pytest.approx(0, abs=1e-6)
    assert values["delta_r_at_1"] == 0
    assert math.isnan(values["follows_none_image"])


def test_dead_dictionary(measure):
    empty = csr_matrix((40, ATOMS), dtype=np.float32)
    values, _, folder = measure(empty, empty)
    for name in ("c_insertion", "l0", "recall_at_1_reconstruction", "codes_stable_rank"):
        assert read_metric(folder / f"{name}.json").zero_share == {"image": 1.0, "text": 1.0}
    assert values["mse"] == pytest.approx(1)
    for name in ("l0", "l1", "energy", "atoms_live", "atoms_bimodal", "negative_interference"):
        assert values[name] == 0
    assert values["connectivity"] == 1
    assert undefined(values) == {
        *("energy_share_text", "energy_share_bimodal", "energy_share_image"),
        *("energy_share_degenerate", "p_acc", "rho", "fda", "transport_cost"),
        *("c_insertion", "c_deletion", "codes_stable_rank", "codes_effective_rank"),
        *("dictionary_stable_rank_weighted", "dictionary_effective_rank_weighted"),
    }
    assert undefined(values, FACTOR_METRICS) == set(FACTOR_METRICS)


@pytest.mark.parametrize("side", ["image", "text"])
def test_one_modality_without_codes(measure, side):
    codes = [some_codes(40, [0, 1, 2, 3], 0), csr_matrix((40, ATOMS), dtype=np.float32)]
    values, *_ = measure(*(codes if side == "image" else codes[::-1]))
    assert values[f"energy_share_{side}"] == 1
    assert values["atoms_live"] == 4
    assert undefined(values) == {"rho", "fda", "transport_cost", "c_insertion", "c_deletion"}


def test_constant_embeddings(measure):
    rows = np.tile(unit(1, 5), (40, 1))
    codes = csr_matrix(np.tile(some_codes(1, [0, 3], 0).toarray(), (40, 1)))
    values, _, folder = measure(codes, codes, image=rows, text=rows)
    # A single point: pairs are as near as other rows, and a single code has rank 1.
    assert values["codes_stable_rank"] == pytest.approx(1)
    assert values["difference_in_mean_reconstruction"] == 0
    assert values["recall_at_1_reconstruction"] == 1 / 40
    assert values["p_acc"] == 1.0
    assert undefined(values) == {"fda"}
    explained = read_metric(folder / "r2.json").protocols
    assert math.isnan(explained["paper"])
    assert math.isnan(explained["dimension"])
    assert math.isfinite(explained["code"])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_pairs(measure, n):
    values, *_ = measure(some_codes(n, [0, 1, 2, 3], 0), some_codes(n, [2, 3, 4], 1))
    assert undefined(values) <= {"rho", "fda"}
    if n == 1:
        assert values["recall_at_1_reconstruction"] == 1
        assert values["delta_r_at_1"] == 0


def test_stability_of_a_dead_dictionary_is_undefined(measure, read_metrics, tmp_path):
    alive = measure(some_codes(20, [0, 1], 0), some_codes(20, [1, 2], 1), "alive")
    empty = csr_matrix((20, ATOMS), dtype=np.float32)
    dead = measure(empty, empty, "dead")
    for pair in ((alive, dead), (dead, alive), (dead, dead)):
        weights = [weights for _, weights, _ in pair]
        atoms = [folder / "atoms.parquet" for *_, folder in pair]
        measure_stability(weights, atoms, tmp_path / "s", 0)
        found = read_metrics(tmp_path / "s")
        assert math.isnan(found["stability"].value)
        assert math.isnan(found["stability_null"].value)
        assert found["stability"].note == "a dictionary has no energy"


@pytest.fixture
def measure_raw(tmp_path, save_store, read_metrics):
    def run(image, text):
        store = save_store("raw", image, text)
        figures = [
            tmp_path / "raw-metrics" / "f" / f"{name}.parquet" for name in ("pca", "cosines")
        ]
        measure_embeddings(store, tmp_path / "raw-metrics", *figures, Samples(*[LARGER] * 3), 0)
        metrics = read_metrics(tmp_path / "raw-metrics")
        assert set(metrics) == set(PAIR_METRICS)
        assert told(metrics)
        return {name: metric.value for name, metric in metrics.items()}, *map(
            pd.read_parquet, figures
        )

    return run


def test_one_pair_of_embeddings(measure_raw):
    image, text = unit(1, 0), unit(1, 1)
    values, pca, cosines = measure_raw(image, text)
    assert undefined(values, PAIR_METRICS) == {"separability", "rmg", "ood_score"}
    assert values["difference_in_mean"] == pytest.approx(np.linalg.norm(image - text), rel=1e-5)
    assert values["wasserstein"] == pytest.approx(1 - (image * text).sum(), rel=1e-5)
    assert values["recall_at_1"] == values["recall_at_5"] == 1
    assert np.isfinite(pca[["x", "y"]].to_numpy()).all()
    area = cosines["density"] * (cosines["right"] - cosines["left"])
    found = area.groupby(cosines["kind"]).sum().to_dict()
    aligned = found.pop("I-T (aligned)")
    assert aligned == pytest.approx(1)
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize("n", [2, 7])
def test_few_embeddings(measure_raw, n):
    values, pca, cosines = measure_raw(unit(n, 0), unit(n, 1))
    assert undefined(values, PAIR_METRICS) == ({"ood_score"} if n < 5 else set())
    assert 0 <= values["separability"] <= 1
    assert np.isfinite(pca[["x", "y"]].to_numpy()).all()
    assert np.isfinite(cosines["density"].to_numpy()).all()


def test_constant_raw_embeddings(measure_raw):
    rows = np.tile(unit(1, 0), (30, 1))
    values, pca, cosines = measure_raw(rows, rows)
    # Images that are all copies have no neighbours.
    assert undefined(values, PAIR_METRICS) == {"rmg", "ood_score"}
    assert values["difference_in_mean"] == 0
    assert values["wasserstein"] == pytest.approx(0, abs=1e-6)
    assert values["separability"] == 0.5
    assert values["recall_at_1"] == 1 / 30
    assert pca[["x", "y"]].to_numpy() == pytest.approx(0, abs=1e-6)
    assert np.isfinite(cosines["density"].to_numpy()).all()


def test_modalities_of_one_point_each(measure_raw):
    image, text = (np.tile(unit(1, seed), (30, 1)) for seed in (0, 1))
    values, *_ = measure_raw(image, text)
    assert undefined(values, PAIR_METRICS) == {"ood_score"}
    assert values["separability"] == 1
    assert values["rmg"] == pytest.approx(1)
