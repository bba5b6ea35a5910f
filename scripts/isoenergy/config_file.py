"""What is wrong with a config file that its keys do not show: missing, broken, ambiguous."""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from isoenergy.errors import InputError
from isoenergy.files import check_file

# Values that a config holds at most; Snakemake copies each as often as an alias names it.
LARGEST = 100_000


def check_config_file(path: str | Path, known: Sequence[str] = ()) -> None:
    """Refuse a config file that Snakemake would not read, or of which it would drop a part.

    Parameters
    ----------
    path : path
    known : sequence of str
        Config files that may have been meant.

    Raises
    ------
    InputError
        If the file cannot be read, is neither JSON nor YAML, is no mapping, or gives a key twice.
    """
    if not os.path.lexists(path):
        where = "" if Path(path).is_absolute() else f" in {Path.cwd()}"
        raise InputError(f"config file {path} does not exist{where}; {_meant(path, known)}")
    try:
        # What a pipe gives is gone when Snakemake reads it.
        check_file(path)
        text = Path(path).read_text(encoding="utf-8-sig")
    except InputError as error:
        raise InputError(f"config file {error}") from None
    except OSError as error:
        raise InputError(
            f"config file {path} cannot be read ({error.strerror}); name a YAML file, such as "
            "config/demo.yaml"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"config file {path} is not UTF-8 text; save it as UTF-8") from None
    content = _read(path, text)
    if not isinstance(content, dict):
        found = "empty" if content is None else f"a {_KINDS.get(type(content), 'single value')}"
        raise InputError(
            f"config file {path} is {found}; it needs keys at its top level, such as seed: 0"
        )


_KINDS = {list: "list", str: "text"}


def _meant(path: str | Path, known: Sequence[str]) -> str:
    """The file of the nearest name, beside it or known."""
    beside = sorted(str(file) for file in Path(path).parent.glob("*.y*ml") if file.is_file())
    named = {Path(file).name: file for file in [*known, *beside]}
    near = difflib.get_close_matches(Path(path).name, named, n=1, cutoff=0.75)
    return f"did you mean {named[near[0]]}?" if near else f"there are {', '.join(known)}"


def _read(path: str | Path, text: str) -> Any:
    """The content, as Snakemake reads it: JSON, and what is none as YAML."""
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _once(path, pairs))
    except (json.JSONDecodeError, RecursionError):
        pass
    try:
        node = yaml.compose(text, Loader=yaml.FullLoader)
        if _size(node, {}) > LARGEST:
            raise InputError(
                f"config file {path} has an alias (*) that holds itself, or aliases that make it "
                f"larger than {LARGEST:,} values; write out what it is to hold"
            )
        for key, first, second in _repeated(node, "", set()):
            raise InputError(
                f"config file {path}: key {key} is given twice, on lines {first} and {second}; "
                "keep one of them"
            )
        return yaml.load(text, Loader=yaml.FullLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        told, way_out = error.problem or error.context, "a config has keys and plain values alone"
        if isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError):
            way_out = (
                "YAML takes ': ', ' #', tabs and brackets for its own signs, quote a value that "
                "has them"
            )
        raise InputError(f"config file {path}{line}: {told}; {way_out}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        told = " ".join(str(error).split())
        raise InputError(f"config file {path} is not YAML: {told}; correct it") from None


def _size(node: yaml.Node | None, known: dict[int, float]) -> float:
    """How many values a node holds when its aliases are written out; endless if it holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf  # until all that it holds is counted
        inner = [] if node is None or isinstance(node, yaml.ScalarNode) else node.value
        parts = [part for one in inner for part in (one if isinstance(one, tuple) else (one,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _once(path: str | Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, whose keys must differ."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InputError(f"config file {path}: key {key} is given twice; keep one of them")
        found[key] = value
    return found


def _repeated(
    node: yaml.Node | None, inside: str, seen: set[int]
) -> Iterator[tuple[str, int, int]]:
    """Keys that a mapping or one inside it gives twice, with both lines."""
    # What an alias stands for was looked at where it has its anchor.
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, inner in enumerate(node.value):
            yield from _repeated(inner, f"{inside}{number}.", seen)
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in lines:
                    yield f"{inside}{key.value}", lines[key.value], line
                lines[key.value] = line
                yield from _repeated(value, f"{inside}{key.value}.", seen)
