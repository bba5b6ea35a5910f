"""C-insertion and C-deletion: do few atoms explain a reconstruction? (paper E.2.1, SPEC 4)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_matrix

from isoenergy.embed.rows import Rows
from isoenergy.encode.codes import CodeRows

STEPS = 10
_BLOCK = 1024
# Above this share of non-zeros, products with all atoms are faster than gathering those in use.
_DENSE = 1 / 8


def attributions(x: np.ndarray, codes: csr_matrix, dictionary: np.ndarray) -> np.ndarray:
    """Integrated gradients of minus the squared error, for the atoms of each code.

    The gradient of |x - s z D|^2 in z is linear in s, so the right Riemann sum over
    s = 1/10 ... 1 has a closed form: z_k D_k . (x - 0.55 x^), up to a positive factor.

    Parameters
    ----------
    x : ndarray of shape (rows, dim)
    codes : csr_matrix of shape (rows, n_atoms)
    dictionary : ndarray of shape (n_atoms, dim)

    Returns
    -------
    ndarray of shape (codes.nnz,)
        For the entries of ``codes``, in their order.
    """
    mean_step = (STEPS + 1) / (2 * STEPS)
    missing = x - mean_step * (codes @ dictionary)
    rows, counts = _rows(codes), np.diff(codes.indptr)
    if codes.nnz > _DENSE * np.prod(codes.shape):
        return codes.data * (missing @ dictionary.T)[rows, codes.indices]
    products = np.empty(codes.nnz)
    for slot in range(int(counts.max(initial=0))):
        inside = np.flatnonzero(counts > slot)
        entries = codes.indptr[inside] + slot
        own = missing if len(inside) == len(missing) else missing[inside]
        products[entries] = np.einsum("ed,ed->e", dictionary[codes.indices[entries]], own)
    return codes.data * products


def _rows(codes: csr_matrix) -> np.ndarray:
    """The row of each entry."""
    return np.repeat(np.arange(codes.shape[0]), np.diff(codes.indptr))


def _entered(scores: np.ndarray, codes: csr_matrix, n_steps: int) -> np.ndarray:
    """The first k < n_steps at which each entry's score is among the k largest of its row.

    Atoms that a row does not use score 0; equal scores enter together, so more than k may be in.
    ``n_steps`` for entries that enter later.
    """
    n, n_atoms = codes.shape
    rows = _rows(codes)
    counts = np.diff(codes.indptr)
    width = min(n_atoms, int(counts.max(initial=0)) + n_steps)
    told = np.zeros((n, width))
    told[rows, np.arange(len(rows)) - np.repeat(codes.indptr[:-1], counts)] = scores
    kept = min(n_steps - 1, width)
    limits = -np.sort(np.partition(-told, max(kept - 1, 0), axis=1)[:, :kept], axis=1)
    entered = np.ones(len(scores), dtype=np.int64)
    for k in range(kept):
        entered += scores < limits[rows, k]
    return entered


def _blocks(rows: Rows, codes: CodeRows) -> Iterator[tuple[np.ndarray, csr_matrix]]:
    """Embeddings and codes of consecutive rows."""
    for start, x in rows.blocks(_BLOCK):
        yield x.astype(np.float64), codes[start : start + len(x)]


def faithfulness_scores(
    rows: Rows, codes: CodeRows, dictionary: np.ndarray, n_steps: int
) -> dict[str, float]:
    """C-insertion and C-deletion of one modality.

    With the atoms of each code ordered by attribution, faithfulness f_k is the mean over rows of
    (|x - x^_k| - |x|) / (|x - x^| - |x|), where x^_k keeps (insertion) or drops (deletion) the k
    first; the score is the sum of f_0 ... f_{K-1} over K + 1.

    Parameters
    ----------
    rows : Rows of shape (n, dim)
    codes : CodeRows of shape (n, n_atoms)
    dictionary : ndarray of shape (n_atoms, dim)
    n_steps : int
        K; 20 in the paper's tables.

    Returns
    -------
    dict of str to float
        ``insertion`` ((K - 1) / (K + 1) where the first atom rebuilds all; more is possible where
        later atoms spoil it) and ``deletion``. Rows whose reconstruction is
        as far from x as 0 is, as all are that have no code, are left out; NaN if that is all of
        them.
    """
    sums = {"insertion": np.zeros(n_steps), "deletion": np.zeros(n_steps)}
    dictionary = dictionary.astype(np.float64)
    counted = 0
    for x, inside in _blocks(rows, codes):
        rebuilt = inside @ dictionary
        nothing = np.linalg.norm(x, axis=1)
        gained = np.linalg.norm(x - rebuilt, axis=1) - nothing
        usable = np.abs(gained) > 1e-12
        counted += int(usable.sum())
        entered = _entered(attributions(x, inside, dictionary), inside, n_steps)
        inserted = np.zeros_like(rebuilt)
        for k in range(n_steps):
            inserted += _chosen(inside, entered == k) @ dictionary
            for name, kept in (("insertion", inserted), ("deletion", rebuilt - inserted)):
                lost = np.linalg.norm(x - kept, axis=1) - nothing
                sums[name][k] += (lost[usable] / gained[usable]).sum()
    if counted == 0:
        return dict.fromkeys(sums, float("nan"))
    return {name: float((total / counted).sum() / (n_steps + 1)) for name, total in sums.items()}


def _chosen(codes: csr_matrix, entries: np.ndarray) -> csr_matrix:
    """The codes of these entries alone."""
    before = np.concatenate([[0], np.cumsum(entries)])
    parts = (codes.data[entries], codes.indices[entries], before[codes.indptr])
    return csr_matrix(parts, shape=codes.shape)
