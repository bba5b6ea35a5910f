"""Exact linear optimal transport, with the proof that it is optimal."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from isoenergy.measure.column_generation import Problem, solve_by_columns

MAX_GAP = 1e-6
# Rounds of column generation go on until here; the last ones are cheap and gain most digits.
_WANTED_GAP = 1e-9
# Up to so many arcs (32 MiB of costs) the dense solver is the faster one.
LARGEST_DENSE = 2**22
# Costs below this power of two are scaled up for the solver.
_LEAST_EXPONENT = -10
_MAX_ITERATIONS = 50_000_000


class TransportError(ArithmeticError):
    """A plan whose optimality could not be shown."""


@dataclass(frozen=True)
class Transport:
    """A solved transport problem.

    Attributes
    ----------
    plan : ndarray or csr_array of shape (n, m)
        Optimal coupling of the two marginals; dense from :func:`transport`, sparse from
        :func:`transport_vectors`.
    cost : float
        sum of plan * cost. Between vectors at least 0: float32 rows are of unit norm to 1e-7 only,
        so that a sum of 1 - cosine may come out below.
    bound : float
        Dual lower bound on the cost of every plan, between vectors at least 0 likewise.
    gap : float
        (cost - bound) / max(|cost|, mean cost of an arc) before either is cut at 0, which brings
        them no further apart; at most ``MAX_GAP``.
    """

    plan: np.ndarray | csr_array
    cost: float
    bound: float
    gap: float


def transport(a: np.ndarray, b: np.ndarray, cost: np.ndarray) -> Transport:
    """Solve min <plan, cost> over couplings of ``a`` and ``b``.

    Rows and columns without mass are left out of the solve and get zeros. For costs between
    vectors, and more than a few thousand of them, see :func:`transport_vectors`.

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
    (rows, a_live), (columns, b_live) = _live(a, "a"), _live(b, "b")
    c = np.ascontiguousarray(cost[np.ix_(rows, columns)], dtype=np.float64)
    # The solver wants sums that agree to the last bit.
    b_live *= a_live.sum() / b_live.sum()
    solve = _dense_solver()
    # The solver's tolerance is absolute; points that nearly coincide would look all alike to it.
    exponent = int(np.frexp(np.abs(c).max())[1])
    scale = 2.0**-exponent if c.any() and exponent < _LEAST_EXPONENT else 1.0
    part, log = solve(a_live, b_live, c * scale, numItermax=_MAX_ITERATIONS, log=True)
    value = float((part * c).sum())
    # A feasible dual from the solver's row potentials: its value bounds every plan's cost.
    u = log["u"] / scale
    v = (c - u[:, None]).min(axis=0)
    u = (c - v[None, :]).min(axis=1)
    bound = float(u @ a_live + v @ b_live)
    gap = _proved_gap(value, bound, float(np.abs(c).mean()), c.shape)
    plan = np.zeros((len(a), len(b)))
    plan[np.ix_(rows, columns)] = part
    return Transport(plan, value, bound, gap)


def transport_vectors(
    a: np.ndarray,
    x: np.ndarray,
    b: np.ndarray,
    y: np.ndarray,
    largest_dense: int = LARGEST_DENSE,
) -> Transport:
    """Transport between two sets of vectors, cost 1 - x y^T.

    Above ``largest_dense`` arcs no matrix of all costs is made: a restricted problem is solved
    over candidate arcs, all arcs are priced in blocks, and violating ones join until the dual
    bound over all arcs proves the plan (:mod:`isoenergy.measure.column_generation`). Memory is
    then that of the vectors and a few hundred arcs per vector.

    Parameters
    ----------
    a, b : ndarray of shape (n,), (m,)
        As in :func:`transport`.
    x, y : ndarray of shape (n, dim), (m, dim)
        Unit-norm rows, so that 1 - x y^T is 1 - cosine; used in float64.
    largest_dense : int
        Largest n * m (of vectors with mass) for the dense solver.

    Returns
    -------
    Transport
        With a sparse plan. It has at most n + m - 1 entries and meets each marginal to within
        2^-50, but for the largest mass of each, which takes what rounding leaves: (n + m) 2^-50.

    Raises
    ------
    ValueError
        If a marginal is negative or has no mass.
    TransportError
        If the relative gap between cost and dual bound is above ``MAX_GAP``.
    """
    (rows, a_live), (columns, b_live) = _live(a, "a"), _live(b, "b")
    x_live, y_live = (
        np.asarray(side, dtype=np.float64)[kept] for side, kept in ((x, rows), (y, columns))
    )
    shape = (len(a), len(b))
    if len(rows) * len(columns) <= largest_dense:
        solved = transport(a_live, b_live, 1 - x_live @ y_live.T)
        i, j = np.nonzero(solved.plan)
        plan = csr_array((solved.plan[i, j], (rows[i], columns[j])), shape=shape)
        return Transport(plan, max(solved.cost, 0.0), max(solved.bound, 0.0), solved.gap)
    problem = Problem(a_live, x_live, b_live, y_live)
    found = solve_by_columns(problem, _WANTED_GAP, _sparse_solver())
    gap = _proved_gap(found.cost, found.bound, problem.mean_cost(), (len(rows), len(columns)))
    plan = csr_array((found.mass, (rows[found.rows], columns[found.columns])), shape=shape)
    return Transport(plan, max(found.cost, 0.0), max(found.bound, 0.0), gap)


def _live(weights: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the positive weights, and these scaled to sum to 1."""
    weights = np.asarray(weights, dtype=np.float64)
    if (weights < 0).any() or not weights.sum() > 0:
        raise ValueError(f"marginal {name} must be non-negative with a positive sum")
    kept = np.flatnonzero(weights)
    return kept, weights[kept] / weights.sum()


def _proved_gap(value: float, bound: float, mean_cost: float, shape: tuple[int, ...]) -> float:
    gap = (value - bound) / max(abs(value), mean_cost, np.finfo(float).tiny)
    if not gap <= MAX_GAP:
        raise TransportError(
            f"optimal transport of {shape[0]} to {shape[1]} points stopped with a relative "
            f"gap of {gap:.2g}, above {MAX_GAP:g}; its plan is not known to be optimal"
        )
    return gap


def _import_pot() -> None:
    """Keep POT from loading the frameworks that it would otherwise import."""
    for backend in ("PYTORCH", "JAX", "CUPY", "TENSORFLOW"):
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{backend}", "1")


def _dense_solver() -> Callable:
    """POT's network simplex on a matrix of costs."""
    _import_pot()
    from ot.lp import emd

    return emd


def _sparse_solver() -> Callable:
    """POT's network simplex on a list of arcs, as :func:`solve_by_columns` calls it.

    ``ot.lp.emd`` takes sparse costs too, but no potentials to start from.
    """
    _import_pot()
    from ot.lp.emd_wrap import emd_c_sparse

    def solve(supply, demand, rows, columns, costs, start):
        arcs = rows.astype(np.uint64), columns.astype(np.uint64), costs
        *flow, _, u, v, code = emd_c_sparse(supply, demand, *arcs, _MAX_ITERATIONS, *start)
        if code != 1:
            raise TransportError(f"the network simplex stopped with code {code}, not optimal")
        return *flow, u, v

    return solve
