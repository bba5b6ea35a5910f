import pandas as pd
import pytest

from isoenergy.measure.metric import Metric, write_metric
from isoenergy.measure.toy import PRINTED
from isoenergy.toy.search import rank_toy


def row(setting, design, toy, alignment="none", beta=0.0):
    return {"setting": setting, "design": design, "toy": toy, "alignment": alignment, "beta": beta}


SETTINGS = [
    row("a1", "a", "toy-1"),
    row("a1m", "a", "toy-1", "masked_cosine", 5e-5),
    row("a2", "a", "toy-2"),
    row("a2m", "a", "toy-2", "masked_cosine", 5e-5),
    row("a2l", "a", "toy-2", "cosine", 5e-5),
    row("b2", "b", "toy-2"),
    row("b2m", "b", "toy-2", "masked_cosine", 5e-5),
]


def measured(folder, sae, toy, r2=0.995, shift=0.0, seeds=(0.0,)):
    """Metric files of one setting: the printed numbers, off by ``shift``, and a far reading."""
    folders = []
    for seed, off in enumerate(seeds):
        place = folder / f"seed{seed}"
        write_metric(place, Metric("r2", {"code": r2}, {}))
        write_metric(place, Metric("atoms_live", {"code": 9.0}, {}))
        for metric, value in PRINTED[toy, sae].items():
            near = value + shift + off
            write_metric(
                place, Metric(metric, {"merged": near, "split": near + 0.4}, {}, protocol="merged")
            )
        folders.append(str(place))
    return folders


@pytest.fixture
def ranked(tmp_path):
    folders = {
        "a1": measured(tmp_path / "a1", "SAE", "toy-1", seeds=(-0.01, 0.01)),
        "a1m": measured(tmp_path / "a1m", "SAE-A", "toy-1"),
        "a2": measured(tmp_path / "a2", "SAE", "toy-2"),
        "a2m": measured(tmp_path / "a2m", "SAE-A", "toy-2", shift=0.06),
        # As printed for SAE: alignment without any effect.
        "a2l": measured(tmp_path / "a2l", "SAE", "toy-2"),
        "b2": measured(tmp_path / "b2", "SAE", "toy-2"),
        "b2m": measured(tmp_path / "b2m", "SAE-A", "toy-2", r2=0.98),
    }
    rank_toy(SETTINGS, folders, tmp_path / "numbers.csv", tmp_path / "ranking.csv")
    return pd.read_csv(tmp_path / "numbers.csv"), pd.read_csv(tmp_path / "ranking.csv")


def test_numbers_hold_mean_and_spread_under_every_reading(ranked):
    numbers = ranked[0].set_index(["setting", "metric", "reading"])
    found = numbers.loc["a1", "distance_to_truth", "merged"]
    assert found["value"] == pytest.approx(0.197)
    assert found["sd"] == pytest.approx(0.02 / 2**0.5, rel=1e-5)
    assert len(numbers.loc["a1m"]) == 1 + 2 + 2 + 1


def test_of_pairs_that_meet_claim_and_condition_the_nearest_comes_first(ranked):
    table = ranked[1]
    second = table[table["toy"] == "toy-2"]
    first = second.iloc[0]
    assert (first["sae"], first["sae_a"]) == ("a2", "a2m")
    assert (first["distance_reading"], first["matching_reading"]) == ("merged", "merged")
    # Two of four numbers are off by 0.06.
    assert first["distance"] == pytest.approx((2 * 0.06**2 / 4) ** 0.5)
    assert first["claim"]
    # The pair that meets the numbers with too low an R2 stands behind every allowed one.
    claimed = second[second["claim"]]
    exact = claimed[claimed["design"] == "b"]
    assert exact["distance"].min() == pytest.approx(0, abs=1e-9)
    assert not exact["allowed"].any()
    assert exact.index.min() > claimed[claimed["allowed"]].index.max()
    assert second[~second["claim"]].index.min() > claimed.index.max()


def test_alignment_without_effect_fails_the_claim_of_experiment_2_and_meets_that_of_1(ranked):
    table = ranked[1]
    assert not table[table["sae_a"] == "a2l"]["claim"].any()
    same = table[(table["toy"] == "toy-1") & (table["matching_reading"] == "merged")]
    assert same.iloc[0]["claim"]


def test_a_design_is_ranked_by_all_eight_numbers(ranked):
    both = ranked[1].iloc[0]
    assert (both["toy"], both["design"]) == ("both", "a")
    assert both["distance"] == pytest.approx((2 * 0.06**2 / 8) ** 0.5)
    assert (ranked[1]["toy"] == "both").sum() == 1
