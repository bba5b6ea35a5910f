import pytest

from isoenergy.errors import InputError
from isoenergy.measure import quality, sae, stability
from isoenergy.measure.metric import Metric
from isoenergy.measure.record import write_metrics


def test_all_metrics_are_written_those_that_nobody_asked_for_too(tmp_path, read_metrics):
    metrics = [Metric(name, {"code": value}, {}) for name, value in (("a", 1.0), ("b", 2.0))]
    write_metrics(tmp_path, iter(metrics), ["a"], "SOME_METRICS")
    assert {name: metric.value for name, metric in read_metrics(tmp_path).items()} == {
        "a": 1.0,
        "b": 2.0,
    }


def test_a_metric_that_is_asked_for_and_not_measured_is_refused_before_any_is_written(tmp_path):
    metrics = [Metric("a", {"code": 1.0}, {}), Metric("b", {"code": 1.0}, {})]
    with pytest.raises(InputError) as caught:
        write_metrics(tmp_path / "metrics", metrics, ["a", "c", "b", "d"], "here.SOME_METRICS")
    assert str(caught.value) == (
        "here.SOME_METRICS names c, d, but measured are a, b alone; add what measures it, or take "
        "the name away"
    )
    assert not (tmp_path / "metrics").exists()


def test_a_name_in_the_list_of_an_sae_that_nothing_measures_is_told(measure, ideal, monkeypatch):
    monkeypatch.setattr(sae, "SAE_METRICS", (*sae.SAE_METRICS, "sparsity"))
    told = r"^isoenergy\.measure\.sae\.SAE_METRICS names sparsity, but measured are mse, r2, l0, "
    with pytest.raises(InputError, match=told):
        measure(*ideal)


def test_the_same_of_its_neighbours(ideal, tmp_path, monkeypatch):
    monkeypatch.setattr(quality, "QUALITY_METRICS", (*quality.QUALITY_METRICS, "sparsity"))
    with pytest.raises(InputError, match=r"quality\.QUALITY_METRICS names sparsity, "):
        quality.measure_quality(*ideal, tmp_path / "quality", 4, 0)
    monkeypatch.setattr(stability, "STABILITY_METRICS", ("stability", "sparsity"))
    with pytest.raises(InputError, match=r"stability\.STABILITY_METRICS names sparsity, "):
        stability.measure_stability([], [], tmp_path / "stability", 0)
