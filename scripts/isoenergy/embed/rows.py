"""Rows of embeddings: memory-mapped, read as float32, and refused where they are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from isoenergy.errors import InputError

# A unit row stored in float16 is off by up to about 1e-3.
NORM_TOLERANCE = 5e-3
_BLOCK = 65_536
# Rows at a time where a store is checked: few, as each takes several arrays of their size.
CHECKED = 4096
# Types that are no numbers to compute with, by numpy's letters for them.
_KINDS = {
    "c": "complex numbers",
    "O": "objects",
    "V": "records and raw bytes",
    "U": "texts",
    "S": "bytes",
    "M": "dates",
    "m": "times",
}
SCALE = "set normalise: true in the config, or pass --config normalise=true, to scale them"


class Rows:
    """Rows of one modality, memory-mapped over its parts and read as float32.

    Parameters
    ----------
    parts : sequence of ndarray of shape (rows_j, dim)
        Of any floating-point types and byte orders.
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
        with np.errstate(over="ignore"):  # float64 beyond float32 is infinite, which is refused
            for index in np.unique(owner):
                inside = owner == index
                values[inside] = self._parts[index][rows[inside] - self._starts[index]]
        return self._scaled(values)

    def _read(self, start: int, stop: int) -> np.ndarray:
        """Consecutive rows, copied once."""
        values = np.empty((stop - start, self.shape[1]), dtype=np.float32)
        with np.errstate(over="ignore"):
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

    @property
    def lengths(self) -> list[int]:
        """Rows of every part."""
        return [len(part) for part in self._parts]

    @property
    def cast(self) -> list[str]:
        """Types of parts that are stored otherwise than as this machine's float16 or float32."""
        types = dict.fromkeys(part.dtype for part in self._parts)
        return [_named(kind) for kind in types if kind not in (np.float16, np.float32)]

    def in_memory(self) -> Rows:
        """The same rows, in memory as they are stored."""
        return Rows([np.array(part) for part in self._parts], self._normalise, self.where)

    def blocks(self, size: int = _BLOCK) -> Iterator[tuple[int, np.ndarray]]:
        """Consecutive blocks as (first row, float32 array)."""
        for start in range(0, len(self), size):
            yield start, self[slice(start, start + size)]


def check_array(where: str, array: np.ndarray, mend: str) -> None:
    """Refuse what is no array of shape (pairs, width) of floating-point numbers.

    Parameters
    ----------
    where : str
        Names it, for messages.
    array : ndarray
    mend : str
        What the one who made it can do, e.g. ``"save it again"``.

    Raises
    ------
    InputError
        Also for what would become numbers by a cast alone, but no embeddings: whole numbers, the
        bits of bfloat16 among them, and raw bytes.
    """
    kind, size = array.dtype.kind, array.dtype.itemsize
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(
            f"{where} has shape {array.shape} and type {array.dtype}; allowed are rows of "
            f"float16, float32 or float64, an array of shape (pairs, width); {mend} with a row "
            "for each pair"
        )
    if kind == "f":
        return
    if array.dtype.name == "bfloat16":
        told = f"bfloat16 is not read; {mend} with .astype('float32')"
    elif size == 2 and (kind in "iu" or (kind == "V" and array.dtype.names is None)):
        bits = "x.view('uint16')" if kind == "V" else "x.astype('uint16')"
        told = (
            f"these are no embeddings; if they are the bits of bfloat16, {mend} as "
            f"({bits}.astype('uint32') << 16).view('float32'), and if those of float16, as "
            f"{bits}.view('float16')"
        )
    elif kind in "iub":
        told = (
            "whole numbers are no embeddings, nor does a cast make them any; if they are "
            f"quantised, {mend} as float32 with scale and offset undone"
        )
    else:
        told = f"{_KINDS.get(kind, 'these')} are no embeddings; {mend} as float32"
    raise InputError(
        f"{where} has shape {array.shape} and type {array.dtype}; allowed are rows of float16, "
        f"float32 or float64, and {told}"
    )


def check_rows(rows: Rows, scale: str = SCALE) -> None:
    """Refuse rows that are not finite or not of unit norm; ``scale`` says how rows are scaled."""
    for start, values in rows.blocks(CHECKED):
        check_values(rows.where, start, values, scale)


def check_values(where: str, start: int, values: np.ndarray, scale: str = SCALE) -> None:
    """Refuse a block of rows that are not finite or not of unit norm.

    Parameters
    ----------
    where : str
        What they are rows of, for messages.
    start : int
        Number of the first one.
    values : ndarray of shape (n, dim), float32
    scale : str
        How rows are scaled.
    """
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        row = start + int(np.argmin(finite))
        raise InputError(
            f"{where}: row {row} holds NaN or infinity; drop the pair or embed it again"
        )
    norms = np.linalg.norm(values, axis=1)
    off = ~_unit(norms)
    if off.any():
        if start == 0 and _unit(np.linalg.norm(values, axis=0)).all():
            raise InputError(
                f"{where}: columns have unit norm in the place of rows; save the transposed array"
            )
        row = int(np.argmax(off))
        kind = "is all zero" if norms[row] == 0 else f"has norm {norms[row]:.4g}"
        fix = (
            "drop the pair or embed it again"
            if norms[row] == 0
            else f"rows have unit norm; {scale}"
        )
        raise InputError(f"{where}: row {start + row} {kind}; {fix}")


def _unit(norms: np.ndarray) -> np.ndarray:
    return np.abs(norms - 1) <= NORM_TOLERANCE


def _named(kind: np.dtype) -> str:
    """A type as readers know it, such as float64, with its byte order where it is not native."""
    order = "" if kind.isnative else f" ({'big' if kind.str[0] == '>' else 'little'}-endian)"
    return f"{kind.newbyteorder('=').name}{order}"
