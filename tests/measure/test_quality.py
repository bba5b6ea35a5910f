import numpy as np
import pytest

from isoenergy.encode.codes import open_codes
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
