import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from isoenergy.config import REGISTRIES
from isoenergy.errors import InputError
from isoenergy.schema import check, choose, describe, load_schema, read_registry

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "size", "rate", "part"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$", "description": "Its name."},
        "size": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How big."},
        "rate": {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "How fast."},
        "flag": {"type": "boolean", "description": "Whether."},
        "beta": {"anyOf": [{"type": "number"}, {"const": "model"}], "description": "Weight."},
        "kinds": {"type": "array", "minItems": 1, "uniqueItems": True, "description": "Kinds."},
        "part": {
            "type": "object",
            "additionalProperties": False,
            "required": ["colour"],
            "description": "A part.",
            "properties": {"colour": {"enum": ["red", "green", None], "description": "Which."}},
        },
    },
}
GOOD = {"name": "ab", "size": 3, "rate": 0.5, "part": {"colour": "red"}}


def refused(content, schema=SCHEMA):
    with pytest.raises(InputError) as told:
        check(content, schema, "x.yaml")
    sentence = str(told.value)
    assert sentence.startswith("x.yaml: ")
    assert "\n" not in sentence
    return sentence.removeprefix("x.yaml: ")


def test_good_content_passes():
    assert check(GOOD, SCHEMA, "x.yaml") is None
    assert check({**GOOD, "rate": None, "beta": "model", "flag": True}, SCHEMA, "x.yaml") is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"sise": 3},
            "unknown key sise; allowed are name, size, rate, flag, beta, kinds, part "
            "(did you mean size?)",
        ),
        (
            {"part": {"color": "red"}},
            "unknown key part.color; allowed are colour (did you mean colour?)",
        ),
        ({1: 2}, "unknown key 1; allowed are name, size, rate, flag, beta, kinds, part"),
        ({"part": {}}, "key part.colour is missing; it says: Which."),
        (
            {"part": {"colour": "gren"}},
            "key part.colour is 'gren'; allowed are red, green, None (did you mean green?)",
        ),
        ({"size": "3"}, "key size is '3', integer >= 1 <= 9 is allowed (How big)"),
        ({"size": 0}, "key size is 0, integer >= 1 <= 9 is allowed (How big)"),
        ({"size": 10}, "key size is 10, integer >= 1 <= 9 is allowed (How big)"),
        ({"size": True}, "key size is True, integer >= 1 <= 9 is allowed (How big)"),
        ({"size": 3.0}, "key size is 3.0, integer >= 1 <= 9 is allowed (How big)"),
        ({"rate": 0}, "key rate is 0, number or null > 0 is allowed (How fast)"),
        ({"rate": math.nan}, "key rate is nan, number or null > 0 is allowed (How fast)"),
        ({"rate": math.inf}, "key rate is inf, number or null > 0 is allowed (How fast)"),
        ({"flag": "yes"}, "key flag is 'yes', boolean is allowed (Whether)"),
        ({"beta": "modell"}, "key beta is 'modell', number or 'model' is allowed (Weight)"),
        (
            {"kinds": []},
            "key kinds is [], list that is not empty without repeats is allowed (Kinds)",
        ),
        (
            {"kinds": [1, 1]},
            "key kinds is [1, 1], list that is not empty without repeats is allowed (Kinds)",
        ),
        (
            {"name": "A/b"},
            "key name is 'A/b', string of letters, digits, '.', '_' and '-' is allowed (Its name)",
        ),
        ({"part": None}, "key part is None, object is allowed (A part)"),
    ],
)
def test_each_fault_is_one_sentence_with_key_and_what_is_allowed(change, sentence):
    assert refused({**GOOD, **change}) == sentence


def test_a_missing_key_is_named_with_what_it_says():
    assert refused({"name": "ab", "rate": 1, "part": {"colour": "red"}}) == (
        "key size is missing; it says: How big."
    )


def test_a_misspelt_key_is_told_rather_than_the_missing_one():
    content = {**GOOD, "sizes": 3}
    del content["size"]
    assert "did you mean size?" in refused(content)


def test_a_file_that_is_empty_is_told():
    assert refused(None) == "the top level is None, object is allowed"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("lion", "allowed are laion, coco (did you mean laion?)"),
        ("xyz", "allowed are laion, coco"),
    ],
)
def test_a_near_name_is_proposed_and_a_far_one_is_not(name, sentence):
    assert choose(name, ["laion", "coco"]) == sentence


def test_nothing_allowed_is_told():
    assert choose("x", []) == "allowed are none"


def test_of_names_that_are_equally_near_the_first_is_meant():
    assert choose("figure_2", ["figure_02", "figure_12"]).endswith("(did you mean figure_02?)")
    assert choose("figure_2", ["figure_12", "figure_02"]).endswith("(did you mean figure_12?)")


ROW = {
    "type": "object",
    "additionalProperties": False,
    "required": ["model", "dim", "rate", "flag", "beta", "wording"],
    "properties": {
        "model": {"type": "string", "pattern": "^[A-Za-z]+$", "description": "Name."},
        "dim": {"type": ["integer", "null"], "minimum": 1, "description": "Width."},
        "rate": {"type": "number", "description": "Rate."},
        "flag": {"type": "boolean", "description": "Flag."},
        "beta": {"anyOf": [{"type": "number"}, {"const": "model"}], "description": "Beta."},
        "wording": {"enum": ["plain", None], "description": "Wording."},
    },
}
HEADER = "model\tdim\trate\tflag\tbeta\twording"


def table(tmp_path, *lines):
    path = tmp_path / "models.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_cells_become_what_their_columns_ask_for(tmp_path):
    path = table(tmp_path, HEADER, "A\t512\t4e-4\ttrue\t2\tplain", "B\t\t1\tfalse\tmodel\t")
    assert read_registry(path, ROW) == {
        "A": {"model": "A", "dim": 512, "rate": 4e-4, "flag": True, "beta": 2, "wording": "plain"},
        "B": {
            "model": "B",
            "dim": None,
            "rate": 1.0,
            "flag": False,
            "beta": "model",
            "wording": None,
        },
    }


def test_rows_keep_their_order_and_quotes_their_meaning(tmp_path):
    schema = {**ROW, "required": ["model"], "properties": {"model": {"type": "string"}}}
    path = table(tmp_path, "model", "zeta", '"a', "Beta'")
    assert list(read_registry(path, schema)) == ["zeta", '"a', "Beta'"]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ((HEADER, "A\t1\t1\ttrue\t1"), "line 2: has more or fewer cells than the header's 6; "),
        ((HEADER, "A\t1\t1\ttrue\t1\tplain\t"), "line 2: has more or fewer cells than the header"),
        (
            (HEADER, *2 * ["A\t1\t1\ttrue\t1\tplain"]),
            "line 3: model A occurs twice",
        ),
        (
            (HEADER, "", "A\t1\t1\ttrue\t1\tplain", "B\t0\t1\ttrue\t1\tplain"),
            "line 4: key dim is 0, integer or null >= 1 is allowed (Width)",
        ),
        (
            (HEADER.replace("dim", "dims"), "A\t1\t1\ttrue\t1\tplain"),
            "line 2: unknown key dims; allowed are model, dim, rate, flag, beta, wording "
            "(did you mean dim?)",
        ),
        (
            (HEADER.removesuffix("\twording"), "A\t1\t1\ttrue\t1"),
            "line 2: key wording is missing; it says: Wording.",
        ),
        (
            (HEADER, "A\tx\t1\ttrue\t1\tplain"),
            "line 2: key dim is 'x', integer or null >= 1 is allowed (Width)",
        ),
        (
            (HEADER, "A\t1.5\t1\ttrue\t1\tplain"),
            "line 2: key dim is '1.5', integer or null >= 1 is allowed (Width)",
        ),
        ((HEADER, "A\t1\tnan\ttrue\t1\tplain"), "line 2: key rate is nan, number is allowed"),
        ((HEADER, "A\t1\t1\tyes\t1\tplain"), "line 2: key flag is 'yes', boolean is allowed"),
        ((HEADER, "A\t1\t1\tTrue\t1\tplain"), "line 2: key flag is 'True', boolean is allowed"),
        (
            (HEADER, "A\t1\t1\ttrue\t1\tplane"),
            "line 2: key wording is 'plane'; allowed are plain, None (did you mean plain?)",
        ),
        (
            (HEADER, "a/b\t1\t1\ttrue\t1\tplain"),
            "line 2: key model is 'a/b', string of letters, digits, '.', '_' and '-' is allowed",
        ),
    ],
)
def test_each_fault_of_a_table_is_one_sentence_with_file_and_line(tmp_path, lines, sentence):
    path = table(tmp_path, *lines)
    with pytest.raises(InputError) as told:
        read_registry(path, ROW)
    assert str(told.value).startswith(f"{path}, {sentence}")
    assert "\n" not in str(told.value)


@given(st.dictionaries(st.from_regex("[A-Za-z]{1,8}", fullmatch=True), st.integers(1), min_size=1))
def test_a_table_that_is_written_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "models.tsv"
    lines = [f"{name}\t{dim}\t0.5\ttrue\tmodel\t" for name, dim in rows.items()]
    path.write_text("\n".join([HEADER, *lines]))
    assert {name: row["dim"] for name, row in read_registry(path, ROW).items()} == rows


def test_description_has_a_line_per_key_with_what_is_allowed():
    text = describe(SCHEMA)
    assert "| `size` | integer >= 1 <= 9 | How big. |" in text
    assert "| `part.colour` | `red` or `green` or `None` | Which. |" in text
    assert len(text.splitlines()) == 2 + 7 + 1


@pytest.mark.parametrize("name", ["config", *REGISTRIES])
def test_schemas_are_closed_and_say_what_every_key_is(root, name):
    def visit(schema):
        assert "additionalProperties" in schema
        properties = schema.get("properties", {})
        assert set(schema.get("required", [])) == set(properties)
        for part in properties.values():
            assert part["description"]
            if "object" in part.get("type", ()):
                visit(part)

    visit(load_schema(root / f"workflow/schemas/{name}.schema.yaml"))


def test_a_number_that_yaml_reads_as_text_is_told_how_to_be_written():
    schema = {"type": "object", "properties": {"rate": {"type": "number"}}}
    with pytest.raises(InputError, match=r"rate is '5e-4', number is allowed; write 0\.0005"):
        check(yaml.safe_load("rate: 5e-4"), schema, "a.yaml")


def test_one_value_for_a_list_is_told_how_to_be_written():
    schema = {"type": "object", "properties": {"seeds": {"type": ["array", "null"]}}}
    with pytest.raises(InputError, match=r"seeds is 3, list or null is allowed; write \[3\]"):
        check({"seeds": 3}, schema, "a.yaml")
