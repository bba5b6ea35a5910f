"""Points on a sphere that show what closes a modality gap (Figs 4 and 24, SPEC 6.2)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from isoenergy.errors import InputError
from isoenergy.files import write_parquet
from isoenergy.measure.interventions import INTERVENTIONS, Means, Pair
from isoenergy.measure.retrieval import unit_rows
from isoenergy.seeds import generator

# Centres of two clusters per modality, before normalisation, and the spread of each.
CENTRES = {
    "image": ((0.0, -0.5, 1.0), (0.0, 0.5, 1.0)),
    "text": ((1.0, 0.0, -0.5), (1.0, 0.0, 0.5)),
}
SPREAD = 0.1
# In the order of the paper's figure.
SKETCHES = ("raw", "centered", "shifted", "random", "masked")


def draw_clusters(rows: int, rng: np.random.Generator) -> Pair:
    """Images and texts, each two Gaussian clusters; rows normalised, first cluster first.

    Returns
    -------
    image, text : ndarray of shape (2 rows, 3), float64
    """
    image, text = (
        unit_rows(
            np.concatenate([centre + SPREAD * rng.standard_normal((rows, 3)) for centre in centres])
        )
        for centres in CENTRES.values()
    )
    return image, text


def close_gap(form: str, image: np.ndarray, text: np.ndarray, rng: np.random.Generator) -> Pair:
    """The points after one of ``SKETCHES``.

    ``"masked"`` takes away each cluster's own mean, which stands for removing unimodal atoms as in
    the authors' notebook; the others are the interventions of Tables 9 to 11, of which
    ``"random"`` alone is normalised.
    """
    if form == "raw":
        return image, text
    if form == "masked":
        return without_cluster_means(image), without_cluster_means(text)
    return INTERVENTIONS[form](image, text, Means.of(image, text), rng)


def without_cluster_means(points: np.ndarray) -> np.ndarray:
    """Points less the mean of their cluster, the first or the second half of the rows."""
    return np.concatenate([half - half.mean(axis=0) for half in np.split(points, 2)])


def write_sketch(sketch: str | Path, rows: int, seed: int) -> None:
    """Draw the points and write them under every form.

    Parameters
    ----------
    sketch : path
        Parquet to write: ``form`` (one of ``SKETCHES``), ``modality``, ``cluster`` (0 or 1), and
        ``x``, ``y``, ``z``.
    rows : int
        Points per cluster, at least 1.
    seed : int

    Raises
    ------
    InputError
        If ``rows`` is not allowed.
    """
    if rows < 1:
        raise InputError(f"rows is {rows}; a cluster has at least 1 point")
    points = draw_clusters(rows, generator(seed, "clusters"))
    parts = []
    for form in SKETCHES:
        moved = close_gap(form, *points, generator(seed, "direction"))
        for modality, side in zip(CENTRES, moved, strict=True):
            told = {"form": form, "modality": modality, "cluster": np.repeat([0, 1], rows)}
            parts.append(pd.DataFrame(told | dict(zip("xyz", side.T, strict=True))))
    write_parquet(sketch, pd.concat(parts, ignore_index=True))
