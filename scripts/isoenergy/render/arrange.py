"""A table arranged for readers: its rows and columns, and which value is marked as better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isoenergy.render.grid import Cell, Grid, Notes, format_number
from isoenergy.render.rows import lay_out_rows

if TYPE_CHECKING:
    import pandas as pd

    from isoenergy.render.tables import Column, Table

# Of what the variants of a table are; raw embeddings have one.
VARIANT_HEADINGS = {
    "saes": "SAE",
    "toy": "SAE",
    "interventions": "method",
    "composed": "query",
    "baselines": "method",
}


def lay_out(table: Table, tidy: pd.DataFrame) -> Grid:
    """Arrange a tidy table for readers; nothing is computed but which value is marked.

    A value is marked as better when it beats every other variant of the same model and data set
    by more than the sum of both standard deviations.

    Parameters
    ----------
    table : Table
    tidy : DataFrame
        See :func:`isoenergy.render.tidy.gather_tidy`; the first protocol of a number is shown,
        or for a table of readings all. Its notes stand below.
    """
    if table.readings:
        return _lay_out_readings(table, tidy)
    if table.of == "data":
        labels = {column.metric: column.label for column in table.columns}
        return lay_out_rows(labels, tidy)
    shown = tidy.drop_duplicates(["metric", "variant", "model", "dataset"])
    numbers = {
        (row.metric, row.variant, row.model, row.dataset): (row.value, row.sd)
        for row in shown.itertuples()
    }
    told = {
        (row.metric, row.variant, row.model, row.dataset): row.note for row in shown.itertuples()
    }
    notes = Notes()
    keys = list(dict.fromkeys(zip(shown.dataset, shown.model, shown.variant, strict=True)))
    grouped = bool(table.groups)
    columns = [column for column in table.columns if _is_shown(column, table, numbers)]
    with_dataset = len({dataset for dataset, _, _ in keys}) > 1
    with_model, with_sae = table.of != "toy", table.of != "embeddings"
    printed = [c for c in columns if any(metric == c.metric for metric, *_ in table.printed)]
    header = ["data set"] * with_dataset + ["model"] * with_model
    header += [VARIANT_HEADINGS.get(table.of, "")] * with_sae + ["atoms"] * grouped
    rows = []
    for dataset, model, variant in keys:
        for group in table.groups or ("",):
            cells = [Cell(dataset)] * with_dataset + [Cell(model)] * with_model
            cells += [Cell(table.names.get(variant, variant))] * with_sae + [Cell(group)] * grouped
            for column in columns:
                metric = column.metric.format(group=group)
                own = numbers.get((metric, variant, model, dataset))
                others = [
                    number
                    for (name, other, of_model, of_dataset), number in numbers.items()
                    if (name, of_model, of_dataset) == (metric, model, dataset) and other != variant
                ]
                text = "" if own is None else format_number(*own, column.digits)
                text = notes.mark(text, told.get((metric, variant, model, dataset), ""))
                cells.append(Cell(text, _beats(own, others, column.better)))
            paper = [table.printed.get((c.metric, variant, dataset)) for c in printed]
            cells += [Cell("" if number is None else str(number)) for number in paper]
            rows.append(cells)
    labels = [column.label for column in columns]
    labels += [f"{column.label}, paper" for column in printed]
    grid = Grid(header + labels, rows, len(header), notes.found)
    return grid.turned() if table.upright else grid


def _lay_out_readings(table: Table, tidy: pd.DataFrame) -> Grid:
    variants = list(dict.fromkeys(tidy.variant))
    rows, notes = [], Notes()
    for column in table.columns:
        of_metric = tidy[tidy.metric == column.metric]
        for protocol in dict.fromkeys(of_metric.protocol):
            shown = of_metric[of_metric.protocol == protocol].set_index("variant")
            texts = [
                notes.mark(
                    format_number(*shown.loc[variant, ["value", "sd"]], column.digits),
                    shown.loc[variant, "note"],
                )
                if variant in shown.index
                else ""
                for variant in variants
            ]
            rows.append([Cell(text) for text in (column.label, protocol, *texts)])
    return Grid(["", "reading", *variants], rows, 2, notes.found)


def _is_shown(column: Column, table: Table, numbers: Mapping[tuple, Any]) -> bool:
    names = {column.metric.format(group=group) for group in table.groups or ("",)}
    return any(metric in names for metric, *_ in numbers)


def _beats(own: tuple | None, others: Sequence[tuple], better: str | None) -> bool:
    if better is None or own is None or not others or own[1] != own[1]:
        return False
    sign = 1 if better == "higher" else -1
    return all(sign * (own[0] - value) > own[1] + sd for value, sd in others)
