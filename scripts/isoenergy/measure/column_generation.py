"""Transport between vectors without the matrix of all costs: arcs are made as they are needed.

The linear programme has a variable for each of n * m arcs, of which a basic solution uses
n + m - 1. A restricted problem over candidate arcs gives a plan, whose cost bounds the optimum from
above, and potentials u, v. Pricing every arc, in blocks, finds the reduced costs c_ij - u_i - v_j:
shifting the potentials by their minima makes them feasible for all arcs, so that u.a + v.b bounds
the optimum from below, and arcs with negative reduced cost join the candidates. This is repeated
until both bounds meet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from isoenergy.progress import LOG

# Nearest neighbours of each vector that the first restricted problem has, and arcs that each
# vector adds in a round at most.
_NEAREST = 8
_ADDED = 4
_MAX_ROUNDS = 200
# Reduced costs above this are rounding: of products in float32, and in float64 of a simplex that
# starts from artificial costs of about n + m.
_TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}
# Above this gap arcs are priced in float32, at half the cost; such bounds prove nothing.
_COARSE_GAP = 1e-3
# Entries of a block of reduced costs: 64 MiB.
_BLOCK = 2**23
# Masses are whole multiples of this share of the total: sums of them are exact in float64, so that
# the simplex meets ties as ties.
_QUANTUM = 2.0**-50
_LINE_SECONDS = 10.0


@dataclass(frozen=True)
class Problem:
    """Masses and vectors of both sides; the cost of an arc is 1 - x_i . y_j.

    Attributes
    ----------
    a, b : ndarray of shape (n,), (m,), float64
        Positive, each summing to 1.
    x, y : ndarray of shape (n, dim), (m, dim), float64
    """

    a: np.ndarray
    x: np.ndarray
    b: np.ndarray
    y: np.ndarray

    def costs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Costs of the arcs from ``rows`` to ``columns``."""
        found = np.empty(len(rows))
        step = max(_BLOCK // self.x.shape[1] // 2, 1)
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            np.einsum("ad,ad->a", self.x[rows[part]], self.y[columns[part]], out=found[part])
        return 1 - found

    def mean_cost(self) -> float:
        """Mean cost over all arcs, weighing them alike."""
        return float(1 - self.x.mean(axis=0) @ self.y.mean(axis=0))


@dataclass(frozen=True)
class Solution:
    """A plan as a list of arcs, its cost, and a lower bound on the cost of every plan."""

    rows: np.ndarray
    columns: np.ndarray
    mass: np.ndarray
    cost: float
    bound: float


@dataclass(frozen=True)
class Prices:
    """What pricing all arcs at potentials u, v finds.

    Attributes
    ----------
    rows, columns : ndarray
        Arcs with the smallest reduced costs of each row and each column, where these are below
        what was asked for.
    row_least, column_least : ndarray of shape (n,), (m,)
        Least reduced cost of each row and each column.
    """

    rows: np.ndarray
    columns: np.ndarray
    row_least: np.ndarray
    column_least: np.ndarray


def solve_by_columns(
    problem: Problem, max_gap: float, solve: Callable, block: int = _BLOCK
) -> Solution:
    """Solve a transport problem between vectors by column generation.

    Parameters
    ----------
    problem : Problem
    max_gap : float
        Stop when cost and bound differ by at most this share of max(cost, mean cost of an arc).
    solve : callable
        ``solve(supply, demand, rows, columns, costs, start)`` gives the optimal flow over these
        arcs as (rows, columns, flow) and its potentials u, v; ``start`` is potentials to start
        from, or (None, None). Supply and demand are whole numbers with equal sums.
    block : int
        Reduced costs at a time.

    Returns
    -------
    Solution
        Its bound holds for the masses as they are; its plan has them rounded (see ``_QUANTUM``).
        The gap may be above ``max_gap`` if no arc is left to add or after 200 rounds.
    """
    supply, demand = whole_masses(problem.a), whole_masses(problem.b)
    u, v = np.zeros(len(problem.a)), np.zeros(len(problem.b))
    precision = np.float32
    near = price(problem, u, v, _NEAREST, np.inf, block, precision)
    arcs = _Arcs(problem)
    arcs.add(*staircase(supply, demand))
    arcs.add(near.rows, near.columns)
    start, best, mean_cost = (None, None), -np.inf, problem.mean_cost()
    said = time.monotonic()
    for _ in range(_MAX_ROUNDS):
        rows, columns, flow, u, v = solve(supply, demand, *arcs.listed(), start)
        rows, columns = rows.astype(np.int64), columns.astype(np.int64)
        mass = flow * _QUANTUM
        cost = float(mass @ problem.costs(rows, columns))
        prices = price(problem, u, v, _ADDED, -_TOLERANCE[precision], block, precision)
        bound = max(
            float((u + prices.row_least) @ problem.a + v @ problem.b),
            float(u @ problem.a + (v + prices.column_least) @ problem.b),
        )
        gap = (cost - bound) / max(cost, mean_cost)
        if time.monotonic() - said > _LINE_SECONDS:
            LOG.info("transport of %d to %d vectors: gap %.1e so far", len(u), len(v), gap)
            said = time.monotonic()
        grown = arcs.add(prices.rows, prices.columns)
        if precision is np.float64:
            best = max(best, bound)
            if gap <= max_gap or not grown:
                break
        elif gap <= _COARSE_GAP or not grown:
            precision = np.float64
        start = (u, v)
    return Solution(rows, columns, mass, cost, best)


def price(
    problem: Problem,
    u: np.ndarray,
    v: np.ndarray,
    most: int,
    below: float,
    block: int,
    precision: type = np.float64,
) -> Prices:
    """Find, of all arcs, those with the smallest reduced costs of each row and column.

    Parameters
    ----------
    problem : Problem
    u, v : ndarray of shape (n,), (m,)
        Potentials.
    most : int
        Arcs of each row, and of each column, at most.
    below : float
        Only arcs with a reduced cost below this.
    block : int
        Reduced costs at a time.
    precision : type
        Of the reduced costs.
    """
    n, m = len(u), len(v)
    row_least, column_least = np.empty(n), np.full(m, np.inf)
    by_row, by_column = [], []
    blocks = list(_spans(n, max(block // m, 1)))
    # The least of each block are enough candidates for the least of a column.
    each = -(-most // len(blocks))
    for span, reduced in zip(blocks, _reduced_costs(problem, u, v, blocks, precision), strict=True):
        least = reduced.min(axis=1)
        row_least[span] = least
        by_row.append(_smallest(reduced, np.flatnonzero(least < below), most, span.start))
        least = reduced.min(axis=0)
        np.minimum(column_least, least, out=column_least)
        j, i, value = _smallest(reduced.T, np.flatnonzero(least < below), each, 0)
        by_column.append((i + span.start, j, value))
    found = []
    for parts, line in ((by_row, 0), (by_column, 1)):
        rows, columns, values = (np.concatenate(part) for part in zip(*parts, strict=True))
        kept = _first_of_each((rows, columns)[line], values, most)
        kept = kept[values[kept] < below]
        found.append((rows[kept], columns[kept]))
    rows, columns = (np.concatenate(part) for part in zip(*found, strict=True))
    return Prices(rows, columns, row_least, column_least)


def _reduced_costs(
    problem: Problem, u: np.ndarray, v: np.ndarray, blocks: list[slice], precision: type
) -> Iterator[np.ndarray]:
    """Blocks of rows of c - u - v, as one product of (-x, 1 - u, -1) and (y, 1, v)."""
    right = np.column_stack([problem.y, np.ones_like(v), v]).astype(precision).T
    for span in blocks:
        x, potential = problem.x[span], u[span]
        left = np.column_stack([-x, 1 - potential, -np.ones_like(potential)])
        yield left.astype(precision) @ right


def _smallest(
    matrix: np.ndarray, lines: np.ndarray, most: int, offset: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The smallest entries of some rows as (row + offset, column, value)."""
    part = np.ascontiguousarray(matrix[lines])
    most = min(most, part.shape[1])
    if most == 1:
        columns = part.argmin(axis=1)[:, None] if len(part) else np.empty((0, 1), np.int64)
    else:
        columns = np.argpartition(part, most - 1, axis=1)[:, :most]
    values = np.take_along_axis(part, columns, axis=1)
    return np.repeat(lines + offset, most), columns.ravel(), values.ravel()


def _first_of_each(lines: np.ndarray, values: np.ndarray, most: int) -> np.ndarray:
    """Indices of the ``most`` smallest values of each line."""
    order = np.lexsort((values, lines))
    ordered = lines[order]
    first = np.searchsorted(ordered, ordered)
    return order[np.arange(len(order)) - first < most]


def _spans(n: int, step: int) -> Iterator[slice]:
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


class _Arcs:
    """A growing set of arcs, each with its cost."""

    def __init__(self, problem: Problem):
        self._problem = problem
        self._codes = np.empty(0, dtype=np.int64)
        self._costs = np.empty(0)

    def add(self, rows: np.ndarray, columns: np.ndarray) -> bool:
        """Add arcs; whether any was new."""
        m = len(self._problem.b)
        new = np.setdiff1d(rows.astype(np.int64) * m + columns, self._codes)
        codes = np.concatenate([self._codes, new])
        costs = np.concatenate([self._costs, self._problem.costs(*np.divmod(new, m))])
        order = np.argsort(codes)
        self._codes, self._costs = codes[order], costs[order]
        return len(new) > 0

    def listed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns and costs."""
        return *np.divmod(self._codes, len(self._problem.b)), self._costs


def whole_masses(weights: np.ndarray) -> np.ndarray:
    """Masses rounded to whole multiples of ``_QUANTUM`` of their sum, at least one each.

    Returns
    -------
    ndarray of shape (n,), float64
        Whole numbers that sum to exactly 1 / ``_QUANTUM``; the largest takes what is left over.
    """
    total = 1 / _QUANTUM
    whole = np.maximum(np.rint(weights / weights.sum() * total), 1.0)
    whole[whole.argmax()] += total - whole.sum()
    return whole


def staircase(supply: np.ndarray, demand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arcs of the north-west corner plan: they make the restricted problem feasible."""
    ends = [np.cumsum(side) for side in (supply, demand)]
    starts = np.concatenate([[0.0], np.union1d(*ends)[:-1]])
    rows, columns = (np.searchsorted(side, starts, side="right") for side in ends)
    return rows, columns
