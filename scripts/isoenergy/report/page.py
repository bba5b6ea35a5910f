"""The report: one self-contained HTML page with every table and figure of a run."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from isoenergy import __version__
from isoenergy.errors import InputError
from isoenergy.files import write_text
from isoenergy.render.grid import Grid
from isoenergy.render.tables import TABLES, lay_out
from isoenergy.render.tidy import COLUMNS

TEMPLATE = "page.html"
FORMS = {"table": ("csv", "md", "tex"), "figure": ("pdf", "png")}
# Packages that decide numbers or pictures; their versions stand at the foot of the page.
PACKAGES = (
    "matplotlib",
    "numpy",
    "pandas",
    "POT",
    "scikit-learn",
    "scipy",
    "snakemake",
    "torch",
    "transformers",
)


def write_report(
    results: str | Path,
    targets: Sequence[Mapping[str, Any]],
    config_file: str,
    config: Mapping[str, Any],
    page: str | Path,
) -> None:
    """Write the report.

    Everything is inside the page: it opens without a network, and asks no host for anything. Text
    from data and config is escaped. Equal results give equal bytes: the page has no date.

    Parameters
    ----------
    results : path
        Root of the results; tables and figures are read from there.
    targets : sequence of mapping
        What to show, in order: ``target``, ``kind`` ("table" or "figure") and
        ``title``.
    config_file : str
        For the commands that regenerate each part.
    config : mapping
        Shown in full.
    page : path
        The HTML file to write.

    Raises
    ------
    InputError
        If a table or a figure is missing.
    """
    results = Path(results)
    parts = [_part(results, target) for target in targets]
    text = fill_page(
        TEMPLATE,
        parts=parts,
        config_file=config_file,
        options=command_options(config_file, config),
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        versions={"isoenergy": __version__} | _versions(),
    )
    write_text(page, text)


def fill_page(template: str, **values: Any) -> str:
    """A page of this folder with its fields filled; text is escaped, an unknown field an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["subscripts"] = subscripts
    return environment.get_template(template).render(**values)


def read_grid(path: Path, name: str) -> Grid:
    """Lay out one rendered table again, from its csv.

    Raises
    ------
    InputError
        If the file is missing or the table unknown.
    """
    import pandas as pd

    _read(path)
    # "inf" and empty cells are numbers; a model called "NA" is not a missing one.
    text = {column: str for column in COLUMNS if column not in ("value", "sd", "seeds")}
    tidy = pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"value": "", "sd": ""})
    return lay_out(TABLES[name], tidy)


def subscripts(label: str) -> Markup:
    """Words with symbols such as ``p_acc`` as HTML with subscripts, everything else escaped."""
    return Markup(re.sub(r"\b(\w)_([a-z]+)\b", r"\1<sub>\2</sub>", str(escape(label))))


def heading_of(target: str, title: str) -> str:
    """What stands above a part: "Table 1: TITLE" for ``table_01``, the title alone for others."""
    kind, _, number = target.partition("_")
    return f"{kind.capitalize()} {int(number)}: {title}" if number.isdigit() else title


def command_options(config_file: str, config: Mapping[str, Any]) -> str:
    """What follows ``snakemake TARGET`` to run with the same config."""
    if config.get("store"):
        return f" --config store={config['store']}"
    return "" if config_file == "config/config.yaml" else f" --configfile {config_file}"


def _part(results: Path, target: Mapping[str, Any]) -> dict[str, Any]:
    name, kind = target["target"], target["kind"]
    folder = results / f"{kind}s"
    part = dict(target) | {
        "heading": heading_of(name, target["title"]),
        "caption": _read(folder / f"{name}.txt").strip(),
        # Beside the page; they are absent where it was sent alone.
        "files": {suffix: f"{kind}s/{name}.{suffix}" for suffix in FORMS[kind]},
    }
    if kind == "table":
        return part | {"grid": read_grid(folder / f"{name}.csv", name)}
    return part | {"image": base64.b64encode(_read_bytes(folder / f"{name}.png")).decode("ascii")}


def _read(path: Path) -> str:
    return _read_bytes(path).decode("utf-8")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run its target before the report") from None


def _versions() -> dict[str, str]:
    """Installed versions; a rule's own environment may lack some packages."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
