"""Atoms laid out in a plane, and reconstructions without unimodal ones (Fig. 3, SPEC 6.2)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isoenergy.measure.embeddings import draw_shown, plane_table
from isoenergy.measure.energy import AtomEnergies
from isoenergy.measure.geometry import principal_plane
from isoenergy.measure.opened import open_measured
from isoenergy.measure.reconstruction import reconstruct
from isoenergy.measure.record import write_table
from isoenergy.seeds import derive_seed

if TYPE_CHECKING:
    import pandas as pd

# Of UMAP, as in the authors' code; an atom counts as its own first neighbour.
NEIGHBOURS = 15
MIN_DISTANCE = 0.1
# Atoms active as often as this are left out, as in the authors' code.
TOO_OFTEN = 0.6
# UMAP starts from two eigenvectors of a graph, which fewer atoms do not have.
FEWEST = 5
_BLOCK = 1024


def nearest_atoms(atoms: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest atoms of each by cosine distance, itself first; equally near ones by index.

    Parameters
    ----------
    atoms : ndarray of shape (n, dim)
        Unit-norm rows.
    count : int
        In [1, n].

    Returns
    -------
    indices : ndarray of shape (n, count), int32
    distances : ndarray of shape (n, count), float32, in [0, 2]
    """
    n = len(atoms)
    indices = np.empty((n, count), dtype=np.int32)
    distances = np.empty((n, count), dtype=np.float32)
    for start in range(0, n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        apart = np.clip(1 - atoms[rows] @ atoms.T, 0, 2)
        apart[np.arange(len(rows)), rows] = -1  # before an atom that is the same
        nearest = np.argsort(apart, axis=1, kind="stable")[:, :count]
        indices[rows] = nearest
        distances[rows] = np.maximum(np.take_along_axis(apart, nearest, axis=1), 0)
    return indices, distances


def lay_out(atoms: np.ndarray, seed: int) -> np.ndarray:
    """Place atoms in a plane so that near ones stay near: UMAP of their cosine distances.

    Parameters
    ----------
    atoms : ndarray of shape (n, dim)
        Unit-norm rows.
    seed : int

    Returns
    -------
    ndarray of shape (n, 2), float32
        With fewer than 5 atoms their principal plane; with up to 15, each has all others for
        neighbours.
    """
    n = len(atoms)
    if n < 2:
        return np.zeros((n, 2), dtype=np.float32)
    if n < FEWEST:
        return np.concatenate(principal_plane(atoms[:1], atoms[1:])).astype(np.float32)
    import umap

    count = min(NEIGHBOURS, n - 1)
    with warnings.catch_warnings():
        # Atoms are never placed later, which exact neighbours would not allow.
        warnings.filterwarnings("ignore", message="precomputed_knn")
        placed = umap.UMAP(
            n_neighbors=count,
            min_dist=MIN_DISTANCE,
            metric="cosine",
            random_state=derive_seed(seed, "layout") % 2**32,
            n_jobs=1,
            precomputed_knn=nearest_atoms(atoms, count),
        ).fit_transform(atoms)
    return np.asarray(placed, dtype=np.float32)


def layout_table(
    dictionary: np.ndarray, energies: AtomEnergies, tau: float, seed: int
) -> pd.DataFrame:
    """A row per live atom that is active in less than 60 % of all codes.

    Returns
    -------
    DataFrame
        ``atom``, ``energy``, ``modality_score``, ``group`` and its place ``x``, ``y``.
    """
    import pandas as pd

    shown = np.flatnonzero(energies.live & (energies.frequency < TOO_OFTEN))
    places = lay_out(dictionary[shown], seed)
    return pd.DataFrame(
        {
            "atom": shown,
            "energy": energies.both[shown],
            "modality_score": energies.modality_score[shown],
            "group": energies.groups(tau)[shown],
            "x": places[:, 0],
            "y": places[:, 1],
        }
    )


def measure_layout(
    store: str | Path,
    weights: str | Path,
    codes: str | Path,
    layout: str | Path,
    pca_masked: str | Path,
    tau: float,
    gap: int,
    seed: int,
) -> None:
    """Lay out the atoms of one SAE, and find the plane of reconstructions by its bimodal ones.

    Parameters
    ----------
    store, weights, codes : path
        A store, ``sae.safetensors``, and ``codes.json`` of that SAE and store.
    layout : path
        Figure data to write: see :func:`layout_table`.
    pca_masked : path
        Figure data to write: the reconstructions without unimodal atoms, as
        :func:`isoenergy.measure.embeddings.plane_table` has it; of the same pairs as the table of
        raw embeddings where the seed is the same.
    tau : float
        Modality threshold, in (0, 0.5).
    gap : int
        Images, and texts, drawn.
    seed : int

    Raises
    ------
    InputError
        If the files do not belong together.
    """
    measured = open_measured(store, weights, codes)
    energies = measured.energies
    settings = {"tau": tau, "gap": gap}
    write_table(layout, layout_table(measured.dictionary, energies, tau, seed), settings)
    rows, _ = draw_shown(len(measured.store), gap, seed)
    bimodal = energies.groups(tau) == "bimodal"
    image, text = (
        reconstruct(side[rows], measured.dictionary, bimodal) for _, side in measured.sides()
    )
    write_table(pca_masked, plane_table(image, text), settings)
