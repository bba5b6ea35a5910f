"""The paper's rule for the weight of the alignment term, beta (Section 4, SPEC 2.5 and X3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isoenergy.measure.metric import PAPER, Metric, why_not_finite

# What alignment may cost in explained variance.
LARGEST_DROP = 0.05
NO_DEGENERATE = "no_degenerate"
RULES = (NO_DEGENERATE, PAPER)
SELECTED_BETA = "selected_beta"
SELECTION_METRICS = (
    SELECTED_BETA,
    f"{SELECTED_BETA}_r2",
    f"{SELECTED_BETA}_share_degenerate",
    "sweep_r2_bound",
)


@dataclass(frozen=True)
class Selection:
    """A beta, and what the SAE trained with it is like; all NaN where no beta qualifies.

    Attributes
    ----------
    beta : float
    r2 : float
        Its explained variance.
    share_degenerate : float
        Share of the energy in degenerate (always-on) atoms, in [0, 1].
    """

    beta: float
    r2: float
    share_degenerate: float


def r2_bound(beta: Sequence[float], r2: Sequence[float]) -> float:
    """The R² that a beta has to exceed: that of the smallest beta of the sweep minus 0.05."""
    return float(r2[int(np.argmin(beta))] - LARGEST_DROP)


def select_beta(
    beta: Sequence[float],
    r2: Sequence[float],
    share_degenerate: Sequence[float],
    rule: str = NO_DEGENERATE,
) -> Selection:
    """The largest beta whose loss in explained variance against the base is less than 0.05.

    The base is the run with the smallest beta, 0 in the sweeps made here. "Largest" is meant: a
    smaller beta may lose more, since sweeps are not monotonous.

    Parameters
    ----------
    beta, r2, share_degenerate : sequence of float, of equal length
        A run each, in any order.
    rule : {"no_degenerate", "paper"}
        ``paper``: as printed. ``no_degenerate``: among runs without a degenerate atom alone. The
        paper says that its rule gives none, which its own sweep does not bear out.

    Returns
    -------
    Selection
        Of a positive beta; NaN where none qualifies.
    """
    beta, r2, share = (np.asarray(values, dtype=float) for values in (beta, r2, share_degenerate))
    allowed = (r2 > r2_bound(beta, r2)) & (beta > 0)
    if rule == NO_DEGENERATE:
        allowed &= share == 0
    if not allowed.any():
        return Selection(np.nan, np.nan, np.nan)
    chosen = int(np.argmax(np.where(allowed, beta, -np.inf)))
    return Selection(float(beta[chosen]), float(r2[chosen]), float(share[chosen]))


def selection_metrics(
    beta: Sequence[float], r2: Sequence[float], share_degenerate: Sequence[float], pairs: int
) -> list[Metric]:
    """What the rule selects, under both readings: ``SELECTION_METRICS``, ``no_degenerate`` first.

    Parameters
    ----------
    beta, r2, share_degenerate
        As :func:`select_beta`.
    pairs : int
        Of the store that the sweep was measured on.
    """
    found = {rule: select_beta(beta, r2, share_degenerate, rule) for rule in RULES}
    n = {"pairs": pairs, "betas": len(beta)}
    values = {
        SELECTED_BETA: {rule: told.beta for rule, told in found.items()},
        f"{SELECTED_BETA}_r2": {rule: told.r2 for rule, told in found.items()},
        f"{SELECTED_BETA}_share_degenerate": {
            rule: told.share_degenerate for rule, told in found.items()
        },
        "sweep_r2_bound": dict.fromkeys(RULES, r2_bound(beta, r2)),
    }
    none = f"no beta of the sweep loses less than {LARGEST_DROP:g} of R²"
    none += f", for {NO_DEGENERATE} also without an atom that is always on"
    return [
        Metric(name, told, n, protocol=NO_DEGENERATE, note=why_not_finite(told, none))
        for name, told in values.items()
    ]
