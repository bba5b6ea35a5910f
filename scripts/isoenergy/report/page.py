"""The report: one self-contained HTML page with every table and figure, in the paper's order."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from isoenergy.embed.store import read_description
from isoenergy.errors import InputError
from isoenergy.files import write_text
from isoenergy.render.arrange import lay_out
from isoenergy.render.grid import Grid
from isoenergy.render.tables import TABLES
from isoenergy.render.tidy import read_tidy
from isoenergy.report.beside import claims_beside, numbers_beside, read_comparison, read_digits
from isoenergy.report.claims import VERDICTS, Finding, printed_numbers
from isoenergy.report.compare import COMPARED
from isoenergy.report.contents import arrange
from isoenergy.report.fill import fill_page
from isoenergy.report.provenance import commit, machine, versions
from isoenergy.report.words import cost_of, heading_of
from isoenergy.schema import load_schema, read_registry

TEMPLATE = "page.html"
FORMS = {"table": ("csv", "md", "tex"), "figure": ("pdf", "png")}
# Pixels of the page for one of a figure: one as wide as the paper's text, 7 in, fills the page, and
# all have letters of one size.
_SCALE = 0.68
_PNG = b"\x89PNG\r\n\x1a\n"


def write_report(
    results: str | Path,
    targets: Sequence[Mapping[str, Any]],
    contents: str | Path,
    contents_schema: str | Path,
    compared: str | Path,
    findings: str | Path,
    paper_values: str | Path,
    paper_values_schema: str | Path,
    claims: str | Path,
    claims_schema: str | Path,
    pyproject: str | Path,
    stores: Sequence[str | Path],
    notes: Sequence[str],
    config_file: str,
    options: str,
    config: Mapping[str, Any],
    page: str | Path,
) -> None:
    """Write the report.

    Everything is inside the page: it opens without a network, and asks no host for anything. Text
    from data and config is escaped. Equal results give equal bytes on one machine and commit: the
    page has no date.

    Parameters
    ----------
    results : path
        Root of the results; tables and figures are read from there.
    targets : sequence of mapping
        What to show: ``target``, ``kind`` ("table" or "figure"), ``title``, ``cost_demo`` and
        ``cost_paper``.
    contents, contents_schema : path
        The registry ``config/contents.tsv``, the paper's order, and its schema.
    compared, findings : path
        ``compare.csv`` and ``compare_claims.csv`` of this run.
    paper_values, paper_values_schema, claims, claims_schema : path
        The registries ``config/paper_values.tsv`` and ``config/claims.tsv`` with their schemas.
    pyproject : path
        The packages whose versions are told; the repository is its folder.
    stores : sequence of path
        ``store.json`` of stores made elsewhere, whose ``notes`` are shown before all numbers.
    notes : sequence of str
        What else readers should know before they trust a number.
    config_file : str
        Where the config is from, for readers.
    options : str
        What follows ``snakemake TARGET`` to make a part again; see ``words.command_options``.
    config : mapping
        Shown in full.
    page : path
        The HTML file to write.

    Raises
    ------
    InputError
        If a table, a figure or the comparison is missing.
    """
    results = Path(results)
    numbers = read_comparison(compared, COMPARED)
    found = read_comparison(findings, list(Finding.__annotations__))
    registry = list(read_registry(claims, load_schema(claims_schema)).values())
    values = read_registry(paper_values, load_schema(paper_values_schema))
    printed, digits = printed_numbers(list(values.values())), read_digits(paper_values)
    parts = {}
    for target in targets:
        name = target["target"]
        parts[name] = _part(results, target) | {
            "cost": cost_of(target, config_file),
            "claims": claims_beside(name, registry, found, printed),
            "numbers": numbers_beside(name, numbers, digits),
        }
    text = fill_page(
        TEMPLATE,
        sections=arrange(list(parts), contents, contents_schema),
        parts=parts,
        verdicts={
            verdict: count for verdict in VERDICTS if (count := (found.verdict == verdict).sum())
        },
        notes=[
            *notes,
            *(note for path in stores for note in read_description(path).get("notes", ())),
        ],
        config_file=config_file,
        options=options,
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        versions=versions(pyproject),
        commit=commit(Path(pyproject).resolve().parent),
        machine=machine(),
    )
    write_text(page, text)


def read_grid(path: Path, name: str) -> Grid:
    """Lay out one rendered table again, from its csv.

    Raises
    ------
    InputError
        If the file is missing, truncated or has other columns, or the table is unknown.
    """
    _read(path)
    return lay_out(TABLES[name], read_tidy(path))


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
    image = _read_bytes(folder / f"{name}.png")
    return part | {
        "image": base64.b64encode(image).decode("ascii"),
        "size": [round(_SCALE * side) for side in picture_size(image, folder / f"{name}.png")],
    }


def picture_size(image: bytes, path: str | Path) -> tuple[int, int]:
    """Width and height of a PNG, from its first chunk.

    Raises
    ------
    InputError
        If it is no PNG; the message names ``path``.
    """
    if not image.startswith(_PNG) or image[12:16] != b"IHDR" or len(image) < 24:
        raise InputError(f"{path} is no PNG picture; delete it and run again")
    return int.from_bytes(image[16:20], "big"), int.from_bytes(image[20:24], "big")


def _read(path: Path) -> str:
    try:
        return _read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text ({error}); delete it and run again") from None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run its target before the report") from None
