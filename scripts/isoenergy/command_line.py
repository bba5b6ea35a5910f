"""The command line of a call of Snakemake: what it says of the config, and how YAML reads that."""

from __future__ import annotations

import json
import os
import re
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from isoenergy.config_file import check_config_file
from isoenergy.errors import InputError

# Options that count once, of several the last one.
_ONCE = {"--config": ("-C",), "--configfile": ("--configfiles",)}
# What YAML takes for text, whatever follows it.
_TEXT = "!!str "
# What Snakemake takes for the name of a key.
_KEY = re.compile(r"[A-Za-z_][\w-]*\w$")


def check_call(
    words: Sequence[str],
    entries: Sequence[str] | None,
    files: Sequence[str | Path] | None,
    schema: Mapping[str, Any],
    known: Sequence[str] = (),
) -> list[str]:
    """Check what a call says of the config, and spell it as Snakemake takes it.

    Parameters
    ----------
    words : sequence of str
        The command line, without the program.
    entries, files : sequence or None
        What ``--config`` and ``--configfile`` name in it, or in a profile.
    schema : mapping
        Of the config.
    known : sequence of str
        Config files of the repository.

    Returns
    -------
    list of str
        The words, with ``KEY.INNER=VALUE`` as ``KEY={INNER: VALUE}``.

    Raises
    ------
    InputError
        If an option is given twice, a file is wrong (:func:`check_config_file`), or an entry
        (:func:`check_entries`).
    """
    for option, others in _ONCE.items():
        told = [w for w in words if w.partition("=")[0] in (option, *others)]
        if len(told) > 1:
            raise InputError(
                f"{option} is given {len(told)} times, of which the last alone would count; give "
                f"it once, with everything behind it"
            )
    for file in files or ():
        check_config_file(file, known)
    check_entries(entries, schema)
    spelt = {entry: spell(entry, schema) for entry in entries or ()}
    return [_respelt(word, spelt) for word in words]


def _respelt(word: str, spelt: Mapping[str, str]) -> str:
    option, sign, entry = word.partition("=")
    if option in ("--config", "-C") and sign:
        return f"{option}={spelt.get(entry, entry)}"
    return spelt.get(word, word)


def check_entries(entries: Sequence[str] | None, schema: Mapping[str, Any]) -> None:
    """Refuse what ``--config`` names where YAML reads another value than the one that is typed.

    Parameters
    ----------
    entries : sequence of str or None
        Each ``KEY=VALUE``.
    schema : mapping
        Of the config; it says which values are text.

    Raises
    ------
    InputError
        If an entry is none, gives a key again, or a text is read as something else.
    """
    given: dict[str, str] = {}
    for entry in entries or ():
        key, sign, text = entry.partition("=")
        if not sign:
            raise InputError(
                f"--config has {entry}, which is not KEY=VALUE; quote a value with blanks, and "
                "write targets before --config"
            )
        if key.endswith(".") or not all(_KEY.match(part) for part in _parts(key, schema)[:1]):
            raise InputError(
                f"--config has {entry}, but no key is named {key!r}; config/README.md has them all"
            )
        if text.strip()[:1] != "{" and given.setdefault(key, text) != text:
            raise InputError(
                f"--config gives {key} twice, as {given[key]} and as {text}; keep one of them"
            )
        described = _described(_parts(key, schema), schema)
        if "string" in described.get("type", ()):
            _check_text(key, text, "x-path" in described)


def _check_text(key: str, text: str, is_path: bool) -> None:
    """Refuse a text that is read as another one, or as something else."""
    value = _as_read(text)
    if text == "" or _is_quoted(text) or value == text.strip():
        return
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text):
        raise InputError(
            f"--config {key}={text!r} has a line break or another sign that cannot be shown; "
            "rename it, or link it under a plain name"
        )
    kinds = {bool: "a truth value", int: "a number", float: "a number", dict: "a mapping"}
    kinds |= {list: "a list", str: f"{value!r}, for ' #' begins a comment"}
    kind = kinds.get(type(value), "nothing that YAML knows")
    inner = text.replace('"', '\\"')
    told = f"""quote it twice, --config {key}='"{inner}"'"""
    if is_path and re.fullmatch(r"[\w.+-]+", text):
        told = f"write --config {key}=./{text}, or {told}"
    raise InputError(f"--config {key}={text} is read as {kind}; {told}")


def _is_quoted(text: str) -> bool:
    """Whether YAML is told that it is text."""
    text = text.strip()
    return text.startswith(_TEXT) or (len(text) > 1 and text[0] == text[-1] and text[0] in "'\"")


def _as_read(text: str) -> Any:
    """A value of the command line as Snakemake reads it, without quotes at its ends."""
    text = text.strip("'\"")
    for read in (int, float, {"True": True, "False": False}.__getitem__, _read_yaml):
        try:
            return read(text)
        except (ValueError, KeyError, yaml.YAMLError):
            continue
    return None


def typed(value: Any) -> str:
    """A value of the config as it is typed behind ``KEY=``, in quotes where it has to be.

    Examples
    --------
    >>> typed("/data/mine"), typed("my #1 run"), typed(7)
    ('/data/mine', '"my #1 run"', '7')
    """
    needs_quotes = isinstance(value, str) and _as_read(value) != value
    return json.dumps(value, ensure_ascii=False) if needs_quotes else str(value)


def _read_yaml(text: str) -> Any:
    return yaml.load(text, Loader=yaml.BaseLoader)


def spell(entry: str, schema: Mapping[str, Any]) -> str:
    """An entry of ``--config`` as Snakemake takes it: keys without dots, and text that stays text.

    Snakemake drops quotes at both ends of a value before it reads it as YAML.

    Examples
    --------
    >>> spell("measure.tau=0.1", {})
    'measure={"tau": "0.1"}'
    >>> spell("store='my #1 run'", {"properties": {"store": {"type": "string"}}})
    'store=!!str "my #1 run" #'
    """
    key, _, text = entry.partition("=")
    parts = first, *inner = _parts(key, schema)
    try:
        value = _read_yaml(text) if text else None
    except yaml.YAMLError:
        value = text
    if not inner:
        is_text = "string" in _described(parts, schema).get("type", ())
        told = is_text and _is_quoted(text) and not text.startswith(_TEXT)
        return f"{key}={_TEXT}{json.dumps(value)} #" if told else entry
    for part in reversed(inner):
        value = {part: value}
    return f"{first}={json.dumps(value)}"


def _parts(key: str, schema: Mapping[str, Any]) -> list[str]:
    """The names that a key with dots is made of; those of data sets may have dots themselves."""
    parts, rest = [], key
    while rest:
        open_ended = isinstance(schema.get("additionalProperties"), Mapping)
        name, _, rest = (rest, "", "") if open_ended else rest.partition(".")
        parts.append(name)
        schema = schema.get("properties", {}).get(name, {})
    return parts


def _described(parts: Sequence[str], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the schema says of a key."""
    for part in parts:
        further = schema.get("additionalProperties")
        further = further if isinstance(further, Mapping) else {}
        schema = schema.get("properties", {}).get(part, further)
    return schema


def caches(folder: Path) -> Iterator[tuple[str, str]]:
    """Variables that give libraries a place for what they keep, where the home has none.

    Snakemake itself, matplotlib, numba and the hub write below the home directory, which may be
    missing or read-only on the nodes of a cluster.

    Parameters
    ----------
    folder : path
        Where to put them, made; a temporary folder where it cannot be.

    Yields
    ------
    name, value : str
        Nothing where the home directory can be written to.
    """
    usual = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    try:
        usual = usual.expanduser()
        usual.mkdir(parents=True, exist_ok=True)
        if os.access(usual, os.W_OK):
            return
    except (OSError, RuntimeError):
        pass
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="isoenergy-"))
    yield "XDG_CACHE_HOME", str(folder)
    hub = usual / "huggingface"
    for name, place in (
        ("MPLCONFIGDIR", folder / "matplotlib"),
        ("NUMBA_CACHE_DIR", folder / "numba"),
        # What was fetched before can be read, also where nothing can be added.
        ("HF_HOME", hub if hub.is_dir() else folder / "huggingface"),
    ):
        if name not in os.environ:
            yield name, str(place)
