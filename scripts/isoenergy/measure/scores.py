"""Scores of embeddings on two bimodal atoms, where they are active and elsewhere (Fig. 15)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_matrix

from isoenergy.encode.codes import SIDES, CodeRows, row_blocks
from isoenergy.measure.energy import DEGENERATE_FREQUENCY, AtomEnergies
from isoenergy.measure.vectors import Vectors, blocks

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


def activity(image: CodeRows, text: CodeRows) -> np.ndarray:
    """Share of pairs in which each atom is active in the image or the text, shape (K,)."""
    n, n_atoms = image.shape
    counts = np.zeros(n_atoms, dtype=np.int64)
    for rows in row_blocks(image, text):
        on = [
            csr_matrix((np.ones(z.nnz, dtype=bool), z.indices, z.indptr), z.shape)
            for z in (image[rows], text[rows])
        ]
        counts += sum(np.bincount(side.indices, minlength=n_atoms) for side in on)
        counts -= np.bincount(on[0].multiply(on[1]).tocsr().indices, minlength=n_atoms)
    return counts / n


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
    image: Vectors, text: Vectors, codes: tuple[CodeRows, CodeRows], atoms: Mapping[int, np.ndarray]
) -> dict[int, tuple[np.ndarray, dict[tuple[str, bool], np.ndarray]]]:
    """Histograms of x . D_i, uncentred, apart for pairs in which the atom is active.

    Parameters
    ----------
    image, text : Vectors of shape (n, dim)
        Read twice: for the ends of the histograms, and for the counts.
    codes : CodeRows of shape (n, K), twice
        Of the images and of the texts.
    atoms : mapping of int to ndarray of shape (dim,)
        D_i by i.

    Returns
    -------
    dict of int to (edges, counts)
        For each atom ``edges``, an ndarray of shape (101,) from the least score of all to the
        largest, and ``counts``, a dict of (modality, bool) to ndarray of shape (100,):
        ``("image", True)`` is of images in pairs in which the atom is active, and so on.
    """
    directions = np.array([*atoms.values()]).T
    scores = (rows @ directions for side in (image, text) for rows in blocks(side))
    least, largest = zip(*((part.min(axis=0), part.max(axis=0)) for part in scores), strict=True)
    edges = [
        np.histogram_bin_edges(np.array(ends), bins=BINS)
        for ends in zip(np.min(least, axis=0), np.max(largest, axis=0), strict=True)
    ]
    found = {
        atom: (edge, {(name, on): np.zeros(BINS, int) for name in SIDES for on in (True, False)})
        for atom, edge in zip(atoms, edges, strict=True)
    }
    for name, side in zip(SIDES, (image, text), strict=True):
        start = 0
        for rows in blocks(side):
            parts = [part[start : start + len(rows)] for part in codes]
            for atom, values in zip(atoms, (rows @ directions).T, strict=True):
                active = active_pairs(*parts, atom)
                edge, counts = found[atom]
                for on in (True, False):
                    counts[name, on] += np.histogram(values[active == on], bins=edge)[0]
            start += len(rows)
    return found
