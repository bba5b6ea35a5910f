"""Which metrics a column of a table can show: those that some job measures for such a table."""

from __future__ import annotations

from collections.abc import Mapping

from isoenergy.errors import InputError
from isoenergy.measure.accounting import COUNTS, MODEL_COUNTS
from isoenergy.measure.baselines import BASELINE_METRICS
from isoenergy.measure.composed import COMPOSED_METRICS
from isoenergy.measure.embeddings import CLASS_METRICS, CLASSIFIER_METRICS, PAIR_METRICS
from isoenergy.measure.intervened import CLASS_METRICS as FORM_CLASS_METRICS
from isoenergy.measure.intervened import PAIR_METRICS as FORM_METRICS
from isoenergy.measure.quality import QUALITY_METRICS
from isoenergy.measure.sae import FACTOR_METRICS, SAE_METRICS
from isoenergy.measure.selection import SELECTION_METRICS
from isoenergy.measure.stability import STABILITY_METRICS
from isoenergy.measure.toy import TOY_METRICS
from isoenergy.render.tables import TABLES, Table
from isoenergy.schema import choose

# By ``Table.of``. A run may lack some of them, without classes or known factors for example.
MEASURED = {
    "saes": (
        *SAE_METRICS,
        *FACTOR_METRICS,
        *QUALITY_METRICS,
        *STABILITY_METRICS,
        *SELECTION_METRICS,
    ),
    "embeddings": (*PAIR_METRICS, *CLASS_METRICS, *CLASSIFIER_METRICS),
    "toy": TOY_METRICS,
    "interventions": (*FORM_METRICS, *FORM_CLASS_METRICS),
    "composed": COMPOSED_METRICS,
    # The mask of an SAE stands beside the baselines.
    "baselines": (*BASELINE_METRICS, *FORM_METRICS),
    "data": (*COUNTS, *MODEL_COUNTS),
}


def check_columns(tables: Mapping[str, Table] | None = None) -> None:
    """Refuse a column whose metric nothing measures; it would be left out in every run.

    Parameters
    ----------
    tables : mapping of str to Table, optional
        By default all of ``TABLES``.

    Raises
    ------
    InputError
        Names the table, the metric, and those that such a table can show.
    """
    tables = {name: TABLES[name] for name in TABLES} if tables is None else tables
    for name, table in tables.items():
        known = MEASURED[table.of]
        for metric in table.metrics():
            if metric not in known:
                raise InputError(
                    f"scripts/isoenergy/render/tables.py: {name} has a column of the metric "
                    f"{metric}, which no job measures for a table of {table.of}; "
                    f"{choose(metric, sorted(set(known)))}"
                )
