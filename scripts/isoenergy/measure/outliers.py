"""OOD score: does the distance to the nearest images tell captions from images? (SPEC 4, X9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from isoenergy.measure.metric import Metric, why_not_finite
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
    "code_copies": (5, True),
}
# The one that counts copies of an image among its neighbours, as the authors' code does. All inner
# distances are 0 where every image has as many, and nothing is nearer than that.
WITH_COPIES = "code_copies"
_BLOCK = 1024
# Distances are rounded to this many decimals: float32 resolves no more, and equal rows must tie.
_DECIMALS = 6
# Rows nearer than this are copies.
_COPY = 10.0**-_DECIMALS
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
        The queries are the reference, row for row, and neither a row itself nor a copy of it (at a
        distance below 1e-6) is a neighbour of its own.
    block : int
        Queries at a time; bounds the memory to block x m.

    Returns
    -------
    ndarray of shape (n, len(ks)), float64
        In [0, 2], rounded to 1e-6; NaN where there are fewer than k neighbours.
    """
    nearest, _ = _nearest(queries, reference, max(ks), within, block)
    return nearest[:, np.array(ks) - 1]


def _nearest(
    queries: np.ndarray, reference: np.ndarray, most: int, within: bool, block: int = _BLOCK
) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the ``most`` nearest neighbours, rising, and how many copies each row has.

    See :func:`neighbour_distances`. Copies are counted ``within`` the reference alone.
    """
    queries, reference = (unit_rows(x.astype(np.float32)) for x in (queries, reference))
    distances = np.full((len(queries), most), np.nan)
    copies = np.zeros(len(queries), dtype=np.int64)
    kept = min(most, len(reference))
    for start in range(0, len(queries), block):
        found = 1 - queries[start : start + block] @ reference.T
        if within:
            rows = np.arange(len(found))
            found[rows, start + rows] = np.inf
        nearest = _smallest(found, kept)
        if within:
            copied = np.flatnonzero(nearest[:, 0] < _COPY)
            others = found[copied]
            same = others < _COPY
            copies[start + copied] = np.count_nonzero(same, axis=1)
            others[same] = np.inf
            nearest[copied] = _smallest(others, kept)
        distances[start : start + block, :kept] = nearest
    distances[np.isinf(distances)] = np.nan
    return np.clip(np.round(distances, _DECIMALS), 0.0, None), copies


def _smallest(found: np.ndarray, most: int) -> np.ndarray:
    """The ``most`` smallest entries of every row, rising; reorders the rows' own entries."""
    # One pivot and a sort of what lies before it: several pivots take five times as long.
    found.partition(most - 1, axis=1)
    return np.sort(found[:, :most], axis=1)


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
        ``code``: K = 5, a reference row counts as its own nearest neighbour, its copies do not
        count; ``paper``: K = 10, likewise; ``code_others`` and ``paper_others``: it does not count
        either; ``code_copies``: as ``code``, but copies count, which gives 1/2 where every row has
        four. NaN where a row of the reference has too few neighbours.
    """
    return _scores(reference, queries)[0]


def ood_metric(
    reference: np.ndarray, queries: np.ndarray, n: Mapping[str, int], seed: int
) -> Metric:
    """The metric ``ood_score`` of :func:`ood_scores`; its note tells of copies, or why it is NaN.

    Parameters
    ----------
    reference, queries : ndarray of shape (n, dim), (n, dim)
    n : mapping of str to int
        Sample sizes.
    seed : int
        That drew the samples.
    """
    scores, copied = _scores(reference, queries)
    note = f"{copied} of {len(reference)} reference rows have copies, which do not count"
    few = "a reference row has too few neighbours that are no copies of it"
    told = why_not_finite(scores, few) or (note if copied else "")
    return Metric("ood_score", scores, n, seed=seed, note=told)


def _scores(reference: np.ndarray, queries: np.ndarray) -> tuple[dict[str, float], int]:
    """The OOD scores, and how many rows of the reference have copies."""
    nearest, copies = _nearest(reference, reference, max(k for k, _ in PROTOCOLS.values()), True)
    outside = neighbour_distances(queries, reference, [k for k, _ in PROTOCOLS.values()])
    scores = {}
    for i, (name, (k, itself)) in enumerate(PROTOCOLS.items()):
        # A row is its own nearest neighbour, so counting it the k-th is the (k - 1)-th other row.
        place = k - itself
        inside = nearest[:, place - 1]
        if name == WITH_COPIES:
            beyond = np.maximum(place - copies, 1)[:, None] - 1
            further = np.take_along_axis(nearest, beyond, axis=1)[:, 0]
            inside = np.where(copies >= place, 0.0, further)
        scores[name] = youden_accuracy(inside, outside[:, i])
    return scores, int(np.count_nonzero(copies))


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
