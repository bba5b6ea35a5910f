"""What a job that measures leaves behind: the metrics asked for, and tables, with its settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoenergy.errors import InputError
from isoenergy.files import write_parquet
from isoenergy.measure.metric import Metric, check_explained, write_metric

if TYPE_CHECKING:
    import pandas as pd

_SETTINGS = "settings"


def write_metrics(
    folder: str | Path,
    metrics: Iterable[Metric],
    asked: Collection[str],
    named: str,
    settings: Mapping[str, Any] | None = None,
    zero_share: Mapping[str, float] | None = None,
) -> None:
    """Write metrics once all are measured, as ``{metric}.json``.

    Parameters
    ----------
    folder : path
    metrics : iterable of Metric
    asked : collection of str
        Metrics that the workflow takes as outputs.
    named : str
        The constant that names them, for the message.
    settings : mapping of str to float or str, optional
        What the job was told of the config's section ``measure``; every metric keeps it.
    zero_share : mapping of str to float, optional
        See :class:`isoenergy.measure.metric.Metric`; kept by every metric that has none of its own.

    Raises
    ------
    InputError
        If one that is asked for is not among them, two have one name, or one is not finite and
        does not say why; then none is written.
    """
    metrics = list(metrics)
    found = {metric.name: metric for metric in metrics}
    if len(found) < len(metrics):
        counted = Counter(metric.name for metric in metrics)
        twice = ", ".join(name for name, times in counted.items() if times > 1)
        raise InputError(f"several metrics are called {twice}; give each a name of its own")
    lacking = [name for name in asked if name not in found]
    if lacking:
        raise InputError(
            f"{named} names {', '.join(lacking)}, but measured are {', '.join(found)} alone; "
            "add what measures it, or take the name away"
        )
    for metric in found.values():
        check_explained(metric)
    for metric in found.values():
        share = metric.zero_share or zero_share or {}
        write_metric(folder, replace(metric, settings=settings or {}, zero_share=share))


def write_table(path: str | Path, table: pd.DataFrame, settings: Mapping[str, Any]) -> None:
    """Write a table as parquet, with the settings it was measured with beside its columns."""
    told = table.copy(deep=False)
    told.attrs = {_SETTINGS: dict(settings)}
    write_parquet(path, told)


def settings_of(table: pd.DataFrame) -> Mapping[str, Any]:
    """The settings that a table which was read was measured with; empty where it tells none."""
    return table.attrs.get(_SETTINGS, {})
