"""Closed schemas: checking tables and configs, with one sentence for what is wrong."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from isoenergy.errors import InputError

# Stricter than JSON schema: 5.0 is no integer (nothing counts with it), and NaN is no number.
_TYPES = Draft202012Validator.TYPE_CHECKER.redefine_many(
    {
        "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
        "number": lambda _, value: (
            isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        ),
    }
)
# A name this much like another one was probably meant to be it (difflib's own limit).
_ALIKE = 0.6
_Validator = extend(Draft202012Validator, type_checker=_TYPES)


def load_schema(path: str | Path) -> dict[str, Any]:
    """Read a JSON schema written as YAML."""
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))


def choose(name: str, allowed: Sequence[str]) -> str:
    """What is allowed instead of ``name``, and which of it was probably meant."""
    likeness = {other: difflib.SequenceMatcher(None, other, name).ratio() for other in allowed}
    # The first of equals: figure_2 is rather figure_02 than figure_12.
    near = max(likeness, key=likeness.get, default="")
    meant = f" (did you mean {near}?)" if likeness.get(near, 0) >= _ALIKE else ""
    return f"allowed are {', '.join(allowed) or 'none'}{meant}"


def flagged(schema: Mapping[str, Any], flag: str, value: Any) -> frozenset[str]:
    """Keys, with dots, whose schema gives a flag this value."""
    found = set()
    for name, part in schema.get("properties", {}).items():
        if part.get(flag) == value:
            found.add(name)
        found |= {f"{name}.{inner}" for inner in flagged(part, flag, value)}
    return frozenset(found)


def without(config: Mapping[str, Any], keys: Collection[str], inside: str = "") -> dict[str, Any]:
    """A config without these keys, named with dots."""
    return {
        key: without(value, keys, f"{inside}{key}.") if isinstance(value, Mapping) else value
        for key, value in config.items()
        if f"{inside}{key}" not in keys
    }


def check(content: Any, schema: Mapping[str, Any], source: str) -> None:
    """Check content against a schema.

    Parameters
    ----------
    content : object
    schema : mapping
    source : str
        File that the content is from, for the message.

    Raises
    ------
    InputError
        Names the file, the key, and what is allowed there.
    """
    errors = sorted(_Validator(schema).iter_errors(content), key=_order)
    if errors:
        raise InputError(f"{source}: {_sentence(errors[0])}")


def _order(error: ValidationError) -> tuple:
    # Unknown keys first: a misspelt key is also a missing one, and the misspelling says more.
    return (error.validator != "additionalProperties", [str(part) for part in error.absolute_path])


def _sentence(error: ValidationError) -> str:
    key = ".".join(str(part) for part in error.absolute_path)
    where = f"key {key}" if key else "the top level"
    value = error.instance
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(name for name in value if name not in known)
        return f"unknown key {_join(key, unknown)}; {choose(str(unknown), known)}"
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in value)
        told = error.schema["properties"][missing].get("description", "")
        return f"key {_join(key, missing)} is missing; it says: {told}"
    if error.validator == "enum":
        return (
            f"{where} is {value!r}; {choose(str(value), [str(v) for v in error.validator_value])}"
        )
    told = error.schema.get("description", "")
    meant = (
        _number_meant(value, error.schema)
        or _list_meant(value, error.schema)
        or _text_meant(value, error.schema)
    )
    return (
        f"{where} is {value!r}, {_allowed(error.schema)} is allowed"
        + (f"; write {meant}" if meant else "")
        + (f" ({told.rstrip('.')})" if told else "")
    )


def _number_meant(value: Any, schema: Mapping[str, Any]) -> str | None:
    """How to write a number that YAML took for text, such as 5e-4, which needs a point."""
    if "number" not in _types(schema) or not isinstance(value, str):
        return None
    try:
        return repr(float(value)) if "." in repr(float(value)) else f"{float(value):.1e}"
    except ValueError:
        return None


def _text_meant(value: Any, schema: Mapping[str, Any]) -> str | None:
    """How to write text that YAML took for something else, such as a number or a date."""
    if "string" not in _types(schema) or isinstance(value, str) or value is None:
        return None
    if isinstance(value, Mapping):
        return "it in quotes, for YAML takes ': ' for a mapping"
    if isinstance(value, list):
        return None
    text = f"'{str(value).lower() if isinstance(value, bool) else value}'"
    return f"{text}, in quotes" + (f", or ./{value}" if "x-path" in schema else "")


def _list_meant(value: Any, schema: Mapping[str, Any]) -> str | None:
    """How to write one value where a list is allowed."""
    if "array" not in _types(schema) or isinstance(value, (list, dict)) or value is None:
        return None
    return f"[{value}]"


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else str(name)


def _allowed(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_allowed(option) for option in schema["anyOf"])
    if "const" in schema:
        return repr(schema["const"])
    types = schema.get("type", "another value")
    names = [types] if isinstance(types, str) else types
    text = " or ".join("list" if name == "array" else name for name in names)
    for name, sign in (
        ("minimum", ">="),
        ("exclusiveMinimum", ">"),
        ("maximum", "<="),
        ("exclusiveMaximum", "<"),
    ):
        if name in schema:
            text += f" {sign} {schema[name]}"
    if "minItems" in schema or "minLength" in schema:
        text += " that is not empty"
    if "maxLength" in schema:
        text += f" of at most {schema['maxLength']} characters"
    if schema.get("uniqueItems"):
        text += " without repeats"
    if "pattern" in schema:
        text += " of letters, digits, '.', '_' and '-'"
    if "not" in schema:
        text += " without 20 repeats at its end"
    return text


def _convert(text: str, schema: Mapping[str, Any]) -> Any:
    """A table cell as the type its column's schema asks for; as it is where it does not fit."""
    types = _types(schema)
    if text == "" and ("null" in types or None in schema.get("enum", [])):
        return None
    if "boolean" in types and text in ("true", "false"):
        return text == "true"
    for name, convert in (("integer", int), ("number", float)):
        if name in types:
            try:
                return convert(text)
            except ValueError:
                continue
    return text


def _types(schema: Mapping[str, Any]) -> set[str]:
    """Every type that a schema or one of its options allows."""
    options = [option.get("type", ()) for option in schema.get("anyOf", [schema])]
    return {name for told in options for name in ([told] if isinstance(told, str) else told)}


def read_registry(path: str | Path, schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read a registry table: tab-separated, a header, one row per entry, its name first.

    Parameters
    ----------
    path : path
    schema : mapping
        Schema of one row. Its first required key names the entries, or the keys of its ``x-name``
        together.

    Returns
    -------
    dict of str to dict
        Rows by name (of several keys: joined by spaces), cells converted to the types that the
        schema asks for.

    Raises
    ------
    InputError
        Names the file, the row and the column that is wrong, or the name that occurs twice.
    """
    name_columns = schema.get("x-name", schema["required"][:1])
    rows: dict[str, dict[str, Any]] = {}
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist; the registries lie in config/")
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        for cells in reader:
            line = reader.line_num
            if None in cells or None in cells.values():
                raise InputError(
                    f"{path}, line {line}: has more or fewer cells than the header's "
                    f"{len(reader.fieldnames or [])}; separate cells by single tabs"
                )
            row = {
                column: _convert(text, schema["properties"].get(column, {}))
                for column, text in cells.items()
            }
            check(row, schema, f"{path}, line {line}")
            name = " ".join(row[column] for column in name_columns)
            if name in rows:
                told = ", ".join(name_columns)
                raise InputError(f"{path}, line {line}: {told} {name} occurs twice")
            rows[name] = row
    return rows


def _described(part: Mapping[str, Any]) -> str:
    spared = part.get("x-remakes") is False
    return part["description"] + (" A change makes nothing again." if spared else "")


def describe(schema: Mapping[str, Any]) -> str:
    """The keys of a config or columns of a table as a markdown table."""
    lines = ["| key | value | what it says |", "|---|---|---|"]

    def add(prefix: str, properties: Mapping[str, Any]) -> None:
        for name, part in properties.items():
            allowed = (
                " or ".join(f"`{value}`" for value in part["enum"])
                if "enum" in part
                else _allowed(part)
            )
            lines.append(f"| `{prefix}{name}` | {allowed} | {_described(part)} |")
            add(f"{prefix}{name}.", part.get("properties", {}))

    add("", schema["properties"])
    return "\n".join(lines) + "\n"
