import math

import pandas as pd
import pytest
import yaml

from isoenergy.config import load_run
from isoenergy.errors import InputError
from isoenergy.render.tidy import COLUMNS
from isoenergy.report.compare import (
    AGREES,
    APART,
    DIFFERS,
    MEAN_CHANGE,
    SETTINGS,
    compare,
    mean_changes,
    read_tables,
    unlike,
    without_counterpart,
)
from isoenergy.schema import load_schema

PAPER = {
    "table": "table_01",
    "metric": "rho",
    "variant": "SAE",
    "model": "CLIP",
    "dataset": "laion",
    "source": "paper",
    "value": 0.327,
    "sd": None,
    "seeds": None,
    "n": None,
    "protocol": "code",
    "tolerance": 0.0005,
    "flag": None,
    "note": None,
}
OURS = {
    **{key: PAPER[key] for key in ("table", "metric", "variant", "model", "dataset", "protocol")},
    "value": 0.35,
    "sd": 0.01,
    "seeds": 3,
    "n": "7 pairs",
    "note": "",
}


def _tidy(*changes):
    return pd.DataFrame([{**OURS, **change} for change in changes], columns=[*COLUMNS, "table"])


def _one(ours=None, paper=None, settings=None):
    tidy = _tidy() if ours is None else _tidy(ours)
    (row,) = compare(tidy, [{**PAPER, **(paper or {})}], settings or {}).to_dict("records")
    return row


@pytest.mark.parametrize(
    ("ours", "sd", "verdict"),
    [
        # Tolerance 0.0005 + 2 x 0.01.
        (0.347, 0.01, AGREES),
        (0.3066, 0.01, AGREES),
        (0.348, 0.01, DIFFERS),
        (0.3064, 0.01, DIFFERS),
        # One seed: half a unit of the last digit alone, reached exactly.
        (0.3275, math.nan, AGREES),
        (0.3276, math.nan, DIFFERS),
        (math.inf, 0.01, DIFFERS),
    ],
)
def test_ours_agrees_within_tolerance_and_twice_its_spread(ours, sd, verdict):
    row = _one({"value": ours, "sd": sd})
    assert row["verdict"] == verdict
    assert row["difference"] == pytest.approx(ours - 0.327)
    assert row["tolerance"] == pytest.approx(0.0005 + (0 if math.isnan(sd) else 2 * sd))
    assert (row["paper"], row["seeds"], row["n"]) == (0.327, 3, "7 pairs")


def test_a_printed_spread_widens_the_tolerance():
    assert _one({"value": 0.4})["verdict"] == DIFFERS
    assert _one({"value": 0.4}, {"sd": 0.03})["verdict"] == AGREES
    assert _one({"value": 0.4}, {"sd": 0.03})["tolerance"] == pytest.approx(0.0805)


@pytest.mark.parametrize(
    ("ours", "why"),
    [
        ({"model": "M", "dataset": "D"}, "model CLIP is not in this run"),
        ({"dataset": "D"}, "data set laion is not in this run"),
        ({"table": "table_03"}, "this run has no table_01"),
        ({"metric": "fda"}, "not measured in this run"),
        ({"variant": "SAE-A"}, "not measured in this run"),
        ({"protocol": "paper"}, "not under protocol code"),
    ],
)
def test_what_this_run_lacks_is_named(ours, why):
    row = _one(ours)
    assert (row["verdict"], row["why"]) == (APART, why)
    assert math.isnan(row["ours"])


def test_a_mean_change_needs_all_six_models():
    paper = {"table": "table_09", "model": MEAN_CHANGE, "variant": "masked"}
    assert _one({"table": "table_09"}, paper)["why"] == "not all six models are in this run"
    assert _one({}, paper)["why"] == "this run has no table_09"


def test_an_empty_run_lacks_every_model():
    assert _one()["why"] == "model CLIP is not in this run"
    assert without_counterpart(_tidy(), [PAPER]) == 0


@pytest.mark.parametrize("flag", ["swapped", "conflict", "unconverged", "protocol"])
def test_a_flagged_number_is_shown_but_not_judged(flag):
    row = _one({"value": 0.327}, {"flag": flag, "note": "N"})
    assert row["verdict"] == APART
    assert row["why"]
    assert (row["ours"], row["note"]) == (0.327, "N")


def test_what_our_table_notes_follows_what_is_noted_of_theirs():
    ours = {"value": 0.327, "note": "no atom counts in 46.2 % of images"}
    assert _one(ours)["note"] == "ours: no atom counts in 46.2 % of images"
    assert _one(ours, {"note": "N"})["note"] == "N; ours: no atom counts in 46.2 % of images"


def test_a_number_that_is_cut_off_is_judged():
    assert _one({"value": 0.327}, {"flag": "cut"})["verdict"] == AGREES


def test_a_table_under_other_settings_is_not_judged():
    row = _one({"value": 0.327}, settings={"table_01": "sae.l0 is 10, not 20"})
    assert (row["verdict"], row["why"]) == (APART, "other setting: sae.l0 is 10, not 20")


def test_protocols_are_joined_by_name_or_else_the_shown_one():
    tidy = _tidy({"protocol": "code", "value": 1.0}, {"protocol": "paper", "value": 2.0})
    for protocol, value in (("code", 1.0), ("paper", 2.0), (None, 1.0)):
        (row,) = compare(tidy, [{**PAPER, "protocol": protocol}], {}).to_dict("records")
        assert row["ours"] == value


def test_the_mean_change_is_that_of_every_model():
    cells = {"A": (0.7, 0.1), "B": (0.5, 0.3)}
    rows = [
        {"table": "table_09", "metric": "m", "model": model, "variant": variant, "value": value}
        for model, values in cells.items()
        for variant, value in zip(("reconstruction", "masked"), values, strict=True)
    ]
    (row,) = mean_changes(_tidy(*rows), ["A", "B"]).to_dict("records")
    # -0.6 and -0.2.
    assert row["value"] == pytest.approx(-0.4)
    assert row["sd"] == pytest.approx(0.02)
    assert (row["model"], row["variant"], row["table"]) == (MEAN_CHANGE, "masked", "table_09")
    assert len(mean_changes(_tidy(*rows), ["A", "B", "C"])) == 0


def test_all_numbers_of_the_paper_agree_with_themselves(paper_values):
    """The join finds every number, the mean changes among them, under the keys of the tables."""
    cells = [row for row in paper_values if row["model"] != MEAN_CHANGE]
    values = {}
    for row in cells:
        key = tuple(row[name] for name in ("table", "metric", "variant", "model", "dataset"))
        values.setdefault(key, row)
    ours = [
        {
            **{name: row[name] for name in (*COLUMNS[:5], "table")},
            "sd": math.nan,
            "protocol": "code",
        }
        for row in values.values()
    ]
    found = compare(_tidy(*ours), paper_values, {})
    assert found["ours"].notna().all()
    printed = found[found.source == "paper"]
    flagged = [row["flag"] not in (None, "cut") for row in paper_values if row["source"] == "paper"]
    assert (printed.verdict == APART).tolist() == flagged
    # Rounding of twelve cells may pass the last digit of their mean by little.
    differing = printed[printed.verdict == DIFFERS]
    assert set(differing.model) <= {MEAN_CHANGE}
    assert differing.difference.abs().max() < 0.003 or differing.empty


def test_settings_that_make_another_quantity_are_told(root):
    paper = yaml.safe_load((root / "config/config.yaml").read_text())
    demo = yaml.safe_load((root / "config/demo.yaml").read_text())
    assert unlike(paper, paper) == {}
    found = unlike(demo, paper)
    assert found["table_01"] == "sae.l0 is 10, not 20"
    assert found["table_05"] == "toy.dim is 256, not 512"
    assert "table_06" not in found
    assert unlike({**paper, "toy": None}, paper) == {"table_05": "toy.dim is None, not 512"}


def test_settings_name_keys_of_a_config(root):
    config = load_schema(root / "workflow/schemas/config.schema.yaml")["properties"]
    for keys in SETTINGS.values():
        for key in keys:
            part = {"properties": config}
            for name in key.split("."):
                part = part["properties"][name]


def test_numbers_that_the_paper_does_not_print_are_counted():
    tidy = _tidy({}, {"protocol": "paper"}, {"metric": "l2"}, {"table": "table_factors"})
    assert without_counterpart(tidy, [PAPER]) == 1


def test_tables_are_read_with_the_name_of_their_file(tmp_path):
    path = tmp_path / "table_01.csv"
    path.write_text(",".join(COLUMNS) + "\nrho,SAE,NA,D,inf,,1,7 pairs,code\n")
    (row,) = read_tables([path]).to_dict("records")
    assert (row["table"], row["model"], row["value"]) == ("table_01", "NA", math.inf)
    assert math.isnan(row["sd"])
    # Over the models of this run, which need not be the paper's.
    path.write_text(path.read_text() + "rho,SAE,mean change,D,1,,1,2 models,code\n")
    assert list(read_tables([path]).model) == ["NA"]
    path.write_text("metric,value\nrho,1\n")
    with pytest.raises(InputError, match=r"table_01\.csv has other columns than metric, variant"):
        read_tables([path])
    with pytest.raises(InputError, match=r"table_02\.csv does not exist; run its target"):
        read_tables([tmp_path / "table_02.csv"])


def test_every_number_of_the_paper_is_of_models_data_sets_and_saes_of_its_config(
    root, paper_values
):
    run = load_run(yaml.safe_load((root / "config/config.yaml").read_text()), "config", root)
    models = {*run.config["models"], "toy", MEAN_CHANGE}
    datasets = {*run.measured(), run.config["datasets"]["edits"], *run.toys()}
    assert {row["model"] for row in paper_values} == models
    assert {row["dataset"] for row in paper_values} == datasets
    for table, saes in run.comparisons().items():
        assert {row["variant"] for row in paper_values if row["table"] == table} == set(saes)


def test_metrics_protocols_and_variants_are_those_measured_here(paper_values):
    from isoenergy.measure.baselines import BASELINE_METRICS, BASELINES
    from isoenergy.measure.composed import COMPOSED_METRICS, QUERIES
    from isoenergy.measure.intervened import CLASS_METRICS, FORMS, PAIR_METRICS
    from isoenergy.render.tables import TABLES

    known = {
        **{f"table_{i:02d}": (QUERIES, COMPOSED_METRICS) for i in (2, 7, 8)},
        **{f"table_{i:02d}": (FORMS, (*PAIR_METRICS, *CLASS_METRICS)) for i in (9, 10, 11)},
        "table_12": ((*BASELINES, "masked"), (*BASELINE_METRICS, *PAIR_METRICS)),
    }
    for row in paper_values:
        if row["table"] in known:
            variants, metrics = known[row["table"]]
            assert row["variant"] in variants, row
            assert row["metric"] in metrics, row
        else:
            assert row["metric"] in TABLES[row["table"]].metrics(), row
