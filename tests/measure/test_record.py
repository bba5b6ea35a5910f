import pandas as pd
import pytest

from isoenergy.errors import InputError
from isoenergy.files import read_parquet
from isoenergy.measure import quality, sae, stability
from isoenergy.measure.metric import Metric, read_metric
from isoenergy.measure.record import settings_of, write_metrics, write_table

EVERY_ROW = 10**6


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


def test_two_metrics_of_one_name_are_refused_before_any_is_written(tmp_path):
    metrics = [Metric(name, {"code": 1.0}, {}) for name in ("r2", "mse", "r2")]
    with pytest.raises(InputError, match="several metrics are called r2; give each a name"):
        write_metrics(tmp_path, metrics, ["r2", "mse"], "HERE")
    assert not list(tmp_path.iterdir())


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


def test_metrics_and_tables_keep_their_settings_and_same_settings_give_the_same_bytes(tmp_path):
    settings = {"tau": 0.1, "means": "own", "gap": 7}
    frame = pd.DataFrame({"atom": [0, 1], "energy": [0.5, 0.25]})
    for name in ("first", "second"):
        write_metrics(tmp_path / name, [Metric("a", {"code": 1.0}, {})], ["a"], "A", settings)
        write_table(tmp_path / name / "a.parquet", frame, settings)
    assert frame.attrs == {}
    assert read_metric(tmp_path / "first/a.json").settings == settings
    table = read_parquet(tmp_path / "first/a.parquet", columns=["energy"])
    assert settings_of(table) == settings
    assert table["energy"].tolist() == [0.5, 0.25]
    for name in ("a.json", "a.parquet"):
        first, second = (tmp_path / folder / name for folder in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_a_table_says_with_which_settings_it_was_written_last(tmp_path):
    write_table(tmp_path / "a.parquet", pd.DataFrame({"atom": [0]}), {"tau": 0.1})
    table = read_parquet(tmp_path / "a.parquet")
    write_table(tmp_path / "b.parquet", table, {"gap": 3})
    assert settings_of(read_parquet(tmp_path / "b.parquet")) == {"gap": 3}


def test_everything_measured_on_an_sae_says_with_which_tau(measure, ideal, tmp_path):
    metrics, atoms = measure(*ideal, tau=0.2)
    settings = {"tau": 0.2, "probe": EVERY_ROW, "gap": EVERY_ROW, "recall": EVERY_ROW}
    assert {name: metric.settings for name, metric in metrics.items()} == dict.fromkeys(
        sae.SAE_METRICS, settings
    )
    assert settings_of(atoms) == settings
    written = [tmp_path / "metrics" / f"{name}.parquet" for name in sae.SAE_TABLES]
    assert [settings_of(read_parquet(path)) for path in written] == [settings] * len(written)
