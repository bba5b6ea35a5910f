"""Tidy tables: one row per number, gathered from metric files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isoenergy.errors import InputError
from isoenergy.files import read_csv
from isoenergy.measure.metric import Metric, join_notes
from isoenergy.render.asked import read_asked

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("metric", "variant", "model", "dataset", "value", "sd", "seeds", "n", "protocol", "note")
# Its numbers may be infinite, and are empty where they are not known.
NUMBERS = ("value", "sd")
# Stands in the place of a model where models are averaged.
MEAN_CHANGE = "mean change"
# The variant of numbers that are measured on raw embeddings.
RAW = "embeddings"
# Notes on what is computed from numbers that are not finite.
NOT_BOTH = "one of both readings is not finite"
NOT_ALL = "a number that it is the mean of is not finite"
_SIDES = {"image": "images", "text": "texts", "target": "targets", "source": "source pictures"}


def gather_tidy(
    sources: Sequence[Mapping[str, Any]],
    metrics: Sequence[str],
    differences: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Read metrics and put their mean and spread over seeds into a tidy table.

    Parameters
    ----------
    sources : sequence of mapping
        Each has ``model``, ``variant`` (an SAE, or ``"embeddings"``), ``dataset`` and
        ``folders``: metric folders that differ by seed alone.
    metrics : sequence of str
        A metric that is in none of a source's folders is left out for it; one that is in some
        only is an error.
    differences : bool
        Keep metrics with several protocols alone, and add a row for the difference of each other
        protocol from the default, named e.g. ``"paper - code"``; its spread is that of the
        differences seed by seed.
    settings : mapping of str to float or str, optional
        The config's section ``measure``.

    Returns
    -------
    DataFrame with columns ``COLUMNS``
        A row per source, metric and protocol, the metric's default protocol first. ``sd`` is the
        sample standard deviation over seeds; over one seed it is the spread that the metric file
        states, or empty. ``note`` says why a value is not finite, and for how many images and
        texts the reconstruction is zero; it is empty for most.

    Raises
    ------
    InputError
        If a metric file is missing for some seeds, broken, or measured with other settings.
    """
    import pandas as pd

    rows = []
    for source in sources:
        for name in metrics:
            paths = [Path(folder, f"{name}.json") for folder in source["folders"]]
            present = [path for path in paths if path.exists()]
            if not present:
                continue
            if len(present) < len(paths):
                absent = next(path for path in paths if path not in present)
                raise InputError(f"{absent} does not exist; measure every seed")
            found = [read_asked(path, settings) for path in paths]
            protocols = _protocols(found[0])
            summaries = {
                protocol: _summary(found, protocol) | {"note": note_of(found, protocol)}
                for protocol in protocols
            }
            if differences:
                default, *others = protocols
                summaries |= {f"{other} - {default}": _change(found, other) for other in others}
                summaries = summaries if others else {}
            rows += [
                {
                    "metric": name,
                    "variant": source["variant"],
                    "model": source["model"],
                    "dataset": source["dataset"],
                    **summary,
                    "seeds": len(found),
                    "n": ", ".join(f"{count} {what}" for what, count in found[0].n.items()),
                    "protocol": protocol,
                }
                for protocol, summary in summaries.items()
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def read_tidy(path: str | Path) -> pd.DataFrame:
    """Read a tidy table that was written as csv.

    Raises
    ------
    InputError
        If it is missing, truncated, or has other columns.
    """
    text = [column for column in COLUMNS if column not in (*NUMBERS, "seeds")]
    return read_csv(path, COLUMNS, text)


def add_mean_changes(tidy: pd.DataFrame) -> pd.DataFrame:
    """Add what every variant changes against the first one, as a mean over models.

    Parameters
    ----------
    tidy : DataFrame
        See :func:`gather_tidy`, of one data set; every model has the same variants.

    Returns
    -------
    DataFrame
        With rows whose model is ``MEAN_CHANGE``, unless there is one model alone; they have no
        spread.
    """
    import pandas as pd

    models = tidy["model"].nunique()
    if models < 2:
        return tidy
    first, *others = tidy["variant"].unique()
    keys = ["metric", "protocol", "dataset", "model"]
    values = tidy.set_index(["variant", *keys])["value"]
    changes = []
    for variant in others:
        with np.errstate(invalid="ignore"):  # infinite values do not differ by a number
            change = values.loc[variant] - values.loc[first]
        of_models = change.groupby(level=keys[:-1], sort=False)
        mean = of_models.agg(lambda values: values.mean(skipna=False)).reset_index()
        seeds = int(tidy["seeds"].min())
        told = {"model": MEAN_CHANGE, "sd": math.nan, "seeds": seeds, "n": f"{models} models"}
        told["note"] = np.where(np.isfinite(mean["value"]), "", NOT_ALL)
        changes.append(mean.assign(variant=variant, **told)[list(COLUMNS)])
    return pd.concat([tidy, *changes], ignore_index=True)


def _protocols(metric: Metric) -> list[str]:
    return sorted(metric.protocols, key=lambda name: (name != metric.protocol, name))


def _summary(found: Sequence[Metric], protocol: str) -> dict[str, float]:
    spread = found[0].sd
    values = np.array([metric.protocols[protocol] for metric in found])
    return _mean(values, math.nan if spread is None else spread)


def _change(found: Sequence[Metric], protocol: str) -> dict[str, Any]:
    with np.errstate(invalid="ignore"):  # infinite values do not differ by a number
        change = _mean(
            np.array([metric.protocols[protocol] for metric in found])
            - [metric.value for metric in found],
            math.nan,
        )
    return change | {"note": "" if math.isfinite(change["value"]) else NOT_BOTH}


def note_of(found: Sequence[Metric], protocol: str) -> str:
    """What a reader has to know of a number, from its metric of every seed.

    Parameters
    ----------
    found : sequence of Metric
    protocol : str

    Returns
    -------
    str
        Why it is not finite, and for how many codes the reconstruction is zero; may be empty.
    """
    reasons = Counter(m.note for m in found if not math.isfinite(m.protocols[protocol]))
    told = (
        reason if count == len(found) else f"{count} of {len(found)} seeds: {reason}"
        for reason, count in reasons.items()
    )
    return join_notes(*told, zero_note(found))


def zero_note(found: Sequence[Metric]) -> str:
    """Which share of codes has no atom left, the mean over seeds; empty where none has."""
    shares = {
        side: float(np.mean([metric.zero_share.get(side, 0.0) for metric in found]))
        for side in found[0].zero_share
    }
    told = [
        f"{_percent(share)} of {_SIDES.get(side, side)}" for side, share in shares.items() if share
    ]
    if not told:
        return ""
    return f"{join_words(told)} have no atom left, so that their reconstruction is zero"


def join_words(words: Sequence[str]) -> str:
    """Words as a list in a sentence, e.g. ``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 1e-3 else "under 0.1 %"


def _mean(values: np.ndarray, spread: float) -> dict[str, float]:
    """Mean and standard deviation; ``spread`` in its place for a single value."""
    if len(values) == 1:
        return {"value": float(values[0]), "sd": spread}
    with np.errstate(invalid="ignore"):  # infinite values have no spread
        return {"value": float(values.mean()), "sd": float(values.std(ddof=1))}
