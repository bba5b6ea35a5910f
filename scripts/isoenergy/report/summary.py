"""The headline numbers of a run as nested JSON, for tools that compare runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

HEADLINE = "table_summary"


def headline_numbers(tidy: pd.DataFrame) -> dict[str, Any]:
    """The numbers of the summary table by data set, model, SAE and metric.

    Parameters
    ----------
    tidy : DataFrame
        Tidy tables with a further column ``table``.

    Returns
    -------
    dict
        Means over seeds under each metric's default protocol; NaN and infinity are None. Empty
        without that table.
    """
    keys = ["dataset", "model", "variant", "metric"]
    rows = tidy[tidy.table == HEADLINE].drop_duplicates(keys)
    numbers: dict[str, Any] = {}
    for row in rows.itertuples():
        place = numbers.setdefault(row.dataset, {}).setdefault(row.model, {})
        value = row.value if math.isfinite(row.value) else None
        place.setdefault(row.variant, {})[row.metric] = value
    return numbers
