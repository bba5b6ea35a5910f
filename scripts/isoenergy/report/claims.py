"""The paper's claims, each a comparison of two numbers that any run can make."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isoenergy.measure.intervened import FORMS
from isoenergy.measure.metric import join_notes

if TYPE_CHECKING:
    import pandas as pd

HOLDS = "holds"
WITHIN = "holds within the spread only"
UNKNOWN = "holds, spread not measured"
FAILS = "does not hold"
ABSENT = "not measured"
VERDICTS = (HOLDS, WITHIN, UNKNOWN, FAILS, ABSENT)
# Print errors; claims are not judged by such numbers.
MISPRINTED = ("swapped", "conflict")
# Interventions stand in the summary as metrics of this SAE.
_INTERVENED = "SAE-A"

Numbers = Mapping[tuple[str, str, str, str, str], tuple[float, float]]


@dataclass(frozen=True)
class Finding:
    """What one model and data set say of a claim.

    Attributes
    ----------
    claim, model, dataset : str
        ``model`` and ``dataset`` are empty where nothing is measured.
    left, left_sd, right, right_sd : float
        The two numbers with their standard deviations; NaN where there is none.
    change : float
        left - factor x right.
    spread : float
        left_sd + factor x right_sd, the rule that marks the better value of a table.
    verdict : str
        One of ``VERDICTS``.
    note : str
        What the table notes of the two numbers; may be empty.
    """

    claim: str
    model: str
    dataset: str
    left: float
    left_sd: float
    right: float
    right_sd: float
    change: float
    spread: float
    verdict: str
    note: str = ""


def margin(relation: str, change: float, bound: float) -> float:
    """By how much a change fulfils a claim; not positive where it does not.

    Parameters
    ----------
    relation : {"above", "below", "within"}
    change, bound : float
    """
    return {"above": change - bound, "below": bound - change, "within": bound - abs(change)}[
        relation
    ]


def judge(relation: str, change: float, bound: float, spread: float) -> str:
    """A verdict: a claim holds where its margin is above the spread of the change.

    Parameters
    ----------
    relation : {"above", "below", "within"}
    change, bound : float
    spread : float
        NaN where it is not measured.

    Returns
    -------
    str
        One of ``VERDICTS``; a change that is no number is not measured.
    """
    own = margin(relation, change, bound)
    if math.isnan(own):
        return ABSENT
    if own <= 0:
        return FAILS
    if math.isnan(spread):
        # No spread makes up for an infinite margin.
        return HOLDS if math.isinf(own) else UNKNOWN
    return HOLDS if own > spread else WITHIN


def numbers_of(tidy: pd.DataFrame) -> dict:
    """Value and standard deviation of every number, under the protocol its table shows.

    Parameters
    ----------
    tidy : DataFrame
        Tidy tables with a further column ``table``.

    Returns
    -------
    dict of (table, metric, variant, model, dataset) to (float, float)
    """
    keys = ["table", "metric", "variant", "model", "dataset"]
    first = tidy.drop_duplicates(keys)
    return {
        key: (float(value), float(sd))
        for *key_parts, value, sd in first[[*keys, "value", "sd"]].itertuples(index=False)
        for key in [tuple(key_parts)]
    }


def notes_of(tidy: pd.DataFrame) -> dict[tuple[str, str, str, str, str], str]:
    """What the tables note of numbers, by the keys of :func:`numbers_of`; the others have none."""
    keys = ["table", "metric", "variant", "model", "dataset"]
    first = tidy.drop_duplicates(keys)
    return {
        tuple(key): note
        for *key, note in first[[*keys, "note"]].itertuples(index=False, name=None)
        if note
    }


def printed_numbers(values: Sequence[Mapping[str, Any]]) -> dict:
    """The paper's own numbers, as :func:`numbers_of` gives ours, but for misprints.

    Interventions of Table 9 also stand where our summary has them.
    """
    found = {}
    for row in values:
        if row["source"] != "paper" or row["flag"] in MISPRINTED:
            continue
        number = (row["value"], math.nan)
        where = (row["model"], row["dataset"])
        found[(row["table"], row["metric"], row["variant"], *where)] = number
        if row["table"] == "table_09" and row["variant"] in FORMS:
            name = f"{row['metric']}_{row['variant']}"
            found[("table_summary", name, _INTERVENED, *where)] = number
    return found


def examine(
    claim: Mapping[str, Any],
    numbers: Numbers,
    notes: Mapping[tuple[str, str, str, str, str], str] | None = None,
) -> list[Finding]:
    """What a set of numbers says of a claim.

    Parameters
    ----------
    claim : mapping
        A row of ``config/claims.tsv``.
    numbers : mapping
        See :func:`numbers_of`.
    notes : mapping, optional
        See :func:`notes_of`.

    Returns
    -------
    list of Finding
        One for each model and data set that has both numbers; one that says so where none has.
    """
    findings, notes = [], notes or {}
    for (table, metric, variant, model, dataset), (left, left_sd) in numbers.items():
        if (table, metric, variant) != (claim["table"], claim["metric"], claim["variant"]):
            continue
        if claim["dataset"] not in (None, dataset):
            continue
        right, right_sd = math.nan, math.nan
        change, spread = left, left_sd
        note = notes.get((table, metric, variant, model, dataset), "")
        if claim["against"] is not None:
            key = (table, claim["against"], claim["against_variant"], model, dataset)
            if key not in numbers:
                continue
            right, right_sd = numbers[key]
            note = _of_both(note, notes.get(key, ""))
            change = left - claim["factor"] * right
            spread = left_sd + claim["factor"] * right_sd
        verdict = judge(claim["relation"], change, claim["bound"], spread)
        findings.append(
            Finding(
                claim["claim"],
                model,
                dataset,
                left,
                left_sd,
                right,
                right_sd,
                change,
                spread,
                verdict,
                note,
            )
        )
    nothing = (math.nan,) * 6
    return findings or [Finding(claim["claim"], "", "", *nothing, ABSENT)]


def _of_both(first: str, second: str) -> str:
    """The notes of two numbers as one, which says whose each is where they differ."""
    if first == second:
        return first
    told = {"first": first, "second": second}
    return join_notes(*(f"{which}: {note}" for which, note in told.items() if note))


def held_in_print(claim: Mapping[str, Any], printed: Numbers) -> tuple[int, int]:
    """For how many of the paper's own numbers a claim holds, and how many can be judged.

    Parameters
    ----------
    claim : mapping
        A row of ``config/claims.tsv``.
    printed : mapping
        See :func:`printed_numbers`.
    """
    verdicts = [found.verdict for found in examine(claim, printed)]
    judged = len(verdicts) - verdicts.count(ABSENT)
    return judged - verdicts.count(FAILS), judged
