"""How well and how sparsely codes rebuild the embeddings (paper E.2.1, SPEC 4 and X5)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from isoenergy.encode.codes import CodeRows, StoredCodes, row_blocks
from isoenergy.measure.metric import why_not_finite
from isoenergy.measure.vectors import Vectors, mean_vector

BATCH = 512
# Rows at a time.
_BLOCK = 8 * BATCH
_EPSILON = 1e-6
_ROUNDING = 1e-12


def reconstruct(
    codes: CodeRows, dictionary: np.ndarray, kept: np.ndarray | None = None
) -> np.ndarray:
    """Reconstructions Z D, or (Z * delta) D when ``kept`` masks atoms.

    Parameters
    ----------
    codes : CodeRows of shape (n, K)
    dictionary : ndarray of shape (K, dim)
    kept : ndarray of shape (K,), bool, optional
        Atoms to keep.

    Returns
    -------
    ndarray of shape (n, dim), float32
        Not normalised.
    """
    if isinstance(codes, StoredCodes):
        codes = codes[:]
    if kept is not None:
        dictionary = dictionary * kept[:, None]
    return np.asarray(codes @ dictionary.astype(np.float32, copy=False), dtype=np.float32)


def zero_share(codes: CodeRows, kept: np.ndarray | None = None) -> float:
    """Share of codes whose reconstruction is 0 for want of any entry, in [0, 1].

    Parameters
    ----------
    codes : CodeRows of shape (n, K)
    kept : ndarray of shape (K,), bool, optional
        Atoms to keep; all by default.
    """
    zero = 0
    for rows in row_blocks(codes):
        block = codes[rows]
        used = block.data != 0
        if kept is not None:
            used &= kept[block.indices]
        counted = np.concatenate([[0], np.cumsum(used)])
        zero += int(np.count_nonzero(np.diff(counted[block.indptr]) == 0))
    return zero / codes.shape[0]


class Reconstructions:
    """Reconstructions of a whole set, :class:`isoenergy.measure.vectors.Vectors` of shape (n, dim).

    Rows are made when asked for, see :func:`reconstruct`.

    Parameters
    ----------
    codes : CodeRows of shape (n, K)
    dictionary : ndarray of shape (K, dim)
    kept : ndarray of shape (K,), bool, optional
        Atoms to keep.
    """

    def __init__(
        self, codes: CodeRows, dictionary: np.ndarray, kept: np.ndarray | None = None
    ) -> None:
        self._codes = codes
        self._dictionary = dictionary if kept is None else dictionary * kept[:, None]
        self.shape = (codes.shape[0], dictionary.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return reconstruct(self._codes[rows], self._dictionary)


class Errors:
    """Squared errors and explained variance of one modality, added up block by block.

    Parameters
    ----------
    mean : ndarray of shape (dim,)
        Mean row.
    """

    def __init__(self, mean: np.ndarray) -> None:
        self._mean = mean
        self._rows = 0
        self._by_batch = self._by_row = self._errors = self._spreads = 0.0

    def add(self, rows: np.ndarray, rebuilt: np.ndarray) -> None:
        """Add rows and their reconstructions, consecutive ones and a multiple of 512 but at last.

        Parameters
        ----------
        rows, rebuilt : ndarray of shape (n, dim)
        """
        for start in range(0, len(rows), BATCH):
            x = rows[start : start + BATCH].astype(np.float64)
            squares = np.square(x - rebuilt[start : start + BATCH])
            spread = np.square(x - x.mean()).mean() + _EPSILON
            self._by_batch += len(x) * (1 - squares.mean() / spread)
            error_rows, spread_rows = squares.sum(1), np.square(x - self._mean).sum(1)
            with np.errstate(over="ignore"):
                explained = 1 - error_rows / np.maximum(spread_rows, np.finfo(float).tiny)
                self._by_row += explained.sum()
            self._errors += squares.sum()
            self._spreads += spread_rows.sum()
            self._rows += len(x)

    def mean_squared(self) -> float:
        """Mean over rows of the squared distance to the reconstruction, summed over dimensions."""
        return float(self._errors / self._rows)

    def r_squared(self) -> dict[str, float]:
        """Explained variance under three protocols (SPEC X5).

        Returns
        -------
        dict of str to float, each at most 1
            ``code``: 1 - mean((x - x^)^2) / (mean((x - m)^2) + 1e-6) with m one scalar mean over a
            batch of 512 and all its coordinates; mean over batches weighted by their rows.
            ``paper``: mean over rows of 1 - |x - x^|^2 / |x - mean row|^2 (the paper prints the
            fraction upside down). ``dimension``: 1 - sum |x - x^|^2 / sum |x - mean row|^2. The
            last two are NaN where all rows are the same, as a single one is: there is nothing to
            explain.
        """
        by_row, errors = self._by_row, self._errors
        # Float32 rows that are the same differ from their mean by rounding alone.
        if self._spreads <= _ROUNDING * self._rows * np.square(self._mean).sum():
            by_row = errors = float("nan")
        return {
            "code": self._by_batch / self._rows,
            "paper": by_row / self._rows,
            "dimension": 1 - errors / max(self._spreads, np.finfo(float).tiny),
        }


def unexplained(r2: Mapping[str, float]) -> str:
    """Why R² is not finite, for a note; empty where it is.

    Parameters
    ----------
    r2 : mapping of str to float
        By protocol, of one modality or the mean over both.
    """
    same = "all images, or all texts, are the same, so that there is nothing to explain"
    return why_not_finite(r2, same, "a row that is its modality's mean has an error")


def reconstruction_errors(rows: Vectors, codes: CodeRows, dictionary: np.ndarray) -> Errors:
    """Errors of one modality, from one pass for the mean row and one for all else.

    Parameters
    ----------
    rows : Vectors of shape (n, dim)
    codes : CodeRows of shape (n, K)
    dictionary : ndarray of shape (K, dim)
    """
    errors = Errors(mean_vector(rows))
    for start in range(0, len(rows), _BLOCK):
        span = slice(start, start + _BLOCK)
        errors.add(rows[span], reconstruct(codes[span], dictionary))
    return errors


def l0(codes: CodeRows) -> float:
    """Mean number of non-zeros per code."""
    return codes.nnz / codes.shape[0]


def l1(codes: CodeRows) -> float:
    """Mean sum of absolute values per code."""
    total = sum(np.abs(codes[rows].data.astype(np.float64)).sum() for rows in row_blocks(codes))
    return float(total / codes.shape[0])
