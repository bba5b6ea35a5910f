"""OOD score: does the distance to the nearest images tell captions from images? (SPEC 4, X9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from isoenergy.measure.retrieval import unit_rows

if TYPE_CHECKING:
    import pandas as pd

# K and whether an image counts as its own nearest one. The authors' code takes K = 5 and counts it,
# the paper's text says K = 10.
PROTOCOLS = {
    "code": (5, True),
    "paper": (10, True),
    "code_others": (5, False),
    "paper_others": (10, False),
}
_BLOCK = 1024
# Distances are rounded to this many decimals: float32 resolves no more, and equal rows must tie.
_DECIMALS = 6
# Of histograms of distances, on [0, 1].
BINS = 50


def neighbour_distances(
    queries: np.ndarray,
    reference: np.ndarray,
    ks: Sequence[int],
    within: bool = False,
    block: int = _BLOCK,
) -> np.ndarray:
    """Cosine distance of every query to its k-th nearest reference row.

    Parameters
    ----------
    queries, reference : ndarray of shape (n, dim), (m, dim)
        Normalised inside; a zero row has distance 1 to everything.
    ks : sequence of int
        1 is the nearest.
    within : bool
        The queries are the reference, row for row, and no row is a neighbour of its own.
    block : int
        Queries at a time; bounds the memory to block x m.

    Returns
    -------
    ndarray of shape (n, len(ks)), float64
        In [0, 2], rounded to 1e-6; NaN where there are fewer than k neighbours.
    """
    queries, reference = (unit_rows(x.astype(np.float32)) for x in (queries, reference))
    available = len(reference) - within
    distances = np.full((len(queries), len(ks)), np.nan)
    possible = [i for i, k in enumerate(ks) if k <= available]
    places = [ks[i] - 1 for i in possible]
    if not possible:
        return distances
    for start in range(0, len(queries), block):
        found = 1 - queries[start : start + block] @ reference.T
        if within:
            rows = np.arange(len(found))
            found[rows, start + rows] = np.inf
        # One pivot and a sort of what lies before it: several pivots take five times as long.
        found.partition(max(places), axis=1)
        nearest = np.sort(found[:, : max(places) + 1], axis=1)
        distances[start : start + block, possible] = nearest[:, places]
    return np.clip(np.round(distances, _DECIMALS), 0.0, None)


def youden_accuracy(inside: np.ndarray, outside: np.ndarray) -> float:
    """Accuracy of a distance threshold, at the threshold that is best by Youden's J.

    J is the share of ``inside`` at or below the threshold less that of ``outside``; among equals
    the smallest threshold wins. As in the authors' code, the classifier then calls in-distribution
    what lies *below* the threshold, so that what lies at it counts as out.

    Parameters
    ----------
    inside, outside : ndarray of shape (n,), (m,)
        Distances of what is, and of what may not be, in the distribution.

    Returns
    -------
    float
        In [0, 1]: n and m being equal, 1/2 where no threshold tells them apart. Where all of
        ``inside`` lies at one point nothing of it is below the threshold, and it is 1/2 too. NaN
        where a distance is.
    """
    if np.isnan(inside).any() or np.isnan(outside).any():
        return float("nan")
    inside, outside = np.sort(inside), np.sort(outside)
    thresholds = np.unique(np.concatenate([inside, outside]))
    n, m = len(inside), len(outside)
    gained = (
        np.searchsorted(inside, thresholds, side="right") / n
        - np.searchsorted(outside, thresholds, side="right") / m
    )
    # Below every distance nothing is gained: that is where ROC curves start.
    if gained.max() <= 0:
        return m / (n + m)
    best = thresholds[gained.argmax()]
    below = np.searchsorted(inside, best), np.searchsorted(outside, best)
    return float((below[0] + m - below[1]) / (n + m))


def ood_scores(reference: np.ndarray, queries: np.ndarray) -> dict[str, float]:
    """OOD score of queries against a reference, both kept apart by their K-th nearest neighbours.

    Distances of the reference's rows to the reference are compared with those of the queries.
    They shrink as the reference grows, so a score belongs to its sample size.

    Parameters
    ----------
    reference, queries : ndarray of shape (n, dim), (n, dim)
        Normalised inside.

    Returns
    -------
    dict of str to float
        Accuracy of telling them apart, see :func:`youden_accuracy`: 1 apart, 1/2 alike.
        ``code``: K = 5, a reference row counts as its own nearest neighbour; ``paper``: K = 10,
        likewise; ``code_others`` and ``paper_others``: it does not count. NaN where the reference
        has too few rows.
    """
    # A row is its own nearest neighbour, so counting it the k-th is the (k - 1)-th other row.
    others = {name: k - itself for name, (k, itself) in PROTOCOLS.items()}
    inside = neighbour_distances(reference, reference, list(others.values()), within=True)
    outside = neighbour_distances(queries, reference, [k for k, _ in PROTOCOLS.values()])
    return {name: youden_accuracy(inside[:, i], outside[:, i]) for i, name in enumerate(PROTOCOLS)}


def distance_densities(
    distances: Mapping[tuple[str, ...], np.ndarray], columns: Sequence[str]
) -> pd.DataFrame:
    """Histograms of distances as one tidy table.

    Parameters
    ----------
    distances : mapping of tuple of str to ndarray
        Distances by what tells them apart.
    columns : sequence of str
        Names of the parts of those keys.

    Returns
    -------
    DataFrame
        ``columns``, then ``left`` and ``right`` edge and ``density`` of 50 bins on [0, 1]; larger
        distances count in the last bin, undefined ones in none.
    """
    import pandas as pd

    edges = np.linspace(0, 1, BINS + 1)
    parts = []
    for key, found in distances.items():
        counts = np.histogram(np.minimum(found[np.isfinite(found)], 1.0), edges)[0]
        density = counts / max(counts.sum(), 1) * BINS
        bins = {"left": edges[:-1], "right": edges[1:], "density": density}
        parts.append(pd.DataFrame(dict(zip(columns, key, strict=True)) | bins))
    return pd.concat(parts, ignore_index=True)
