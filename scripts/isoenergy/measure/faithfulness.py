"""C-insertion and C-deletion: do few atoms explain a reconstruction? (paper E.2.1, SPEC 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.sparse import csr_matrix

from isoenergy.embed.store import Rows

STEPS = 10
_BLOCK = 4096
# Entries of the atoms of a block of codes: 128 MiB. Codes of ReLU may have hundreds of non-zeros.
_ENTRIES = 2**24


def attributions(x: np.ndarray, values: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """Integrated gradients of minus the squared error, for the atoms of each code.

    The gradient of |x - s z D|^2 in z is linear in s, so the right Riemann sum over
    s = 1/10 ... 1 has a closed form: z_k D_k . (x - 0.55 x^), up to a positive factor.

    Parameters
    ----------
    x : ndarray of shape (rows, dim)
    values : ndarray of shape (rows, slots)
        Codes of the chosen atoms; 0 in unused slots.
    atoms : ndarray of shape (rows, slots, dim)

    Returns
    -------
    ndarray of shape (rows, slots)
    """
    mean_step = (STEPS + 1) / (2 * STEPS)
    rebuilt = np.einsum("rs,rsd->rd", values, atoms)
    return values * np.einsum("rsd,rd->rs", atoms, x - mean_step * rebuilt)


def _slots(codes: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Codes as (values, atoms), each of shape (rows, slots); unused slots are 0."""
    counts = np.diff(codes.indptr)
    slots = max(int(counts.max(initial=0)), 1)
    place = np.arange(slots) < counts[:, None]
    values = np.zeros(place.shape)
    atoms = np.zeros(place.shape, dtype=np.int64)
    values[place], atoms[place] = codes.data, codes.indices
    return values, atoms


def _limits(scores: np.ndarray, used: np.ndarray, n_atoms: int, n_steps: int) -> np.ndarray:
    """The k-th largest score of all atoms for k = 0 ... n_steps - 1: ndarray (rows, n_steps).

    Atoms that a row does not use score 0. Infinite for k = 0, minus infinite beyond all atoms.
    """
    rows, slots = scores.shape
    width = min(n_atoms, slots + n_steps)
    told = np.zeros((rows, width))
    told[:, :slots] = np.where(used, scores, 0.0)
    limits = np.full((rows, n_steps), -np.inf)
    limits[:, 0] = np.inf
    ordered = -np.sort(-told, axis=1)[:, : n_steps - 1]
    limits[:, 1 : ordered.shape[1] + 1] = ordered
    return limits


def _blocks(rows: Rows, codes: csr_matrix) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Embeddings, values and atoms of consecutive codes, few enough to hold all their atoms."""
    for start, x in rows.blocks(_BLOCK):
        inside = codes[start : start + len(x)]
        slots = max(int(np.diff(inside.indptr).max(initial=0)), 1)
        step = max(_ENTRIES // (slots * x.shape[1]), 1)
        for first in range(0, len(x), step):
            part = slice(first, first + step)
            yield x[part].astype(np.float64), *_slots(inside[part])


def _distances(x: np.ndarray, terms: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Distance of x to the sum of some of its terms, by which of them are kept.

    From |x|^2, their products with x and with each other, so that no sum is ever made.

    Parameters
    ----------
    x : ndarray of shape (rows, dim)
    terms : ndarray of shape (rows, slots, dim)
        Atoms times their codes.
    """
    square = np.square(x).sum(axis=1)
    with_x = (terms @ x[:, :, None])[:, :, 0]
    together = terms @ terms.transpose(0, 2, 1)

    def distance(kept: np.ndarray) -> np.ndarray:
        chosen = kept.astype(np.float64)
        pairs = (together @ chosen[:, :, None])[:, :, 0]
        return np.sqrt(np.maximum(square + (chosen * (pairs - 2 * with_x)).sum(axis=1), 0))

    return distance


def faithfulness_scores(
    rows: Rows, codes: csr_matrix, dictionary: np.ndarray, n_steps: int
) -> dict[str, float]:
    """C-insertion and C-deletion of one modality.

    With the atoms of each code ordered by attribution, faithfulness f_k is the mean over rows of
    (|x - x^_k| - |x|) / (|x - x^| - |x|), where x^_k keeps (insertion) or drops (deletion) the k
    first; the score is the sum of f_0 ... f_{K-1} over K + 1.

    Parameters
    ----------
    rows : Rows of shape (n, dim)
    codes : csr_matrix of shape (n, n_atoms)
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
    counted = 0
    for x, values, chosen in _blocks(rows, codes):
        atoms = dictionary[chosen].astype(np.float64)
        used = values != 0
        scores = attributions(x, values, atoms)
        distance = _distances(x, values[:, :, None] * atoms)
        nothing = np.linalg.norm(x, axis=1)
        gained = distance(used) - nothing
        usable = np.abs(gained) > 1e-12
        counted += int(usable.sum())
        limits = _limits(scores, used, codes.shape[1], n_steps)
        for k in range(n_steps):
            kept = used & (scores >= limits[:, k : k + 1])
            for name, mask in (("insertion", kept), ("deletion", used & ~kept)):
                sums[name][k] += ((distance(mask) - nothing)[usable] / gained[usable]).sum()
    if counted == 0:
        return dict.fromkeys(sums, float("nan"))
    return {name: float((total / counted).sum() / (n_steps + 1)) for name, total in sums.items()}
