"""Exact linear optimal transport, with the proof that it is optimal."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

MAX_GAP = 1e-6
_MAX_ITERATIONS = 50_000_000


class TransportError(ArithmeticError):
    """A plan whose optimality could not be shown."""


@dataclass(frozen=True)
class Transport:
    """A solved transport problem.

    Attributes
    ----------
    plan : ndarray of shape (n, m)
        Optimal coupling of the two marginals.
    cost : float
        sum of plan * cost.
    bound : float
        Dual lower bound on the cost of every plan.
    gap : float
        (cost - bound) / max(|cost|, mean cost of an arc), at most ``MAX_GAP``.
    """

    plan: np.ndarray
    cost: float
    bound: float
    gap: float


def transport(a: np.ndarray, b: np.ndarray, cost: np.ndarray) -> Transport:
    """Solve min <plan, cost> over couplings of ``a`` and ``b``.

    Rows and columns without mass are left out of the solve and get zeros.

    Parameters
    ----------
    a, b : ndarray of shape (n,), (m,)
        Non-negative, each summing to a positive number; scaled to sum to 1.
    cost : ndarray of shape (n, m)

    Returns
    -------
    Transport

    Raises
    ------
    ValueError
        If a marginal is negative or has no mass.
    TransportError
        If the relative gap between cost and dual bound is above ``MAX_GAP``.
    """
    a, b = (np.asarray(weights, dtype=np.float64) for weights in (a, b))
    for name, weights in (("a", a), ("b", b)):
        if (weights < 0).any() or weights.sum() <= 0:
            raise ValueError(f"marginal {name} must be non-negative with a positive sum")
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    a_live, b_live = a[rows] / a.sum(), b[columns] / b.sum()
    c = np.ascontiguousarray(cost[np.ix_(rows, columns)], dtype=np.float64)
    # The solver wants sums that agree to the last bit.
    b_live *= a_live.sum() / b_live.sum()
    solve = _solver()
    part, log = solve(a_live, b_live, c, numItermax=_MAX_ITERATIONS, log=True)
    value = float((part * c).sum())
    # A feasible dual from the solver's row potentials: its value bounds every plan's cost.
    u = log["u"]
    v = (c - u[:, None]).min(axis=0)
    u = (c - v[None, :]).min(axis=1)
    bound = float(u @ a_live + v @ b_live)
    gap = (value - bound) / max(abs(value), float(np.abs(c).mean()), np.finfo(float).tiny)
    if not gap <= MAX_GAP:
        raise TransportError(
            f"optimal transport of {len(rows)} to {len(columns)} points stopped with a relative "
            f"gap of {gap:.2g}, above {MAX_GAP:g}; its plan is not known to be optimal"
        )
    plan = np.zeros((len(a), len(b)))
    plan[np.ix_(rows, columns)] = part
    return Transport(plan, value, bound, gap)


def _solver():
    """POT's network simplex, imported without the frameworks it would otherwise load."""
    for backend in ("PYTORCH", "JAX", "CUPY", "TENSORFLOW"):
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{backend}", "1")
    from ot.lp import emd

    return emd
