"""Retrieval and zero-shot accuracy (paper E.1, SPEC 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isoenergy.measure.vectors import Vectors, draw_rows

BATCH = 256
# Similarities that differ by less are equal: float32 resolves no more.
TIED = 1e-6
# What the note of every metric that ranks says.
TIES = "equal similarities (to 1e-6) count at their expected value"
_EPSILON = 1e-8


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length; rows shorter than 1e-8 are left near zero."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), _EPSILON)


def expected_hits(similarities: np.ndarray, own: np.ndarray, ks: Sequence[int]) -> dict[int, float]:
    """How many rows find their own candidate among their k most similar ones, ties by expectation.

    Similarities within 1e-6 of a row's own are equal to it. In a random order of its t equal
    candidates, itself among them, with m more similar ones ahead, it is among the first k with
    probability (k - m) / t, cut to [0, 1]. So no order of rows or columns decides, nor does
    rounding, which tells copies of a vector apart.

    Parameters
    ----------
    similarities : ndarray of shape (n, candidates)
    own : ndarray of shape (n, 1)
        The entry of each row that belongs to its own candidate.
    ks : sequence of int
        At least 1 each.

    Returns
    -------
    dict of int to float, in [0, n]
        A whole number where no row has a tie.
    """
    ahead = np.count_nonzero(similarities > own + TIED, axis=1)
    tied = np.count_nonzero(similarities >= own - TIED, axis=1) - ahead
    return {k: float(np.clip((k - ahead) / tied, 0, 1).sum()) for k in ks}


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
    other. Ties count at their expected value (:func:`expected_hits`): of t copies of a text in one
    batch, each is found for 1 / t.

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
    hits = dict.fromkeys(ks, 0.0)
    for start in starts:
        rows = order[start : start + batch]
        similarities = unit_rows(a[rows]) @ unit_rows(b[rows]).T
        own = np.diagonal(similarities)[:, None]
        for direction in (similarities, similarities.T):
            for k, found in expected_hits(direction, own, ks).items():
                hits[k] += found
    return {k: count / (2 * batch * len(starts)) for k, count in hits.items()}


def zero_shot_accuracy(
    image: Vectors, classes: np.ndarray, labels: np.ndarray, ks: Sequence[int]
) -> dict[int, float]:
    """Share of pictures whose class vector is among the k most similar ones.

    Ties count at their expected value, see :func:`expected_hits`.

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
    hits = dict.fromkeys(ks, 0.0)
    for start in range(0, len(image), 4096):
        similarities = unit_rows(image[start : start + 4096]) @ classes.T
        own = np.take_along_axis(similarities, labels[start : start + 4096, None], axis=1)
        for k, found in expected_hits(similarities, own, ks).items():
            hits[k] += found
    return {k: count / len(image) for k, count in hits.items()}
