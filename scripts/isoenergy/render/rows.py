"""The table of where the rows of data sets went, laid out for readers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from isoenergy.measure.accounting import DROPPED, FAILED, MODEL_COUNTS
from isoenergy.render.grid import Cell, Grid

if TYPE_CHECKING:
    import pandas as pd

# Counts that are followed by their reasons.
_REASONED = (FAILED, DROPPED)
_ALL = "all"


def lay_out_rows(labels: Mapping[str, str], tidy: pd.DataFrame) -> Grid:
    """A row per data set, or where models differ one for each group of models of equal counts.

    Parameters
    ----------
    labels : mapping of str to str
        Headings of counts, in order.
    tidy : DataFrame
        See :func:`isoenergy.render.tidy.gather_tidy`; counts of
        :func:`isoenergy.measure.accounting.count_rows`.

    Returns
    -------
    Grid
        With a column for the models where they differ on any data set. All reasons of a count
        share a cell, most frequent first.
    """
    rows: list[list[Cell]] = []
    for dataset, of_dataset in tidy.groupby("dataset", sort=False):
        of_models = of_dataset[of_dataset.metric.isin(MODEL_COUNTS)]
        shared = of_dataset.drop(of_models.index)
        alike: dict[tuple, list[str]] = {}
        for model, own in of_models.groupby("model", sort=False):
            counts = tuple(zip(own.metric, own.protocol, own.value, strict=True))
            alike.setdefault(counts, []).append(model)
        for models in alike.values():
            own = of_models[of_models.model == models[0]]
            cells = [Cell(dataset), Cell(", ".join(models) if len(alike) > 1 else _ALL)]
            for metric in labels:
                cells += _counts(metric, own if metric in MODEL_COUNTS else shared)
            rows.append(cells)
    header = ["data set", "models"]
    for metric, label in labels.items():
        header += [label, "why"] if metric in _REASONED else [label]
    if any(row[1].text != _ALL for row in rows):
        return Grid(header, rows, 2)
    return Grid([header[0], *header[2:]], [[row[0], *row[2:]] for row in rows], 1)


def _counts(metric: str, tidy: pd.DataFrame) -> list[Cell]:
    """A count, and the reasons for it where it has some."""
    found = tidy[tidy.metric == metric]
    cells = [Cell(next((f"{value:,.0f}" for value in found.value), ""))]
    if metric in _REASONED:
        told = sorted(zip(-found.value[1:], found.protocol[1:], strict=True))
        cells.append(Cell("; ".join(f"{reason}: {-n:,.0f}" for n, reason in told)))
    return cells
