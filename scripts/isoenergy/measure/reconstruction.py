"""How well and how sparsely codes rebuild the embeddings (paper E.2.1, SPEC 4 and X5)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_matrix

from isoenergy.embed.store import Rows

BATCH = 512
_EPSILON = 1e-6
_ROUNDING = 1e-12


def reconstruct(
    codes: csr_matrix, dictionary: np.ndarray, kept: np.ndarray | None = None
) -> np.ndarray:
    """Reconstructions Z D, or (Z * delta) D when ``kept`` masks atoms.

    Parameters
    ----------
    codes : csr_matrix of shape (n, K)
    dictionary : ndarray of shape (K, dim)
    kept : ndarray of shape (K,), bool, optional
        Atoms to keep.

    Returns
    -------
    ndarray of shape (n, dim), float32
        Not normalised.
    """
    if kept is not None:
        dictionary = dictionary * kept[:, None]
    return np.asarray(codes @ dictionary.astype(np.float32, copy=False), dtype=np.float32)


def _batches(
    rows: Rows, codes: csr_matrix, dictionary: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Consecutive batches of 512 as (x, x - reconstruction), float64."""
    for start, block in rows.blocks(BATCH * 32):
        x = block.astype(np.float64)
        error = x - reconstruct(codes[start : start + len(x)], dictionary)
        for first in range(0, len(x), BATCH):
            yield x[first : first + BATCH], error[first : first + BATCH]


def mean_squared_error(rows: Rows, codes: csr_matrix, dictionary: np.ndarray) -> float:
    """Mean over rows of the squared distance to the reconstruction (summed over dimensions)."""
    total = sum(np.square(error).sum() for _, error in _batches(rows, codes, dictionary))
    return float(total / len(rows))


def r_squared(rows: Rows, codes: csr_matrix, dictionary: np.ndarray) -> dict[str, float]:
    """Explained variance of one modality, under three protocols (SPEC X5).

    Returns
    -------
    dict of str to float, each at most 1
        ``code``: 1 - mean((x - x^)^2) / (mean((x - m)^2) + 1e-6) with m one scalar mean over a
        batch of 512 and all its coordinates; mean over batches weighted by their rows.
        ``paper``: mean over rows of 1 - |x - x^|^2 / |x - mean row|^2 (the paper prints the
        fraction upside down). ``dimension``: 1 - sum |x - x^|^2 / sum |x - mean row|^2. The last
        two are NaN where all rows are the same, as a single one is: there is nothing to explain.
    """
    mean = np.zeros(rows.shape[1])
    for _, block in rows.blocks():
        mean += block.sum(axis=0, dtype=np.float64)
    mean /= len(rows)
    by_batch = by_row = errors = spreads = 0.0
    for x, error in _batches(rows, codes, dictionary):
        by_batch += len(x) * (
            1 - np.square(error).mean() / (np.square(x - x.mean()).mean() + _EPSILON)
        )
        error_rows, spread_rows = np.square(error).sum(1), np.square(x - mean).sum(1)
        with np.errstate(over="ignore"):
            by_row += (1 - error_rows / np.maximum(spread_rows, np.finfo(float).tiny)).sum()
        errors += error_rows.sum()
        spreads += spread_rows.sum()
    # Float32 rows that are the same differ from their mean by rounding alone.
    if spreads <= _ROUNDING * len(rows) * np.square(mean).sum():
        by_row = errors = float("nan")
    return {
        "code": by_batch / len(rows),
        "paper": by_row / len(rows),
        "dimension": 1 - errors / max(spreads, np.finfo(float).tiny),
    }


def l0(codes: csr_matrix) -> float:
    """Mean number of non-zeros per code."""
    return codes.nnz / codes.shape[0]


def l1(codes: csr_matrix) -> float:
    """Mean sum of absolute values per code."""
    return float(np.abs(np.asarray(codes.data, dtype=np.float64)).sum() / codes.shape[0])
