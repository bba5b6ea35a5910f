"""The transcription of the paper's tables, against what must be true of them."""

from decimal import Decimal
from statistics import mean

import pytest

from isoenergy.measure.toy import PRINTED

# Config/README.md says why; by metric, and for what is noisier by data set or variant.
ALLOWANCES = {
    **dict.fromkeys(("difference_in_mean", "wasserstein", "recall"), "0.002"),
    **dict.fromkeys(("recall_at_1", "recall_at_5", "delta_r_at_1"), "0.003"),
    **dict.fromkeys(("recall_at_1_reconstruction", "recall_at_1_masked"), "0.003"),
    "p_acc": "0.005",
    "ood_score": "0.01",
}
OF_ONE_DRAW = {
    "difference_in_mean": "0.01",
    "wasserstein": "0.01",
    "recall_at_1": "0.03",
    "zero_shot_at_1": "0.03",
}
SAES = ("SAE", "SAE-A")
SIZES = {
    # Six encoders and two SAEs; four metrics of Table 3 are printed for two SAEs alone.
    "table_01": 6 * 2 * 6,
    "table_02": 6 * 2,
    "table_03": 20 * 6 - 4,
    "table_04": 20 * 6 - 4,
    "table_05": 2 * 2 * 2,
    # Three of six encoders.
    "table_06": 3 * 2 * (2 + 2 + 4),
    "table_07": 6 * 2,
    "table_08": 6 * 4,
    # Three metrics of five forms, and four mean changes each.
    **dict.fromkeys(("table_09", "table_10", "table_11"), 3 * (5 * 6 + 4)),
    "table_12": 6 * 4,
}


def _printed(paper_values, table):
    return {
        (row["metric"], row["variant"], row["model"], row["dataset"]): row["value"]
        for row in paper_values
        if row["table"] == table and row["source"] == "paper"
    }


def _allowance(row):
    if row["variant"] == "random":
        if (row["metric"], row["dataset"]) == ("difference_in_mean", "laion"):
            return "0.1"
        return OF_ONE_DRAW[row["metric"]]
    if (row["metric"], row["dataset"]) == ("difference_in_mean", "laion"):
        return "0.005" if row["variant"] in ("centered", "shifted") else "0.002"
    if row["dataset"] == "coco" and row["metric"].startswith("recall_at"):
        return "0.005"
    return ALLOWANCES.get(row["metric"], "0")


def test_every_table_has_all_its_numbers(paper_values):
    assert {table: len(_printed(paper_values, table)) for table in SIZES} == SIZES


@pytest.mark.parametrize("table", ["table_01", "table_03", "table_04"])
def test_error_and_explained_variance_sum_to_one(paper_values, table):
    printed = _printed(paper_values, table)
    sums = [value + printed["r2", *key[1:]] for key, value in printed.items() if key[0] == "mse"]
    assert len(sums) in (6, 12)
    assert sums == pytest.approx([1.0] * len(sums), abs=0.003)


@pytest.mark.parametrize("table", ["table_09", "table_10", "table_11"])
def test_mean_changes_are_those_of_the_cells(paper_values, table):
    printed = _printed(paper_values, table)
    changes = {key: value for key, value in printed.items() if key[2] == "mean change"}
    assert len(changes) == 12
    for (metric, variant, _, dataset), change in changes.items():
        cells = [
            value - printed[metric, "reconstruction", *key[2:]]
            for key, value in printed.items()
            if key[:2] == (metric, variant) and key not in changes
        ]
        assert len(cells) == 6
        assert mean(cells) == pytest.approx(change, abs=0.0011), (metric, variant, dataset)


def test_lost_recall_is_that_of_the_intervention(paper_values):
    """δ_r of Table 1 is what masking costs in Table 9, up to sampling."""
    lost, recall = _printed(paper_values, "table_01"), _printed(paper_values, "table_09")
    for (metric, variant, model, dataset), value in lost.items():
        if (metric, variant) == ("delta_r_at_1", "SAE-A"):
            place = (model, dataset)
            full = recall["recall_at_1", "reconstruction", *place]
            masked = recall["recall_at_1", "masked", *place]
            assert full - masked == pytest.approx(value, abs=0.0035), model


def test_table_3_repeats_table_1(paper_values):
    first, third = _printed(paper_values, "table_01"), _printed(paper_values, "table_03")
    shared = [key for key in first if key in third]
    assert len(shared) == 12
    for key in shared:
        # Rounded to two or three digits.
        assert third[key] == pytest.approx(first[key], abs=0.0051), key


def test_tables_2_and_7_differ_in_one_number(paper_values):
    second, seventh = _printed(paper_values, "table_02"), _printed(paper_values, "table_07")
    assert {key for key in second if second[key] != seventh[key]} == {
        ("ood_score", "Q_SAE", "CLIP", "fashioniq")
    }


def test_table_5_is_the_one_shown_beside_ours(paper_values):
    printed = _printed(paper_values, "table_05")
    expected = {
        (metric, sae, "toy", toy): value
        for (toy, sae), values in PRINTED.items()
        for metric, value in values.items()
    }
    assert printed == expected


def test_notebooks_agree_with_the_tables_or_are_flagged(paper_values):
    """An output of the notebooks is as near to what the paper prints as both tolerances say."""
    printed = {
        (row["table"], row["metric"], row["variant"], row["model"], row["dataset"]): row
        for row in paper_values
        if row["source"] == "paper"
    }
    compared, apart = 0, {}
    for row in paper_values:
        key = (row["table"], row["metric"], row["variant"], row["model"], row["dataset"])
        told = printed.get(key)
        if row["source"] == "paper" or told is None:
            continue
        if {row["flag"], told["flag"]} & {"conflict", "swapped", "unconverged"}:
            continue
        compared += 1
        far = abs(row["value"] - told["value"])
        # One cell is a rounding's breadth beyond: 0.4594 is printed as 0.460.
        if far > row["tolerance"] + told["tolerance"] + 1e-4:
            apart[key[:4]] = row["note"]
    assert compared > 100
    assert set(apart) == {
        *(("table_01", name, sae, "CLIP") for name in ("r2", "delta_r_at_1") for sae in SAES),
        *(("table_11", "zero_shot_at_1", f, "OpenCLIP") for f in ("reconstruction", "masked")),
    }
    assert None not in apart.values()


def test_tolerances_follow_the_rule(as_printed):
    for row in as_printed:
        unit = Decimal(1).scaleb(Decimal(row["value"]).as_tuple().exponent)
        half = unit if row["flag"] == "cut" else unit / 2
        expected = half + Decimal(_allowance(row))
        assert Decimal(row["tolerance"]) == expected, row


def test_a_flag_is_explained(as_printed):
    assert [row for row in as_printed if row["flag"] and not row["note"]] == []
