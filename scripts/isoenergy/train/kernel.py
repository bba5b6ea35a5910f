"""Choosing the atoms of matching pursuit on a CPU: one compiled pass per step and row.

The pass subtracts the last atom's share from a row's correlations and finds their new maximum while
both are in cache; torch needs a pass for each and writes the share out in between.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numba import njit

# Correlations are looked at in this many lanes, of which each keeps its own maximum: a loop over
# lanes has no order to keep, so that the compiler makes vector instructions of it.
LANES = 64
# Sums may be fused and reordered; nothing is assumed of infinities and NaN.
_FLOATS = {"contract", "reassoc", "nsz"}


@njit(cache=True, nogil=True, fastmath=_FLOATS)
def _subtract(correlations, share, value, maxima):
    """Take ``value * share`` off the correlations; ``maxima[l]`` is the largest of lane l."""
    whole = len(correlations) // LANES * LANES
    for lane in range(LANES):
        maxima[lane] = -np.inf
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            left = correlations[start + lane] - value * share[start + lane]
            correlations[start + lane] = left
            maxima[lane] = left if left > maxima[lane] else maxima[lane]
    for atom in range(whole, len(correlations)):
        left = correlations[atom] - value * share[atom]
        correlations[atom] = left
        maxima[atom - whole] = left if left > maxima[atom - whole] else maxima[atom - whole]


@njit(cache=True, nogil=True, fastmath=_FLOATS)
def _choose(correlations, gram, chosen):
    n_atoms = len(gram)
    maxima = np.zeros(LANES, correlations.dtype)
    for row in range(len(correlations)):
        atom, largest = 0, correlations.dtype.type(0)
        for step in range(chosen.shape[1]):
            _subtract(correlations[row], gram[atom], largest, maxima)
            largest = maxima[0]
            for lane in range(1, LANES):
                largest = maxima[lane] if maxima[lane] > largest else largest
            atom = n_atoms
            for lane in range(LANES):
                found = lane if maxima[lane] == largest else atom
                while found < atom and correlations[row, found] != largest:
                    found += LANES
                atom = min(atom, found)
            atom = atom if atom < n_atoms else 0  # nothing but NaN
            chosen[row, step] = atom


def choose_by_gram(
    correlations: np.ndarray, gram: np.ndarray, l0: int, threads: int = 1
) -> np.ndarray:
    """Atoms that matching pursuit picks, in order; ties go to the lowest index.

    Parameters
    ----------
    correlations : ndarray of shape (rows, K), float32 or float64
        Of each row with every atom; used up.
    gram : ndarray of shape (K, K)
        Products of the atoms with each other, of the same dtype.
    l0 : int
        Number of steps, at least 1.
    threads : int
        Rows are shared out among this many.

    Returns
    -------
    ndarray of shape (rows, l0), int64
        May repeat an atom within a row. What NaN leads to is not defined.
    """
    chosen = np.empty((len(correlations), l0), dtype=np.int64)
    edges = np.linspace(0, len(correlations), max(threads, 1) + 1).astype(int)
    parts = [slice(*edge) for edge in pairwise(edges)]
    if len(parts) == 1:
        _choose(correlations, gram, chosen)
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(lambda part: _choose(correlations[part], gram, chosen[part]), parts))
    return chosen
