"""What a job that measures leaves behind: every metric that it was asked for, or a refusal."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from isoenergy.errors import InputError
from isoenergy.measure.metric import Metric, write_metric


def write_metrics(
    folder: str | Path, metrics: Iterable[Metric], asked: Collection[str], named: str
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

    Raises
    ------
    InputError
        If one that is asked for is not among them; then none is written.
    """
    found = {metric.name: metric for metric in metrics}
    lacking = [name for name in asked if name not in found]
    if lacking:
        raise InputError(
            f"{named} names {', '.join(lacking)}, but measured are {', '.join(found)} alone; "
            "add what measures it, or take the name away"
        )
    for metric in found.values():
        write_metric(folder, metric)
