import json
import math

import pytest

from isoenergy.errors import InputError
from isoenergy.measure.metric import (
    Metric,
    join_notes,
    read_metric,
    why_not_finite,
    write_metric,
)

FULL = Metric(
    "rho",
    {"code": 1.5, "paper": math.inf},
    {"pairs": 7, "atoms": 3},
    "code",
    4,
    0.25,
    "a note",
    {"tau": 0.05, "means": "own"},
    {"image": 0.25, "text": 0.0},
)


def test_metric_comes_back_as_it_was(tmp_path):
    write_metric(tmp_path, FULL)
    assert read_metric(tmp_path / "rho.json") == FULL


@pytest.mark.parametrize("value", [math.inf, -math.inf, 0.0, 1e-300, -2.5, 1 / 3])
def test_value_comes_back_exactly(tmp_path, value):
    write_metric(tmp_path, Metric("x", {"code": value}, {}, note="why"))
    assert read_metric(tmp_path / "x.json").value == value


def test_nan_comes_back_as_nan(tmp_path):
    write_metric(tmp_path, Metric("x", {"code": math.nan, "paper": 1.0}, {}, note="why"))
    found = read_metric(tmp_path / "x.json")
    assert math.isnan(found.value)
    assert found.protocols["paper"] == 1.0


@pytest.mark.parametrize("sd", [math.nan, math.inf])
def test_a_spread_that_is_no_number_is_none(tmp_path, sd):
    write_metric(tmp_path, Metric("x", {"code": math.nan}, {}, sd=sd, note="why"))
    assert read_metric(tmp_path / "x.json").sd is None


def test_file_is_strict_json_with_infinity_as_text_and_nan_as_null(tmp_path):
    values = {"code": math.inf, "paper": math.nan}
    write_metric(tmp_path, Metric("x", values, {"pairs": 2}, note="why"))

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    told = json.loads((tmp_path / "x.json").read_text(), parse_constant=refuse)
    assert told["protocols"] == {"code": "inf", "paper": None}
    assert told["value"] == "inf"
    assert told["n"] == {"pairs": 2}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("note", ["", " "])
def test_a_value_that_is_not_finite_has_to_say_why(tmp_path, value, note):
    metric = Metric("x", {"code": 1.0, "paper": value}, {}, note=note)
    with pytest.raises(InputError, match=f"the metric x is {value} under paper and its note is em"):
        write_metric(tmp_path, metric)
    assert not list(tmp_path.iterdir())


def test_why_values_are_not_finite_is_told_by_protocol():
    def why(**values):
        return why_not_finite(values, "nothing there", "nothing below")

    assert why(code=1.0, paper=-2.0) == ""
    assert why(code=math.nan, paper=math.nan) == "nothing there"
    assert why(code=1.0, paper=math.inf) == "paper: nothing below"
    assert why(a=math.inf, b=math.nan, c=-math.inf) == "a, c: nothing below; b: nothing there"
    assert join_notes("one", "", "two", "one") == "one; two"


def test_value_is_that_of_the_default_protocol():
    assert Metric("x", {"code": 1.0, "paper": 2.0}, {}, protocol="paper").value == 2.0


@pytest.mark.parametrize("text", ["[]", "{}", '{"metric": "x", "protocols": 3}', '"x"', "3"])
def test_other_json_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match="is not a metric file"):
        read_metric(tmp_path / "x.json")


def test_missing_or_broken_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_metric(tmp_path / "x.json")
    (tmp_path / "x.json").write_text('{"metric": ')
    with pytest.raises(InputError, match="not valid JSON"):
        read_metric(tmp_path / "x.json")
