"""Structure of the dictionary and of the codes (paper E.2.1, SPEC 4, X19 and X20)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isoenergy.encode.codes import CodeRows
from isoenergy.measure.blockwise import BlockMatrix, atom_cosines, code_gram, multiply_gram
from isoenergy.measure.spectrum import UpperTriangle, estimate_spectrum

# Up to so many atoms all eigenvalues are found: 0.5 GB a matrix, a minute or two on one core.
LARGEST_DENSE = 8192
# A singular or eigenvalue below this share of the largest counts as 0.
_ROUNDING = 1e-12
# From so many atoms on an iteration finds a largest eigenvalue faster than a decomposition.
_FEWEST = 64


def stable_rank(singular: np.ndarray) -> float:
    """Sum of squared singular values over the largest squared, in [1, rank]; NaN for zeros."""
    top = singular.max(initial=0.0)
    return float(np.square(singular / top).sum()) if top > 0 else float("nan")


def effective_rank(weights: np.ndarray) -> float:
    """Exp of the entropy of non-negative weights scaled to sum to 1, in [1, rank]; NaN for zeros.

    For a dictionary the weights are its singular values; for codes the eigenvalues of their Gram
    matrix, which are squared singular values (SPEC 4).
    """
    live = weights[weights > _ROUNDING * weights.max(initial=0.0)]
    if live.size == 0:
        return float("nan")
    share = live / live.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def dictionary_ranks(dictionary: np.ndarray, energy: np.ndarray) -> dict[str, float]:
    """Ranks of the dictionary as it is, and with each atom weighted by its energy.

    Parameters
    ----------
    dictionary : ndarray of shape (K, dim)
    energy : ndarray of shape (K,)
        E; atoms are multiplied by it, not by its root, as in the authors' code.

    Returns
    -------
    dict of str to float
        ``stable``, ``effective``, ``stable_weighted``, ``effective_weighted``.
    """
    plain = np.linalg.svd(dictionary.astype(np.float64), compute_uv=False)
    weighted = np.linalg.svd(dictionary * energy[:, None], compute_uv=False)
    return {
        "stable": stable_rank(plain),
        "effective": effective_rank(plain),
        "stable_weighted": stable_rank(weighted),
        "effective_weighted": effective_rank(weighted),
    }


def coherence(cosines: BlockMatrix) -> float:
    """Largest signed cosine of two different atoms, in [-1, 1]; NaN for a single atom.

    Parameters
    ----------
    cosines : BlockMatrix, K x K
        D D^T.
    """
    largest = -np.inf
    for rows, entries in cosines.blocks():
        others = entries.copy()
        others[np.arange(len(others)), np.arange(rows.start, rows.stop)] = -np.inf
        largest = max(largest, float(others.max()))
    # Rows of float32 are of unit norm to 1e-7 only.
    return float(np.clip(largest, -1, 1)) if np.isfinite(largest) else float("nan")


@dataclass(frozen=True)
class CodeStructure:
    """How codes use atoms together; G is the mean of z z^T over unit-length codes.

    Attributes
    ----------
    stable_rank : float
        |G|_F^2 / lambda_max^2.
    effective_rank : float
        Exp of the entropy of its eigenvalues.
    effective_rank_error : float
        Standard error of that; 0 where all eigenvalues were found.
    connectivity : float
        1 - non-zeros of G / K^2, in [0, 1).
    interference : float
        Spectral norm of relu(-G * D D^T), in [0, 1].
    """

    stable_rank: float
    effective_rank: float
    effective_rank_error: float
    connectivity: float
    interference: float


def code_structure(
    image: CodeRows,
    text: CodeRows,
    dictionary: np.ndarray,
    rng: np.random.Generator,
    largest_dense: int = LARGEST_DENSE,
) -> CodeStructure:
    """Measure how codes use atoms together.

    Parameters
    ----------
    image, text : CodeRows of shape (n, K)
        A code without any non-zero is left out of the sum in G, not of the mean.
    dictionary : ndarray of shape (K, dim)
    rng : numpy.random.Generator
        For the estimate of the effective rank where K is large.
    largest_dense : int
        Above so many atoms G is made in blocks, no spectrum is decomposed, and the effective rank
        is estimated (:mod:`isoenergy.measure.spectrum`). Memory is then 2 K^2 bytes.

    Returns
    -------
    CodeStructure
        Without any code the ranks are NaN, the connectivity is 1 and the interference 0.
    """
    sides = image, text
    if not any(side.nnz for side in sides):
        return CodeStructure(float("nan"), float("nan"), 0.0, 1.0, 0.0)
    gram, cosines = code_gram(*sides), atom_cosines(dictionary)
    measure = _decomposed if gram.size <= largest_dense else _estimated
    return measure(sides, gram, cosines, rng)


def _decomposed(
    _sides: Sequence[CodeRows],
    gram: BlockMatrix,
    cosines: BlockMatrix,
    _rng: np.random.Generator,
) -> CodeStructure:
    dense = gram.dense()
    eigenvalues = np.clip(np.linalg.eigvalsh(dense), 0.0, None)
    negative = np.clip(-dense * cosines.dense(), 0.0, None)
    return CodeStructure(
        stable_rank=stable_rank(eigenvalues),
        effective_rank=effective_rank(eigenvalues),
        effective_rank_error=0.0,
        connectivity=1 - int(np.count_nonzero(dense)) / gram.size**2,
        interference=_perron(negative),
    )


def _perron(matrix: np.ndarray) -> float:
    """Spectral norm of a symmetric matrix without negative entries: its largest eigenvalue."""
    from scipy.sparse.linalg import eigsh

    if len(matrix) < _FEWEST or not matrix.any():
        return float(np.linalg.eigvalsh(matrix).max())
    # Its eigenvector has no negative entry either, so that this start cannot miss it.
    start = np.ones(len(matrix))
    return float(eigsh(matrix, k=1, which="LA", v0=start, return_eigenvectors=False)[0])


def _estimated(
    sides: Sequence[CodeRows],
    gram: BlockMatrix,
    cosines: BlockMatrix,
    rng: np.random.Generator,
) -> CodeStructure:
    trace = squares = 0.0
    nonzeros = 0
    negative = UpperTriangle(gram.size)
    for (rows, together), (_, cosine) in zip(gram.blocks(), cosines.blocks(), strict=True):
        squares += float(np.square(together).sum())
        trace += float(np.trace(together[:, rows]))
        nonzeros += int(np.count_nonzero(together))
        right = slice(rows.start, None)
        negative.add(rows, np.clip(-together[:, right] * cosine[:, right], 0.0, None))
    spectrum = estimate_spectrum(
        lambda vectors: multiply_gram(sides, vectors), gram.size, trace, squares, rng
    )
    rank = float(np.exp(spectrum.entropy))
    return CodeStructure(
        stable_rank=squares / spectrum.largest**2,
        effective_rank=rank,
        effective_rank_error=rank * spectrum.error,
        connectivity=1 - nonzeros / gram.size**2,
        interference=negative.norm(),
    )
