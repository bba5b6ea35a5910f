"""Rows of embeddings: memory-mapped, read as float32, and refused where they are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from isoenergy.errors import InputError

# A unit row stored in float16 is off by up to about 1e-3.
NORM_TOLERANCE = 5e-3
_BLOCK = 65_536
# Rows at a time where a store is checked: few, as each takes several arrays of their size.
_CHECKED = 4096
_SCALE = "set normalise: true in the config, or pass --config normalise=true, to scale them"


class Rows:
    """Rows of one modality, memory-mapped over its parts and read as float32.

    Parameters
    ----------
    parts : sequence of ndarray of shape (rows_j, dim)
    normalise : bool
        Scale every row read to unit length.
    where : str
        The file or folder they are from, for messages.
    """

    def __init__(
        self, parts: Sequence[np.ndarray], normalise: bool = False, where: str = ""
    ) -> None:
        self._parts = list(parts)
        self._normalise = normalise
        self.where = where
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self.shape = (int(self._starts[-1]), int(parts[0].shape[1]))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def name(self) -> str:
        """Last part of where they are from."""
        return Path(self.where).name

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Rows as ndarray of shape (n, dim), float32, in the order asked for.

        ``rows`` is a slice, a boolean mask or row numbers from 0.
        """
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._read(start, max(start, stop))
            rows = np.arange(start, stop, step)
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        values = np.empty((len(rows), self.shape[1]), dtype=np.float32)
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        for index in np.unique(owner):
            inside = owner == index
            values[inside] = self._parts[index][rows[inside] - self._starts[index]]
        return self._scaled(values)

    def _read(self, start: int, stop: int) -> np.ndarray:
        """Consecutive rows, copied once."""
        values = np.empty((stop - start, self.shape[1]), dtype=np.float32)
        for part, first in zip(self._parts, self._starts[:-1], strict=True):
            inside = part[max(start - first, 0) : max(stop - first, 0)]
            at = max(first - start, 0)
            values[at : at + len(inside)] = inside
        return self._scaled(values)

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        if self._normalise:
            norms = np.linalg.norm(values, axis=1, keepdims=True)
            np.divide(values, norms, out=values, where=(norms > 0) & np.isfinite(norms))
        return values

    @property
    def nbytes(self) -> int:
        """Bytes of all parts as they are stored."""
        return sum(part.nbytes for part in self._parts)

    def in_memory(self) -> Rows:
        """The same rows, in memory as they are stored."""
        return Rows([np.array(part) for part in self._parts], self._normalise, self.where)

    def blocks(self, size: int = _BLOCK) -> Iterator[tuple[int, np.ndarray]]:
        """Consecutive blocks as (first row, float32 array)."""
        for start in range(0, len(self), size):
            yield start, self[slice(start, start + size)]


def check_array(where: str, array: np.ndarray, mend: str) -> None:
    """Refuse what is no array of shape (pairs, width) of float16 or float32.

    ``where`` names it, and ``mend`` says what the one who made it can do.
    """
    if array.ndim != 2 or array.dtype not in (np.float16, np.float32):
        fix = "with .astype('float32')" if array.ndim == 2 else "with a row for each pair"
        raise InputError(
            f"{where} has shape {array.shape} and type {array.dtype}; allowed are rows of "
            f"float16 or float32, an array of shape (pairs, width); {mend} {fix}"
        )


def check_rows(rows: Rows, blocks: int | None = None, scale: str = _SCALE) -> None:
    """Refuse rows that are not finite or not of unit norm, of all or of so many blocks.

    ``scale`` says how rows are scaled.
    """
    where = rows.where
    for start, values in islice(rows.blocks(_CHECKED), blocks):
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise InputError(
                f"{where}: row {row} holds NaN or infinity; drop the pair or embed it again"
            )
        norms = np.linalg.norm(values, axis=1)
        off = np.abs(norms - 1) > NORM_TOLERANCE
        if off.any():
            row = int(np.argmax(off))
            kind = "is all zero" if norms[row] == 0 else f"has norm {norms[row]:.4g}"
            fix = (
                "drop the pair or embed it again"
                if norms[row] == 0
                else f"rows have unit norm; {scale}"
            )
            raise InputError(f"{where}: row {start + row} {kind}; {fix}")
