"""Scores of embeddings on two bimodal atoms, where they are active and elsewhere (Fig. 15)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from isoenergy.measure.energy import DEGENERATE_FREQUENCY, AtomEnergies

BINS = 100
# The weak atom: at this quantile of energy among atoms active in at least this share of pairs.
WEAK_QUANTILE = 0.1
WEAK_ACTIVITY = 0.01


def active_pairs(image: csr_matrix, text: csr_matrix, atom: int) -> np.ndarray:
    """Pairs in which an atom is active in the image or the text: ndarray of shape (n,), bool."""
    active = np.zeros(image.shape[0], dtype=bool)
    for codes in (image, text):
        entries = np.flatnonzero(codes.indices == atom)
        active[np.searchsorted(codes.indptr, entries, side="right") - 1] = True
    return active


def activity(image: csr_matrix, text: csr_matrix) -> np.ndarray:
    """Share of pairs in which each atom is active in the image or the text, shape (K,)."""
    n, n_atoms = image.shape
    counts = sum(np.bincount(codes.indices, minlength=n_atoms) for codes in (image, text))
    on = [csr_matrix((np.ones(z.nnz, bool), z.indices, z.indptr), z.shape) for z in (image, text)]
    both = on[0].multiply(on[1]).tocsr()
    return (counts - np.bincount(both.indices, minlength=n_atoms)) / n


def choose_atoms(energies: AtomEnergies, active: np.ndarray, tau: float) -> dict[str, int]:
    """One bimodal atom of high and one of low energy.

    Parameters
    ----------
    energies : AtomEnergies
    active : ndarray of shape (K,)
        See :func:`activity`.
    tau : float
        Modality threshold.

    Returns
    -------
    dict of str to int
        ``high``: the bimodal atom of highest energy that is not degenerate. ``low``: the one at
        quantile ``WEAK_QUANTILE`` of energy among the other such atoms that are active in at
        least ``WEAK_ACTIVITY`` of the pairs, of all others if there is none; left out where there
        is no other. Where no atom is bimodal and not degenerate, all live atoms stand in, and
        where none is live, all.
    """
    energy = energies.both
    group = energies.groups(tau)
    allowed = (group == "bimodal") & (energies.frequency <= DEGENERATE_FREQUENCY)
    if not allowed.any():
        allowed = group != "dead"
    ordered = np.flatnonzero(allowed if allowed.any() else np.ones(len(group), dtype=bool))
    ordered = ordered[np.argsort(energy[ordered], kind="stable")]
    chosen = {"high": int(ordered[-1])}
    others = ordered[:-1]
    busy = others[active[others] >= WEAK_ACTIVITY]
    weak = busy if len(busy) else others
    if len(weak):
        chosen["low"] = int(weak[int(WEAK_QUANTILE * (len(weak) - 1))])
    return chosen


def score_histograms(
    image: np.ndarray, text: np.ndarray, active: np.ndarray
) -> tuple[np.ndarray, dict[tuple[str, bool], np.ndarray]]:
    """Histograms of x . D_i, uncentred, apart for pairs in which the atom is active.

    Parameters
    ----------
    image, text : ndarray of shape (n,)
        Scores of the images and of the texts.
    active : ndarray of shape (n,), bool
        See :func:`active_pairs`.

    Returns
    -------
    edges : ndarray of shape (101,)
        From the least score of all to the largest.
    counts : dict of (modality, bool) to ndarray of shape (100,)
        ``("image", True)``: of images in pairs in which the atom is active, and so on.
    """
    edges = np.histogram_bin_edges(np.concatenate([image, text]), bins=BINS)
    return edges, {
        (name, on): np.histogram(values[active == on], bins=edges)[0]
        for name, values in (("image", image), ("text", text))
        for on in (True, False)
    }
