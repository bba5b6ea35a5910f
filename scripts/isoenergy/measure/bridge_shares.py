"""Which kinds of atoms carry the bridge, over all modality thresholds (paper Fig. 12, SPEC X7)."""

from __future__ import annotations

import numpy as np

from isoenergy.measure.blockwise import BlockMatrix
from isoenergy.measure.bridge import COSINE_SHARE, COVARIANCE_SHARE, threshold

THRESHOLDS = np.linspace(1e-3, 0.5, 100)
# Bimodal, text and image atoms at the two ends of a bridge, in the order of the paper's figure.
PAIRS = ("B-B", "B-T", "B-I", "T-T", "I-I", "T-I")


def bridge_entries(
    covariance: BlockMatrix, cosines: BlockMatrix
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The entries of B_Sigma that are not 0, both its factors thresholded as in rho (X7).

    Parameters
    ----------
    covariance, cosines : BlockMatrix, K x K
        Sigma and D D^T; no K x K array is held.

    Returns
    -------
    rows, columns : ndarray of int
        The image's atom and the text's atom of each entry.
    mass : ndarray, float64
        Absolute values.
    """
    limits = covariance.kth_smallest(COVARIANCE_SHARE), cosines.kth_smallest(COSINE_SHARE)
    found = []
    for (span, sigma), (_, cosine) in zip(covariance.blocks(), cosines.blocks(), strict=True):
        factors = [threshold(*both) for both in zip((sigma, cosine), limits, strict=True)]
        rows, columns = np.nonzero((factors[0] != 0) & (factors[1] != 0))
        mass = np.abs(sigma[rows, columns].astype(np.float64) * cosine[rows, columns])
        found.append((rows + span.start, columns, mass))
    rows, columns, mass = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rows, columns, mass


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
