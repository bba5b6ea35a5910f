"""Which kinds of atoms carry the bridge, over all modality thresholds (paper Fig. 12, SPEC X7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from scipy.sparse import csr_matrix

from isoenergy.measure.bridge import COSINE_PERCENTILE, COVARIANCE_PERCENTILE

THRESHOLDS = np.linspace(1e-3, 0.5, 100)
# Bimodal, text and image atoms at the two ends of a bridge, in the order of the paper's figure.
PAIRS = ("B-B", "B-T", "B-I", "T-T", "I-I", "T-I")
# Atoms whose bridges to all others are held at a time.
_BLOCK = 1024


def bridge_entries(
    image: csr_matrix, text: csr_matrix, dictionary: np.ndarray, block: int = _BLOCK
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The entries of B_Sigma that are not 0, both its factors thresholded as in rho (X7).

    Sigma and D D^T are made in blocks of rows, twice: first for the percentiles, then for the
    entries above them. No K x K array is held.

    Parameters
    ----------
    image, text : csr_matrix of shape (n, K)
        Codes of the n pairs.
    dictionary : ndarray of shape (K, dim)
    block : int
        Rows at a time.

    Returns
    -------
    rows, columns : ndarray of int
        The image's atom and the text's atom of each entry.
    mass : ndarray, float64
        Absolute values.
    """
    n, n_atoms = image.shape
    by_atom = image.T.tocsr()
    starts = range(0, n_atoms, block)

    def covariances() -> Iterator[csr_matrix]:
        for start in starts:
            part = by_atom[start : start + block] @ text
            yield csr_matrix((part.data / np.float64(n), part.indices, part.indptr), part.shape)

    def cosines() -> Iterator[np.ndarray]:
        for start in starts:
            yield dictionary[start : start + block] @ dictionary.T

    size = n_atoms**2
    least_covariance = percentile((c.data for c in covariances()), size, COVARIANCE_PERCENTILE)
    least_cosine = percentile((c.ravel() for c in cosines()), size, COSINE_PERCENTILE)
    found = []
    for start, covariance, cosine in zip(starts, covariances(), cosines(), strict=True):
        entries = covariance.tocoo()
        value = cosine[entries.row, entries.col].astype(np.float64)
        kept = np.abs(entries.data) >= least_covariance
        kept &= np.abs(value) >= least_cosine
        mass = np.abs(entries.data[kept] * value[kept])
        found.append((entries.row[kept] + start, entries.col[kept], mass))
    rows, columns, mass = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rows, columns, mass


def percentile(blocks: Iterable[np.ndarray], size: int, percent: float) -> float:
    """Percentile of numbers that come in blocks, of which only the largest are held.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (any,)
    size : int
        How many numbers there are; those that no block holds are 0.
    percent : float
        In [0, 100]. Between two numbers linear, as ``np.percentile`` is.
    """
    place = (size - 1) * percent / 100
    held = size - int(place)
    pool = np.empty(0, dtype=np.float32)
    left = size
    for values in blocks:
        left -= len(values)
        if len(pool) == held:
            values = values[values > pool[0]]
        if len(values):
            pool = _largest(np.concatenate([pool, values]), held)
    pool = _largest(np.concatenate([pool, np.zeros(min(left, held), pool.dtype)]), held)
    low, high = float(pool[0]), float(pool[min(1, held - 1)])
    return low + (place - int(place)) * (high - low)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` largest, of which the two smallest come first and in order."""
    count = min(count, len(values))
    if count == 0:
        return values[:0]
    start = len(values) - count
    return np.partition(values, [start, min(start + 1, len(values) - 1)])[start:]


def bridge_shares(
    rows: np.ndarray,
    columns: np.ndarray,
    mass: np.ndarray,
    score: np.ndarray,
    thresholds: np.ndarray = THRESHOLDS,
) -> dict[str, np.ndarray]:
    """Share of the bridge's mass between each two kinds of atoms, at every threshold.

    At a threshold e an atom is text-only if mu < e, image-only if mu > 1 - e, else bimodal, as in
    ``AtomEnergies.groups``. Since an atom only ever leaves the bimodal ones as e grows, the mass
    is summed once by the thresholds at which the first and the last end of a bridge leave.

    Parameters
    ----------
    rows, columns, mass : ndarray of shape (entries,)
        As :func:`bridge_entries` gives them.
    score : ndarray of shape (K,)
        Modality scores; bridges of dead atoms (-1) do not count.
    thresholds : ndarray of shape (n,)
        Ascending, in (0, 0.5].

    Returns
    -------
    dict of str to ndarray of shape (n,)
        A key for each of ``PAIRS``. Sums to 1 at every threshold; NaN where there is no mass.
    """
    n = len(thresholds)
    leaves, is_text = _leaving(score, thresholds)
    live = (score[rows] >= 0) & (score[columns] >= 0)
    rows, columns, mass = rows[live], columns[live], mass[live]
    first_end = np.where(leaves[rows] <= leaves[columns], rows, columns)
    last_end = np.where(leaves[rows] <= leaves[columns], columns, rows)

    def left(when: np.ndarray, which: np.ndarray) -> np.ndarray:
        counted = np.bincount(leaves[when[which]], weights=mass[which], minlength=n + 1)
        return np.cumsum(counted)[:n]

    everything = np.ones(len(mass), dtype=bool)
    texts, images = is_text[first_end], ~is_text[first_end]
    both_texts, both_images = texts & is_text[last_end], images & ~is_text[last_end]
    found = {
        "B-B": mass.sum() - left(first_end, everything),
        "B-T": left(first_end, texts) - left(last_end, texts),
        "B-I": left(first_end, images) - left(last_end, images),
        "T-T": left(last_end, both_texts),
        "I-I": left(last_end, both_images),
        "T-I": left(last_end, everything & ~both_texts & ~both_images),
    }
    total = mass.sum()
    if total <= 0:
        return {pair: np.full(n, np.nan) for pair in PAIRS}
    # A difference of equal sums may end up a rounding error below 0.
    return {pair: np.clip(found[pair] / total, 0, 1) for pair in PAIRS}


def _leaving(score: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the first threshold at which each atom is unimodal (n if none), and if a text's."""
    as_text = np.searchsorted(thresholds, score, side="right")
    # From the largest 1 - e to the smallest; compared as ``groups`` does, to the last bit.
    as_image = len(thresholds) - np.searchsorted((1 - thresholds)[::-1], score, side="left")
    return np.minimum(as_text, as_image), as_text <= as_image
