"""Tidy tables: one row per number, gathered from metric files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isoenergy.errors import InputError
from isoenergy.measure.metric import Metric, read_metric

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("metric", "variant", "model", "dataset", "value", "sd", "seeds", "n", "protocol")
# The variant of numbers that are measured on raw embeddings.
RAW = "embeddings"


def gather_tidy(sources: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> pd.DataFrame:
    """Read metrics and put their mean and spread over seeds into a tidy table.

    Parameters
    ----------
    sources : sequence of mapping
        Each has ``model``, ``variant`` (an SAE, or ``"embeddings"``), ``dataset`` and
        ``folders``: metric folders that differ by seed alone.
    metrics : sequence of str
        A metric that is in none of a source's folders is left out for it; one that is in some
        only is an error.

    Returns
    -------
    DataFrame with columns ``COLUMNS``
        A row per source, metric and protocol, the metric's default protocol first. ``sd`` is the
        sample standard deviation over seeds; over one seed it is the spread that the metric file
        states, or empty.

    Raises
    ------
    InputError
        If a metric file is missing for some seeds, or broken.
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
            found = [read_metric(path) for path in paths]
            rows += [
                {
                    "metric": name,
                    "variant": source["variant"],
                    "model": source["model"],
                    "dataset": source["dataset"],
                    **_summary(found, protocol),
                    "seeds": len(found),
                    "n": ", ".join(f"{count} {what}" for what, count in found[0].n.items()),
                    "protocol": protocol,
                }
                for protocol in _protocols(found[0])
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _protocols(metric: Metric) -> list[str]:
    return sorted(metric.protocols, key=lambda name: (name != metric.protocol, name))


def _summary(found: Sequence[Metric], protocol: str) -> dict[str, float]:
    values = np.array([metric.protocols[protocol] for metric in found])
    if len(values) == 1:
        spread = found[0].sd
        return {"value": float(values[0]), "sd": math.nan if spread is None else spread}
    with np.errstate(invalid="ignore"):  # infinite values have no spread
        return {"value": float(values.mean()), "sd": float(values.std(ddof=1))}
