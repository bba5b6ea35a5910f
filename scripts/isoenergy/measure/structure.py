"""Structure of the dictionary and of the codes (paper E.2.1, SPEC 4, X19 and X20)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags

# A singular or eigenvalue below this share of the largest counts as 0.
_ROUNDING = 1e-12


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


def coherence(dictionary: np.ndarray, block: int = 2048) -> float:
    """Largest signed cosine of two different atoms, in [-1, 1]; NaN for a single atom.

    Parameters
    ----------
    dictionary : ndarray of shape (K, dim)
        Unit-norm rows.
    block : int
        Atoms compared with all others at a time; bounds the memory to block x K.
    """
    largest = -np.inf
    for start in range(0, len(dictionary), block):
        cosines = dictionary[start : start + block] @ dictionary.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        largest = max(largest, float(cosines.max()))
    return largest if np.isfinite(largest) else float("nan")


def code_gram(image: csr_matrix, text: csr_matrix) -> csr_matrix:
    """G: mean over the 2n codes of z z^T, each code scaled to unit length first.

    Parameters
    ----------
    image, text : csr_matrix of shape (n, K)
        A code without any non-zero is left out of the sum, not of the mean.

    Returns
    -------
    csr_matrix of shape (K, K), float64
        Symmetric, positive semi-definite; its trace is the share of codes that are not zero.
    """
    total = csr_matrix((image.shape[1], image.shape[1]), dtype=np.float64)
    for codes in (image, text):
        wide = codes.astype(np.float64)
        norms = np.sqrt(np.asarray(wide.multiply(wide).sum(axis=1)).ravel())
        scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
        unit = diags(scale) @ wide
        total = total + unit.T @ unit
    return csr_matrix(total / (image.shape[0] + text.shape[0]))


def code_structure(gram: csr_matrix, dictionary: np.ndarray) -> dict[str, float]:
    """How codes use atoms together.

    Parameters
    ----------
    gram : csr_matrix of shape (K, K)
        See :func:`code_gram`. It is made dense (K x K), codes never are.
    dictionary : ndarray of shape (K, dim)

    Returns
    -------
    dict of str to float
        ``stable_rank``: |G|_F^2 / lambda_max^2. ``effective_rank``: exp of the entropy of its
        eigenvalues. ``connectivity``: 1 - non-zeros of G / K^2, in [0, 1]. ``interference``:
        spectral norm of relu(-G * D D^T), in [0, 1]. Without any code the ranks are NaN, the
        connectivity is 1 and the interference 0.
    """
    n_atoms = gram.shape[0]
    dense = gram.toarray()
    eigenvalues = np.clip(np.linalg.eigvalsh(dense), 0.0, None)
    cosines = dictionary.astype(np.float64) @ dictionary.T.astype(np.float64)
    negative = np.clip(-dense * cosines, 0.0, None)
    return {
        "stable_rank": stable_rank(eigenvalues),
        "effective_rank": effective_rank(eigenvalues),
        "connectivity": 1 - np.count_nonzero(dense) / n_atoms**2,
        # Symmetric, so that its spectral norm is its largest absolute eigenvalue.
        "interference": float(np.abs(np.linalg.eigvalsh(negative)).max()),
    }
