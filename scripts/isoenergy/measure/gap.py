"""The modality gap of two sets of vectors: DiM, W and linear separability (SPEC 4)."""

from __future__ import annotations

import numpy as np

from isoenergy.measure.retrieval import unit_rows
from isoenergy.measure.transport import Transport, transport_vectors


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


def separability(image: np.ndarray, text: np.ndarray, rng: np.random.Generator) -> float:
    """Test accuracy of a logistic-regression probe that tells images from texts.

    Half of each modality trains, the other half tests (l2 with C = 1, at most 1000 iterations).

    Returns
    -------
    float
        In [0, 1]; 0.5 is chance for equal sizes.
    """
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
