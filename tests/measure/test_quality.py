import functools

import numpy as np
import pytest
from scipy.linalg import svdvals
from scipy.stats import entropy

from isoenergy.encode.codes import open_codes
from isoenergy.measure import quality
from isoenergy.measure.blockwise import atom_cosines
from isoenergy.measure.metric import read_metric
from isoenergy.measure.quality import QUALITY_METRICS, measure_quality
from isoenergy.measure.structure import coherence


@pytest.fixture
def metrics(ordinary, tmp_path):
    measure_quality(*ordinary, tmp_path / "q", insertion=4, seed=0)
    return {path.stem: read_metric(path) for path in (tmp_path / "q").iterdir()}


def test_every_promised_metric_is_written_and_no_other(metrics):
    assert set(metrics) == set(QUALITY_METRICS)


def test_numbers_lie_where_they_can(metrics, ordinary):
    codes = open_codes(ordinary[2])
    values = {name: metric.value for name, metric in metrics.items()}
    assert values["c_insertion"] <= 3 / 5
    assert values["c_deletion"] >= 1 / 5
    assert 0 <= values["connectivity"] < 1
    assert 0 <= values["negative_interference"] <= 1
    for name in QUALITY_METRICS:
        if "rank" in name:
            assert 1 <= values[name] <= codes.n_atoms
    assert metrics["c_insertion"].n == {"pairs": len(codes), "steps": 4}


def test_coherence_is_that_of_the_dictionary(metrics, ordinary):
    from safetensors.numpy import load_file

    dictionary = load_file(ordinary[1])["dictionary"]
    assert metrics["coherence"].value == pytest.approx(coherence(atom_cosines(dictionary)))
    assert np.isfinite(metrics["coherence"].value)


def test_numbers_agree_with_direct_computation(metrics, ordinary):
    from safetensors.numpy import load_file

    codes = open_codes(ordinary[2])
    dictionary = load_file(ordinary[1])["dictionary"].astype(np.float64)
    dense = np.concatenate([codes.image[:].toarray(), codes.text[:].toarray()]).astype(np.float64)
    weighted = np.square(dense).mean(axis=0)[:, None] * dictionary
    unit = dense / np.linalg.norm(dense, axis=1, keepdims=True)
    gram = unit.T @ unit / len(unit)
    negative = np.maximum(-gram * (dictionary @ dictionary.T), 0)
    expected = {
        "dictionary_stable_rank": np.square(dictionary).sum() / np.linalg.norm(dictionary, 2) ** 2,
        "dictionary_stable_rank_weighted": np.square(weighted).sum()
        / np.linalg.norm(weighted, 2) ** 2,
        "dictionary_effective_rank": np.exp(entropy(svdvals(dictionary))),
        "dictionary_effective_rank_weighted": np.exp(entropy(svdvals(weighted))),
        "codes_stable_rank": np.square(gram).sum() / np.linalg.norm(gram, 2) ** 2,
        "codes_effective_rank": np.exp(entropy(np.linalg.eigvalsh(gram).clip(0))),
        "connectivity": (gram == 0).mean(),
        "negative_interference": np.linalg.norm(negative, 2),
    }
    found = {name: metrics[name].value for name in expected}
    assert found == pytest.approx(expected, rel=1e-5)


def test_an_estimated_rank_tells_its_error_and_its_seed(metrics, ordinary, tmp_path, monkeypatch):
    estimated = functools.partial(quality.code_structure, largest_dense=0)
    monkeypatch.setattr(quality, "code_structure", estimated)
    measure_quality(*ordinary, tmp_path / "e", insertion=4, seed=5)
    found = read_metric(tmp_path / "e/codes_effective_rank.json")
    exact = metrics["codes_effective_rank"]
    assert (exact.sd, exact.seed, exact.note) == (None, None, "")
    assert found.seed == 5
    assert "standard error" in found.note
    assert abs(found.value - exact.value) < 5 * found.sd < 0.1 * exact.value
    for name in ("codes_stable_rank", "connectivity", "negative_interference"):
        again = read_metric(tmp_path / f"e/{name}.json")
        assert again.value == pytest.approx(metrics[name].value, rel=1e-5)
