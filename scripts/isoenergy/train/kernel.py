"""Choosing the atoms of matching pursuit on a CPU: one compiled pass per step and row.

The pass subtracts the last atom's share from a row's correlations and finds their new maximum while
both are in cache; torch needs a pass for each and writes the share out in between. Rows of the Gram
matrix are needed of chosen atoms alone, and each once however many rows chose it: they are computed
when asked for, many by one matrix product, as every row goes on until its next one is missing.
With large dictionaries these products are nearly all of the time. oneDNN has them where it can
(``isoenergy.onednn``): on AMD's processors it takes half of MKL's time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from numba import njit
from torch import Tensor

from isoenergy.onednn import PackedMatrix, has_onednn

# Correlations are looked at in this many lanes, of which each keeps its own maximum: a loop over
# lanes has no order to keep, so that the compiler makes vector instructions of it.
LANES = 64
# Bytes that correlations and Gram rows may take together, a quarter of it correlations.
MEMORY = 4 << 30
# Sums may be fused and reordered; nothing is assumed of infinities and NaN.
_FLOATS = {"contract", "reassoc", "nsz"}


def share_out(work: Callable[[slice], None], n: int, threads: int) -> None:
    """Call ``work`` with as many parts of ``range(n)`` as there are threads, side by side."""
    edges = np.linspace(0, n, max(threads, 1) + 1).astype(int)
    parts = [slice(*edge) for edge in pairwise(edges)]
    if len(parts) == 1:
        work(parts[0])
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(work, parts))


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
def _advance(correlations, gram, places, chosen, done, largest):
    """Go on with every row until it has all its atoms or the Gram row of its last one is missing.

    ``places[atom]`` is where ``gram`` holds the atom, -1 where it does not; ``done`` counts the
    atoms that a row has, of which ``largest`` is the coefficient of the last.
    """
    n_atoms = correlations.shape[1]
    maxima = np.zeros(LANES, correlations.dtype)
    for row in range(len(correlations)):
        while done[row] < chosen.shape[1]:
            place = places[chosen[row, done[row] - 1]] if done[row] else 0
            if place < 0:
                break
            _subtract(correlations[row], gram[place], largest[row], maxima)
            top = maxima[0]
            for lane in range(1, LANES):
                top = maxima[lane] if maxima[lane] > top else top
            atom = n_atoms
            for lane in range(LANES):
                found = lane if maxima[lane] == top else atom
                while found < atom and correlations[row, found] != top:
                    found += LANES
                atom = min(atom, found)
            chosen[row, done[row]] = atom if atom < n_atoms else 0  # nothing but NaN
            largest[row] = top
            done[row] += 1


class _Products:
    """Products of rows with every atom of a dictionary."""

    def __init__(self, dictionary: Tensor) -> None:
        self.dictionary = dictionary
        packed = dictionary.dtype == torch.float32 and has_onednn()
        self.packed = PackedMatrix(dictionary) if packed else None

    def write(self, rows: Tensor, out: Tensor) -> None:
        """Leave ``rows @ dictionary.T`` in ``out``."""
        if self.packed is None:
            torch.mm(rows, self.dictionary.T, out=out)
        else:
            self.packed.write(rows, out)


class _Rows:
    """Rows that are being pursued, shared out among threads."""

    def __init__(self, correlations: np.ndarray, l0: int, threads: int) -> None:
        n = len(correlations)
        self.correlations = correlations
        self.chosen = np.zeros((n, l0), dtype=np.int64)
        self.done = np.zeros(n, dtype=np.int64)
        # The first step subtracts 0 of whatever Gram row comes first, which must be finite.
        self.largest = np.zeros(n, dtype=correlations.dtype)
        self.threads = threads

    def advance(self, gram: np.ndarray, places: np.ndarray) -> None:
        def work(part: slice) -> None:
            rows = (self.chosen[part], self.done[part], self.largest[part])
            _advance(self.correlations[part], gram, places, *rows)

        share_out(work, len(self.done), self.threads)

    def missing(self) -> np.ndarray:
        """Atoms whose Gram rows unfinished rows wait for, ascending."""
        waiting = np.flatnonzero(self.done < self.chosen.shape[1])
        return np.unique(self.chosen[waiting, self.done[waiting] - 1])


@torch.no_grad()
def choose_by_gram(correlations: Tensor, gram: Tensor, l0: int, threads: int = 1) -> Tensor:
    """Atoms that matching pursuit picks, from a Gram matrix that is there already.

    Parameters
    ----------
    correlations : Tensor of shape (rows, K), float32 or float64
        Of the rows with every atom; used up.
    gram : Tensor of shape (K, K)
    l0, threads
        As for :func:`choose_lazily`.

    Returns
    -------
    Tensor of shape (rows, l0), int64
        As :func:`choose_lazily`.
    """
    rows = _Rows(correlations.numpy(), l0, threads)
    rows.advance(gram.numpy(), np.arange(len(gram)))
    return torch.from_numpy(rows.chosen)


@torch.no_grad()
def choose_lazily(
    x: Tensor, dictionary: Tensor, l0: int, threads: int = 1, limit: int = MEMORY
) -> Tensor:
    """Atoms that matching pursuit picks, in order; ties go to the lowest index.

    Gram rows are made of chosen atoms alone.

    Parameters
    ----------
    x : Tensor of shape (rows, dim), float32 or float64
    dictionary : Tensor of shape (K, dim)
        Unit-norm rows.
    l0 : int
        Number of steps, at least 1.
    threads : int
        Rows are shared out among this many.
    limit : int
        Bytes for correlations and Gram rows together. Where Gram rows do not fit they are
        forgotten and, if asked for again, computed again; where correlations do not, rows are
        taken in blocks.

    Returns
    -------
    Tensor of shape (rows, l0), int64
        May repeat an atom within a row. What NaN leads to is not defined.
    """
    n_atoms = len(dictionary)
    row_bytes = n_atoms * x.element_size()
    size = min(max(len(x), 1), max(limit // (4 * row_bytes), 1))
    blocks = x.split(size)
    kept = min(n_atoms, size * l0, max(limit // row_bytes - size, 1))
    # One buffer for all blocks; what is never written to takes no memory.
    buffer = x.new_empty(kept, n_atoms)
    buffer[0] = 0
    places = np.full(n_atoms, -1)
    products = _Products(dictionary)
    chosen, used = [], 0
    for block in blocks:
        correlations = x.new_empty(len(block), n_atoms)
        products.write(block, correlations)
        rows = _Rows(correlations.numpy(), l0, threads)
        rows.advance(buffer.numpy(), places)
        while len(wanted := rows.missing()):
            if used + len(wanted) > kept:
                places[:], used = -1, 0
            wanted = wanted[: kept - used]
            new = slice(used, used + len(wanted))
            products.write(dictionary[torch.from_numpy(wanted)], buffer[new])
            places[wanted] = np.arange(used, used + len(wanted))
            used += len(wanted)
            rows.advance(buffer.numpy(), places)
        chosen.append(torch.from_numpy(rows.chosen))
    return torch.cat(chosen)
