"""What stands beside each table of the report: the paper's claims and its printed numbers."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoenergy.errors import InputError
from isoenergy.files import read_csv
from isoenergy.report.claims import ABSENT, FAILS, held_in_print
from isoenergy.report.compare import AGREES, APART, DIFFERS, KEYS
from isoenergy.report.words import metric_labels, rule_of, short

if TYPE_CHECKING:
    import pandas as pd

# What is told of a number: its metric, then what differs between the numbers of a table.
_NAMES = ("dataset", "metric", "variant")


def read_comparison(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read ``compare.csv`` or ``compare_claims.csv``; a model called "NA" is not a missing one.

    Parameters
    ----------
    path : path
    columns : sequence of str
        ``compare.COMPARED``, or the names of ``claims.Finding``.

    Raises
    ------
    InputError
        If it is missing, truncated, no CSV, or has other columns.
    """
    if not Path(path).exists():
        raise InputError(f"{path} does not exist; run the target compare before the report")
    names = ("table", "metric", "variant", "model", "dataset", "source", "claim")
    text = (*names, "verdict", "why", "note", "n", "protocol")
    return read_csv(path, columns, [name for name in columns if name in text])


def read_digits(path: str | Path) -> dict[tuple[str, ...], str]:
    """The paper's numbers as it prints them, trailing zeros and all, by ``compare.KEYS``.

    Parameters
    ----------
    path : path
        ``config/paper_values.tsv``.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {
            tuple(row[key] for key in KEYS): row["value"].replace("-", "−")
            for row in rows
            if row["source"] == "paper"
        }


def table_of(claim: Mapping[str, Any]) -> str:
    """The table that a claim belongs to: the one that the paper names, else that of its numbers."""
    named = re.search(r"\bTable (\d+)", claim["place"])
    return f"table_{int(named[1]):02d}" if named else claim["table"]


def claims_beside(
    target: str,
    claims: Sequence[Mapping[str, Any]],
    findings: pd.DataFrame,
    printed: Mapping[tuple, tuple[float, float]],
) -> dict[str, Any] | None:
    """The claims that belong to a table: a row each, with a verdict for each model.

    Parameters
    ----------
    target : str
    claims : sequence of mapping
        Rows of ``config/claims.tsv``.
    findings : DataFrame
        ``compare_claims.csv``.
    printed : mapping
        The paper's own numbers; see ``claims.printed_numbers``.

    Returns
    -------
    dict or None
        ``columns`` (models, with their data sets where a model has several) and ``rows``; None
        where no claim of the table is measured.
    """
    own = [claim for claim in claims if table_of(claim) == target]
    found = findings[findings.claim.isin([c["claim"] for c in own]) & (findings.verdict != ABSENT)]
    if not len(found):
        return None
    places = list(dict.fromkeys(zip(found.model, found.dataset, strict=True)))
    several = len({dataset for _, dataset in places}) > 1
    columns = {place: f"{place[0]}, {place[1]}" if several else place[0] for place in places}
    cells = {(row.claim, row.model, row.dataset): _finding(row) for row in found.itertuples()}
    rows = []
    for claim in own:
        held, judged = held_in_print(claim, printed)
        rows.append(
            {
                "sentence": claim["sentence"],
                "rule": rule_of(claim),
                "printed": f"holds for {held} of {judged}" if judged else "no number",
                "cells": [cells.get((claim["claim"], *place)) for place in columns],
            }
        )
    return {"columns": list(columns.values()), "rows": rows}


def _finding(row: Any) -> dict[str, Any]:
    # A number and its spread stay on one line.
    left, right = (
        short(value, sd).replace(" ", "\N{NO-BREAK SPACE}")
        for value, sd in ((row.left, row.left_sd), (row.right, row.right_sd))
    )
    return {
        "verdict": row.verdict,
        "fails": row.verdict == FAILS,
        "numbers": left if right == short(float("nan")) else f"{left} against {right}",
    }


def numbers_beside(
    target: str, compared: pd.DataFrame, digits: Mapping[tuple[str, ...], str]
) -> dict[str, Any] | None:
    """The paper's printed numbers of a table with ours beside them.

    Parameters
    ----------
    target : str
    compared : DataFrame
        ``compare.csv``. Numbers of the authors' notebooks are left out: they are not printed.
    digits : mapping
        See :func:`read_digits`.

    Returns
    -------
    dict or None
        ``columns`` are the models, or of one model the variants; ``names`` and ``rows`` what
        remains; ``counts`` how many numbers have each verdict; ``reasons`` why numbers are not
        compared, the commonest first; ``judged`` whether any is; ``found`` whether any has ours.
        None where the paper prints no number of it.
    """
    own = compared[(compared.table == target) & (compared.source == "paper")]
    if not len(own):
        return None
    across = "model" if own.model.nunique() > 1 else "variant"
    names = [name for name in _NAMES if name != across]
    names = [name for name in names if name == "metric" or own[name].nunique() > 1]
    columns = list(dict.fromkeys(own[across]))
    labels = metric_labels(target)
    rows: dict[tuple, dict[str, dict]] = {}
    for number in own.itertuples():
        key = tuple(getattr(number, name) for name in names)
        rows.setdefault(key, {})[getattr(number, across)] = _pair(number, digits)
    metric = names.index("metric")
    return {
        "columns": columns,
        "names": names,
        "rows": [
            {
                "names": [*key[:metric], labels.get(key[metric], key[metric]), *key[metric + 1 :]],
                "cells": [cells.get(column) for column in columns],
            }
            for key, cells in rows.items()
        ],
        "counts": {
            verdict: count
            for verdict in (AGREES, DIFFERS, APART)
            if (count := int((own.verdict == verdict).sum()))
        },
        "reasons": dict(Counter(own[own.verdict == APART].why).most_common()),
        "judged": bool((own.verdict != APART).any()),
        "found": bool(own.ours.notna().any()),
    }


def _pair(number: Any, digits: Mapping[tuple[str, ...], str]) -> dict[str, Any]:
    key = tuple(getattr(number, name) for name in KEYS)
    return {
        "paper": digits.get(key, short(number.paper)),
        "ours": "" if number.ours != number.ours else short(number.ours, number.sd),
        "verdict": number.verdict,
        "differs": number.verdict == DIFFERS,
    }
