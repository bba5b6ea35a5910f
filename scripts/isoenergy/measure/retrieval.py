"""Retrieval and zero-shot accuracy (paper E.1, SPEC 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isoenergy.measure.vectors import Vectors, draw_rows

BATCH = 256
_EPSILON = 1e-8


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length; rows shorter than 1e-8 are left near zero."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), _EPSILON)


def _hits(similarities: np.ndarray, k: int) -> int:
    """Rows whose diagonal entry is among their k largest; of equals the first column wins."""
    own = np.diagonal(similarities)[:, None]
    before = np.tri(len(similarities), k=-1, dtype=bool)
    rank = (similarities > own).sum(axis=1) + ((similarities == own) & before).sum(axis=1)
    return int((rank < k).sum())


def recall_at(
    a: Vectors,
    b: Vectors,
    ks: Sequence[int],
    rng: np.random.Generator,
    batch: int = BATCH,
    most: int | None = None,
) -> dict[int, float]:
    """In-batch recall@k, both directions averaged.

    Pairs are permuted and cut into batches; a last partial batch is dropped, unless there is no
    other. Ties go to the row that comes first, so copies of a text in one batch count as errors.

    Parameters
    ----------
    a, b : Vectors of shape (n, dim)
        Row i of each is one pair; normalised inside. A batch is read at a time.
    ks : sequence of int
    rng : numpy.random.Generator
        Permutes the pairs.
    batch : int
        256 in the paper; recall depends on it.
    most : int, optional
        Pairs to draw where there are more.

    Returns
    -------
    dict of int to float, in [0, 1]
        1 for a single pair, which has nothing to be confused with.
    """
    order = draw_rows(len(a), len(a) if most is None else most, rng)
    batch = min(batch, len(order))
    starts = range(0, len(order) - batch + 1, batch)
    hits = dict.fromkeys(ks, 0)
    for start in starts:
        rows = order[start : start + batch]
        similarities = unit_rows(a[rows]) @ unit_rows(b[rows]).T
        for k in ks:
            hits[k] += _hits(similarities, k) + _hits(similarities.T, k)
    return {k: count / (2 * batch * len(starts)) for k, count in hits.items()}


def zero_shot_accuracy(
    image: Vectors, classes: np.ndarray, labels: np.ndarray, ks: Sequence[int]
) -> dict[int, float]:
    """Share of pictures whose class vector is among the k most similar ones.

    Parameters
    ----------
    image : Vectors of shape (n, dim)
    classes : ndarray of shape (C, dim)
    labels : ndarray of shape (n,), int
        In [0, C).
    ks : sequence of int

    Returns
    -------
    dict of int to float, in [0, 1]
    """
    classes = unit_rows(classes)
    hits = dict.fromkeys(ks, 0)
    for start in range(0, len(image), 4096):
        similarities = unit_rows(image[start : start + 4096]) @ classes.T
        label = labels[start : start + 4096, None]
        own = np.take_along_axis(similarities, label, axis=1)
        earlier = np.arange(len(classes)) < label
        rank = (similarities > own).sum(1) + ((similarities == own) & earlier).sum(1)
        for k in ks:
            hits[k] += int((rank < k).sum())
    return {k: count / len(image) for k, count in hits.items()}
