import pandas as pd
import pytest

from isoenergy.report.beside import (
    claims_beside,
    numbers_beside,
    read_comparison,
    read_digits,
    table_of,
)
from isoenergy.report.claims import Finding, printed_numbers
from isoenergy.report.compare import COMPARED, compare


@pytest.fixture(scope="module")
def compared(paper_values):
    """A run that has none of the paper's models."""
    empty = pd.DataFrame(columns=["metric", "variant", "model", "dataset", "table"])
    found = compare(empty, paper_values, {})
    assert list(found.columns) == list(COMPARED)
    return found


def test_claims_belong_to_the_table_that_the_paper_names(claims):
    assert table_of(claims["rho_tenfold"]) == "table_01"
    assert table_of(claims["masking_closes_gap"]) == "table_09"
    assert table_of(claims["toy_2_nearer_codes"]) == "table_05"
    assert table_of(claims["masking_keeps_zero_shot"]) == "table_11"


def _found(*rows):
    full = dict.fromkeys(Finding.__annotations__, 0.0)
    return pd.DataFrame([full | row for row in rows])


def test_a_column_names_the_data_set_where_a_table_has_several(claims):
    rows = [
        {"claim": "toy_1_equal_codes", "model": "toy", "dataset": "toy-1", "verdict": "holds"},
        {"claim": "toy_2_nearer_codes", "model": "toy", "dataset": "toy-2", "verdict": "holds"},
    ]
    beside = claims_beside("table_05", list(claims.values()), _found(*rows), {})
    assert beside["columns"] == ["toy, toy-1", "toy, toy-2"]
    cells = {row["rule"][:30]: row["cells"] for row in beside["rows"]}
    assert len(cells) == 4
    measured = [[cell is not None for cell in row["cells"]] for row in beside["rows"]]
    assert measured == [[False, False], [True, False], [False, False], [False, True]]
    assert {row["printed"] for row in beside["rows"]} == {"no number"}


def test_the_papers_own_numbers_are_judged_too(claims, paper_values):
    row = {"claim": "rho_tenfold", "model": "M", "dataset": "D", "verdict": "holds"}
    printed = printed_numbers(paper_values)
    beside = claims_beside("table_01", list(claims.values()), _found(row), printed)
    told = {row["sentence"]: row["printed"] for row in beside["rows"]}
    assert told["Alignment raises ρ by more than an order of magnitude."] == "holds for 1 of 6"


def test_a_table_without_a_measured_claim_has_none(claims):
    row = {"claim": "rho_tenfold", "model": "", "dataset": "", "verdict": "not measured"}
    assert claims_beside("table_01", list(claims.values()), _found(row), {}) is None


def test_numbers_have_a_column_per_model_or_else_per_variant(compared):
    first = numbers_beside("table_01", compared, {})
    six = ["CLIP", "CLIP-L", "OpenCLIP", "OpenCLIP-L", "SigLIP", "SigLIP2"]
    assert first["columns"] == six
    assert first["names"] == ["metric", "variant"]
    assert len(first["rows"]) == 12
    rho = next(row for row in first["rows"] if row["names"] == ["ρ", "SAE-A"])
    assert [cell["paper"] for cell in rho["cells"]] == [
        *("4.232", "4.086", "16.02", "16.58", "2.182", "1.475")
    ]
    third = numbers_beside("table_03", compared, {})
    assert third["columns"] == ["ReLU", "JumpReLU", "TopK", "BatchTopK", "SAE", "SAE-A"]
    assert third["names"] == ["metric"]
    fifth = numbers_beside("table_05", compared, {})
    assert (fifth["columns"], fifth["names"]) == (["SAE", "SAE-A"], ["dataset", "metric"])


def test_the_papers_numbers_keep_their_digits(root, compared):
    digits = read_digits(root / "config/paper_values.tsv")
    rows = numbers_beside("table_01", compared, digits)["rows"]
    shown = {tuple(row["names"]): [cell["paper"] for cell in row["cells"]] for row in rows}
    assert shown["p_acc", "SAE-A"] == ["0.915", "0.868", "0.880", "0.873", "0.899", "0.903"]
    assert shown["δ_r", "SAE-A"] == ["0.125", "0.021", "0.018", "−0.000", "0.006", "−0.006"]


def test_numbers_of_the_notebooks_are_not_printed(compared):
    assert numbers_beside("table_summary", compared, {}) is None
    assert numbers_beside("figure_02", compared, {}) is None
    assert sum(numbers_beside("table_01", compared, {})["counts"].values()) == 72


def test_nothing_is_judged_in_a_run_of_other_models(compared):
    numbers = numbers_beside("table_01", compared, {})
    assert (numbers["judged"], numbers["found"]) == (False, False)
    assert numbers["counts"] == {"not comparable": 72}
    assert numbers["reasons"]["model CLIP is not in this run"] == 12


def test_a_comparison_keeps_infinities_and_a_model_called_na(results):
    found = read_comparison(results / "compare.csv", COMPARED)
    assert found.model.tolist() == ["CLIP", "NA", "CLIP", "NA", "CLIP"]
    assert found.ours.isna().tolist() == [False, True, False, False, True]
    assert found.ours[2] == float("inf")
    assert found.why[0] == ""
