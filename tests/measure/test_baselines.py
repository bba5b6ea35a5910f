import numpy as np
import pandas as pd
import pytest

from isoenergy.measure.baselines import AXES_SHARE, BASELINES, measure_baselines
from isoenergy.measure.intervened import GAP_METRICS, InterventionSettings

SETTINGS = InterventionSettings(
    tau=0.05, means="train", gap=1000, wasserstein=60, ood=60, recall=1000
)


def test_baselines_of_table_12(ordinary, tmp_path, read_metrics):
    store, _, _ = ordinary
    measure_baselines(store, tmp_path / "out", tmp_path / "curve.parquet", SETTINGS, seed=0)
    found = {name: read_metrics(tmp_path / "out" / name) for name in BASELINES}
    for name, metrics in found.items():
        assert set(metrics) == {*GAP_METRICS, *(["axes_dropped"] if name == "axes" else [])}
    gap = {name: metrics["difference_in_mean"].value for name, metrics in found.items()}
    assert [gap[name] for name in "ABC"] == pytest.approx([0, 0, 0], abs=1e-6)
    assert 0 < gap["axes"] <= AXES_SHARE * gap["unchanged"]
    assert found["unchanged"]["separability"].value > found["A"]["separability"].value

    curve = pd.read_parquet(tmp_path / "curve.parquet")
    assert curve["axes"].tolist() == list(range(17))  # 16 dimensions
    assert (np.diff(curve.difference_in_mean) <= 1e-9).all()
    assert curve.difference_in_mean[0] == pytest.approx(gap["unchanged"], rel=1e-6)
    dropped = int(found["axes"]["axes_dropped"].value)
    assert curve.difference_in_mean[dropped] == pytest.approx(gap["axes"], rel=1e-6)
    assert curve.difference_in_mean[dropped - 1] > AXES_SHARE * gap["unchanged"]
