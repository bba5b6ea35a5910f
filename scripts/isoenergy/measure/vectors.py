"""Sets of vectors that may be larger than memory: rows are made or read when asked for.

What grows with a store is never whole in memory, but for its row ids and other metadata, labels and
known factors among them, and for sets of edits (:mod:`isoenergy.measure.composed`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

# Rows at a time where all are looked at, and up to how many rows are drawn by permuting them all.
_BLOCK = 16_384
_PERMUTED = 2**22


class Vectors(Protocol):
    """What metrics take: an ndarray of shape (n, dim), or anything that gives rows as one does.

    Rows of an embedding store (:class:`isoenergy.embed.rows.Rows`), reconstructions
    (:class:`isoenergy.measure.reconstruction.Reconstructions`), and :class:`Changed` ones.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, dim)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray: ...


class Changed:
    """Vectors of which each is changed by itself, when it is asked for.

    Parameters
    ----------
    vectors : Vectors of shape (n, dim)
    change : callable
        Takes and gives rows of width dim; what it makes of a row depends on that row alone.
    """

    def __init__(self, vectors: Vectors, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self._vectors, self._change = vectors, change
        self.shape = vectors.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self._change(self._vectors[rows])


def blocks(vectors: Vectors, size: int = _BLOCK) -> Iterator[np.ndarray]:
    """Consecutive rows, ``size`` at a time."""
    for start in range(0, len(vectors), size):
        yield vectors[start : start + size]


def mean_vector(vectors: Vectors) -> np.ndarray:
    """Mean of all rows, ndarray of shape (dim,), summed in float64."""
    total = np.zeros(vectors.shape[1])
    for rows in blocks(vectors):
        total += rows.sum(axis=0, dtype=np.float64)
    return total / len(vectors)


def draw_rows(n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """``size`` different rows of ``n``, or all of them if there are fewer, in random order.

    Memory is that of ``size`` rows, or of 2^22.
    """
    if n <= max(_PERMUTED, 2 * size):
        return rng.permutation(n)[: min(size, n)]
    found = np.empty(0, dtype=np.int64)
    while len(found) < size:
        found = np.concatenate([found, rng.integers(0, n, size)])
        # The first of equal ones stays where it is, so that the order remains random.
        found = found[np.sort(np.unique(found, return_index=True)[1])]
    return found[:size]
