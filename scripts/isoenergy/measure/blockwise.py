"""Matrices over pairs of atoms, made in blocks of rows and never held whole.

With K = 32,768 atoms one matrix of K x K takes 4.3 GB in float32, and its making may take as much
again. What is measured on such matrices (ranks, sums, norms) needs their entries once or
twice only, so that making them again is cheaper than keeping them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.sparse import csr_matrix

from isoenergy.encode.codes import BLOCK, CodeRows, row_blocks
from isoenergy.progress import Progress

# Entries of a block.
_BLOCK = 2**23
# Entries of a matrix that may be kept, once it is made: 128 MiB in float32.
_KEPT = 2**25


class BlockMatrix:
    """A square matrix whose rows are made on demand.

    Parameters
    ----------
    size : int
        K.
    make : callable
        Gives the rows of a slice as an ndarray of shape (rows, K). The same slice must give the
        same entries each time.
    block : int
        Entries of a block at most, but for a single row.
    name : str
        What it is, for messages of progress.
    keep : bool
        Make a matrix of at most 2^25 entries once, and keep it.
    """

    def __init__(
        self,
        size: int,
        make: Callable[[slice], np.ndarray],
        block: int = _BLOCK,
        name: str = "matrix",
        keep: bool = False,
    ):
        self.size = size
        self._make, self._name = make, name
        self._step = max(block // size, 1)
        self._ranked: dict[float, float] = {}
        self._kept: list[tuple[slice, np.ndarray]] | None = None
        self._keep = keep and size * size <= _KEPT

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Consecutive blocks of rows as (which rows, their entries), for reading alone."""
        if self._keep and self._kept is None:
            self._kept = list(self._made())
        yield from self._made() if self._kept is None else self._kept

    def _made(self) -> Iterator[tuple[slice, np.ndarray]]:
        if self._step >= self.size:
            yield slice(0, self.size), self._make(slice(0, self.size))
            return
        with Progress(f"a pass over {self._name}", self.size, "rows") as progress:
            for start in range(0, self.size, self._step):
                rows = slice(start, min(start + self._step, self.size))
                yield rows, self._make(rows)
                progress.step(rows.stop - rows.start)

    def at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Single entries, the very ones that the blocks have: ndarray of the shape of ``rows``."""
        found = np.empty(len(rows))
        for span, entries in self.blocks():
            inside = (rows >= span.start) & (rows < span.stop)
            found[inside] = entries[rows[inside] - span.start, columns[inside]]
        return found

    def dense(self) -> np.ndarray:
        """The whole matrix, for small K."""
        return np.concatenate([entries for _, entries in self.blocks()])

    def kth_smallest(self, share: float) -> float:
        """The k-th smallest of all K^2 signed entries as float32, k = int(share K^2), at least 1.

        The rank that the authors' code takes (X7): an entry of the matrix, nothing between two.
        Float32 numbers are ordered as their bits are, so two passes find it exactly: one counts the
        upper half of the bits, one the lower half where the upper one is that of the wanted rank.

        Parameters
        ----------
        share : float
            In [0, 1].
        """
        if share not in self._ranked:
            self._ranked[share] = self._find(max(int(share * self.size**2), 1))
        return self._ranked[share]

    def _find(self, k: int) -> float:
        upper, lower = np.zeros((2, 2**16), dtype=np.int64)
        for _, entries in self.blocks():
            upper += np.bincount(_keys(entries) >> 16, minlength=2**16)
        ends = np.cumsum(upper)
        prefix = int(np.searchsorted(ends, k))
        for _, entries in self.blocks():
            keys = _keys(entries)
            lower += np.bincount(keys[keys >> 16 == prefix] & 0xFFFF, minlength=2**16)
        rest = k - (ends[prefix] - upper[prefix])
        return _value(prefix << 16 | int(np.searchsorted(np.cumsum(lower), rest)))


def _keys(entries: np.ndarray) -> np.ndarray:
    """Unsigned integers in the order of the entries as float32."""
    bits = np.ascontiguousarray(entries, dtype=np.float32).view(np.uint32).ravel()
    # Negative numbers count down from the middle, positive ones up.
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _value(key: int) -> float:
    bits = np.uint32(key & 0x7FFFFFFF if key >> 31 else ~key & 0xFFFFFFFF)
    return float(bits.view(np.float32))


def atom_cosines(dictionary: np.ndarray) -> BlockMatrix:
    """D D^T of unit-norm atoms, in the dictionary's precision."""
    return BlockMatrix(
        len(dictionary), lambda rows: dictionary[rows] @ dictionary.T, name="D D^T", keep=True
    )


def cross_covariance(image: CodeRows, text: CodeRows) -> BlockMatrix:
    """Sigma = mean over pairs of z_I z_T^T, uncentred, float32 (paper Eq. 6).

    Parameters
    ----------
    image, text : CodeRows of shape (n, K)
        Read once for each block of rows of Sigma, and once for all where K is small.
    """
    blocks = _Blocks(lambda rows: (image[rows], text[rows].astype(np.float64)), image, text)

    def make(rows: slice) -> np.ndarray:
        return (_products([blocks], rows) / image.shape[0]).astype(np.float32)

    return BlockMatrix(image.shape[1], make, name="Sigma", keep=True)


class _Blocks:
    """Pairs of sparse matrices made of consecutive rows of codes; kept where there is but one.

    Parameters
    ----------
    make : callable
        Gives the pair of a slice of rows.
    codes : CodeRows of shape (n, K)
        What is cut, see :func:`isoenergy.encode.codes.row_blocks`.
    """

    def __init__(
        self, make: Callable[[slice], tuple[csr_matrix, csr_matrix]], *codes: CodeRows
    ) -> None:
        self._make, self._codes = make, codes
        self._only: tuple[csr_matrix, csr_matrix] | None = None

    def __iter__(self) -> Iterator[tuple[csr_matrix, csr_matrix]]:
        if self._only is not None:
            yield self._only
            return
        # A share of what the product takes, so that it is seldom added up.
        entries = max(BLOCK, self._codes[0].shape[1] ** 2 // 16)
        for rows in row_blocks(*self._codes, entries=entries):
            block = self._make(rows)
            if rows == slice(0, self._codes[0].shape[0]):
                self._only = block
            yield block


def _products(sides: Sequence[_Blocks], rows: slice) -> np.ndarray:
    """Rows of the sum of left^T right over all blocks: ndarray of shape (rows, K), float64.

    Summed in float64, as an entry may add up hundreds of thousands of products.
    """
    total = None
    for left, right in itertools.chain(*sides):
        if total is None:
            total = np.zeros((rows.stop - rows.start, right.shape[1]))
        part = left[:, rows].astype(np.float64).T.tocsr() @ right
        for row in np.flatnonzero(np.diff(part.indptr)):
            entries = slice(part.indptr[row], part.indptr[row + 1])
            total[row, part.indices[entries]] += part.data[entries]
    return total


def unit_codes(codes: csr_matrix) -> csr_matrix:
    """Codes scaled to unit length, float64; a code without any non-zero stays as it is."""
    wide = codes.astype(np.float64)
    squares = csr_matrix((np.square(wide.data), wide.indices, wide.indptr), shape=wide.shape)
    norms = np.sqrt(np.asarray(squares.sum(axis=1)).ravel())
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    wide.data *= np.repeat(scale, np.diff(wide.indptr))
    return wide


def code_gram(*sides: CodeRows) -> BlockMatrix:
    """G: mean of z z^T over the codes of all sides, scaled to unit length, float64.

    Symmetric and positive semi-definite; its trace is the share of codes that are not zero.

    Parameters
    ----------
    sides : CodeRows of shape (n_j, K)
        Read once for each block of rows of G.
    """
    n = sum(side.shape[0] for side in sides)
    blocks = [
        _Blocks(lambda rows, side=side: (unit_codes(side[rows]),) * 2, side) for side in sides
    ]
    return BlockMatrix(sides[0].shape[1], lambda rows: _products(blocks, rows) / n, name="G")


def multiply_gram(sides: Sequence[CodeRows], vectors: np.ndarray) -> np.ndarray:
    """Product of G of :func:`code_gram` with ndarray of shape (K,) or (K, m), without making it."""
    total = np.zeros(vectors.shape)
    for side in sides:
        for span in row_blocks(side):
            codes = unit_codes(side[span])
            total += codes.T @ (codes @ vectors)
    return total / sum(side.shape[0] for side in sides)
