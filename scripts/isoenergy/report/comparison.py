"""The comparison with the paper: a table, the findings on its claims, and one HTML page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from isoenergy.files import write_json, write_text
from isoenergy.report.claims import (
    FAILS,
    VERDICTS,
    Finding,
    Numbers,
    examine,
    held_in_print,
    notes_of,
    numbers_of,
    printed_numbers,
)
from isoenergy.report.compare import (
    APART,
    DIFFERS,
    compare,
    read_tables,
    unlike,
    without_counterpart,
)
from isoenergy.report.compare import VERDICTS as VERDICTS_ON_NUMBERS
from isoenergy.report.fill import fill_page
from isoenergy.report.summary import headline_numbers
from isoenergy.report.words import heading_of, label_of, metric_labels, rule_of, short
from isoenergy.schema import load_schema, read_registry

if TYPE_CHECKING:
    import pandas as pd

TEMPLATE = "comparison.html"


def write_comparison(
    tables: Sequence[str | Path],
    titles: Mapping[str, str],
    paper_values: str | Path,
    paper_values_schema: str | Path,
    claims: str | Path,
    claims_schema: str | Path,
    reference: str | Path,
    config_file: str,
    options: str,
    config: Mapping[str, Any],
    csv: str | Path,
    findings: str | Path,
    page: str | Path,
    summary: str | Path,
) -> None:
    """Compare a run's tables with the paper's numbers, and its claims with what they say.

    The page holds everything and asks no host for anything; text is escaped. Equal results give
    equal bytes.

    Parameters
    ----------
    tables : sequence of path
        Tidy tables, ``table_NN.csv``, as many as the run has.
    titles : mapping of str to str
        Tables and what they are called.
    paper_values, claims : path
        The registries ``config/paper_values.tsv`` and ``config/claims.tsv``.
    paper_values_schema, claims_schema : path
        Their schemas.
    reference : path
        The paper's config: numbers under other settings than its are not compared.
    config_file : str
        Where the config is from, for readers.
    options : str
        What follows ``snakemake compare`` to make this page; see ``words.command_options``.
    config : mapping
        This run's config.
    csv, findings, page : path
        Files to write: a row for each of the paper's numbers, a row for each claim, model and
        data set, and the HTML page.
    summary : path
        JSON file to write: the run's headline numbers, see :func:`headline_numbers`.

    Raises
    ------
    InputError
        If a file is missing or broken.
    """
    import pandas as pd

    values = list(read_registry(paper_values, load_schema(paper_values_schema)).values())
    registry = list(read_registry(claims, load_schema(claims_schema)).values())
    theirs = yaml.safe_load(Path(reference).read_text(encoding="utf-8"))
    tidy = read_tables(tables)
    compared = compare(tidy, values, unlike(config, theirs))
    numbers, printed = numbers_of(tidy), printed_numbers(values)
    notes = notes_of(tidy)
    examined = {claim["claim"]: examine(claim, numbers, notes) for claim in registry}
    every = [found for several in examined.values() for found in several]
    text = fill_page(
        TEMPLATE,
        config_file=config_file,
        options=options,
        models=list(dict.fromkeys(tidy.model)),
        datasets=list(dict.fromkeys(tidy.dataset)),
        claims=[_claim_part(c, examined[c["claim"]], printed) for c in registry],
        claim_counts={name: _count(every, name) for name in VERDICTS},
        verdicts=VERDICTS_ON_NUMBERS,
        table_counts=_table_counts(compared),
        reasons=_reasons(compared),
        alone=without_counterpart(tidy, values),
        parts=_table_parts(compared, titles),
    )
    rows = pd.DataFrame([asdict(found) for found in every], columns=list(Finding.__annotations__))
    write_text(csv, compared.to_csv(index=False, lineterminator="\n"))
    write_text(findings, rows.to_csv(index=False, lineterminator="\n"))
    write_json(summary, headline_numbers(tidy))
    write_text(page, text)


def _claim_part(
    claim: Mapping[str, Any], ours: Sequence[Finding], printed: Numbers
) -> dict[str, Any]:
    held, judged = held_in_print(claim, printed)
    left, right = claim["variant"], claim["against_variant"]
    if left == right:
        labels = metric_labels(claim["table"])
        left, right = (labels.get(claim[key], claim[key]) for key in ("metric", "against"))
    told = f"It holds for {held} of {judged} of the paper's own numbers."
    return dict(claim) | {
        "left": left,
        "right": right,
        "rule": rule_of(claim),
        "printed": told if judged else "The paper prints no number for it.",
        "findings": [
            {
                "model": found.model,
                "dataset": found.dataset,
                "left": short(found.left, found.left_sd),
                "right": short(found.right, found.right_sd),
                "change": short(found.change),
                "spread": short(found.spread),
                "verdict": found.verdict,
                "fails": found.verdict == FAILS,
                "note": found.note,
            }
            for found in ours
            if found.model
        ],
    }


def _count(found: Sequence[Finding], verdict: str) -> int:
    return sum(one.verdict == verdict for one in found)


def _table_counts(compared: pd.DataFrame) -> dict[str, list[int]]:
    counts = Counter(zip(compared.table, compared.verdict, strict=True))
    rows = {
        label_of(table): [counts[table, verdict] for verdict in VERDICTS_ON_NUMBERS]
        for table in dict.fromkeys(compared.table)
    }
    total = Counter(compared.verdict)
    return rows | {"all": [total[verdict] for verdict in VERDICTS_ON_NUMBERS]}


def _reasons(compared: pd.DataFrame) -> dict[str, int]:
    return dict(Counter(compared[compared.verdict == APART].why).most_common())


def _table_parts(compared: pd.DataFrame, titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """The numbers that have ours beside them, table by table."""
    shown = compared[compared.ours.notna()]
    labels = {table: metric_labels(table) for table in dict.fromkeys(shown.table)}
    return [
        {
            "table": table,
            "label": label_of(table),
            "heading": heading_of(table, titles[table]) if table in titles else label_of(table),
            "rows": [
                {
                    "names": (labels[table].get(row.metric, row.metric), row.variant, row.model),
                    "numbers": (short(row.paper, row.paper_sd), short(row.ours, row.sd)),
                    "apart": (short(row.difference), short(row.tolerance)),
                    "places": (row.dataset, row.source),
                    "verdict": row.verdict,
                    "differs": row.verdict == DIFFERS,
                    "why": "; ".join(filter(None, (row.why, row.note))),
                }
                for row in shown[shown.table == table].itertuples()
            ],
        }
        for table in dict.fromkeys(shown.table)
    ]
