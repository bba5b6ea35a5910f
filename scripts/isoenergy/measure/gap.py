"""The modality gap of two sets of vectors: DiM, W, RMG and linear separability (SPEC 4)."""

from __future__ import annotations

import numpy as np

from isoenergy.measure.retrieval import unit_rows
from isoenergy.measure.transport import Transport, transport_vectors

_ROUNDING = 1e-12
# Why separability and RMG are NaN, where they are, for their notes.
NO_HALVES = "a modality has fewer than 2 rows"
NO_DISTANCES = "there is a single pair, or all rows are the same"


def difference_in_mean(image: np.ndarray, text: np.ndarray) -> float:
    """DiM = |mean image - mean text|, vectors as they are; in [0, 2] for unit rows."""
    return float(
        np.linalg.norm(image.mean(axis=0, dtype=np.float64) - text.mean(axis=0, dtype=np.float64))
    )


def wasserstein(image: np.ndarray, text: np.ndarray) -> Transport:
    """W: exact transport between two samples, uniform weights, cost 1 - cosine.

    Parameters
    ----------
    image, text : ndarray of shape (n, dim), (m, dim)
        Normalised inside; a zero row has cosine 0 with everything.

    Returns
    -------
    Transport
        Its ``cost`` is W, in [0, 2].
    """
    x, y = (unit_rows(side.astype(np.float64)) for side in (image, text))
    return transport_vectors(np.ones(len(x)), x, np.ones(len(y)), y)


def relative_modality_gap(image: np.ndarray, text: np.ndarray) -> float:
    """RMG: distance of pairs relative to the distances within each modality (Schrodi et al. 2025).

    With u(c) = (1 - c) / 2 for a cosine c, RMG = u_pairs / (u_pairs + (u_images + u_texts) / 2),
    where u_pairs is the mean over matching pairs and u_images, u_texts those over all pairs of
    different rows. As u is affine, the mean of u is u of the mean cosine, and the mean cosine of
    different rows is (|sum x|^2 - sum |x|^2) / (n (n - 1)): no n x n array is needed.

    Parameters
    ----------
    image, text : ndarray of shape (n, dim)
        Row i of each is one pair; normalised inside. A zero row has cosine 0 with everything.

    Returns
    -------
    float
        In [0, 1]: 0 where pairs coincide, 1/2 where pairs are as far apart as other rows of one
        modality. NaN for a single pair, and where all rows are the same.
    """
    n = len(image)
    if n < 2:
        return float("nan")
    image, text = unit_rows(image.astype(np.float64)), unit_rows(text.astype(np.float64))

    def within(x: np.ndarray) -> float:
        cosine = (np.square(x.sum(axis=0)).sum() - np.square(x).sum()) / (n * (n - 1))
        return max((1 - cosine) / 2, 0.0)

    pairs = max((1 - (image * text).sum() / n) / 2, 0.0)
    total = pairs + (within(image) + within(text)) / 2
    # Rounding leaves about 1e-16 of distances that are 0.
    return float(pairs / total) if total > _ROUNDING else float("nan")


def separability(image: np.ndarray, text: np.ndarray, rng: np.random.Generator) -> float:
    """Test accuracy of a logistic-regression probe that tells images from texts.

    Half of each modality trains, the other half tests (l2 with C = 1, at most 1000 iterations).

    Returns
    -------
    float
        In [0, 1]; 0.5 is chance for equal sizes. NaN where a modality has fewer than 2 rows.
    """
    if min(len(image), len(text)) < 2:
        return float("nan")
    from sklearn.linear_model import LogisticRegression

    parts = []
    for rows, label in ((image, 1), (text, 0)):
        order = rng.permutation(len(rows))
        half = len(rows) // 2
        parts.append([(rows[order[:half]], label), (rows[order[half:]], label)])
    (x, y), (x_test, y_test) = (
        (
            np.concatenate([side[which][0] for side in parts]),
            np.concatenate([np.full(len(side[which][0]), side[which][1]) for side in parts]),
        )
        for which in (0, 1)
    )
    probe = LogisticRegression(C=1.0, max_iter=1000).fit(x, y)
    return float(probe.score(x_test, y_test))
