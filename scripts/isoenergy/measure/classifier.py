"""Accuracy of a linear classifier trained on picture embeddings (paper E.1, SPEC 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isoenergy.measure.retrieval import expected_hits
from isoenergy.measure.vectors import Vectors

# Rows tested at a time.
_TESTED = 4096


@dataclass(frozen=True)
class ClassifierTraining:
    """How the classifier is trained: Adam, linear warm-up, then cosine decay to 0."""

    epochs: int
    batch_size: int
    rate: float
    warm_up_steps: int


def classifier_accuracy(
    train: Vectors,
    train_labels: np.ndarray,
    test: Vectors,
    test_labels: np.ndarray,
    n_classes: int,
    ks: Sequence[int],
    training: ClassifierTraining,
    seed: int,
) -> dict[int, float]:
    """Train batch normalisation and a linear layer, and test it.

    Parameters
    ----------
    train, test : Vectors of shape (n, dim), (m, dim)
        Read a batch at a time.
    train_labels, test_labels : ndarray of shape (n,), (m,), int
        In [0, n_classes).
    n_classes : int
    ks : sequence of int
    training : ClassifierTraining
    seed : int

    Returns
    -------
    dict of int to float, in [0, 1]
        Top-k accuracy on the test set; ties count at their expected value, see
        :func:`isoenergy.measure.retrieval.expected_hits`.
    """
    import torch
    from torch import nn

    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.BatchNorm1d(train.shape[1]), nn.Linear(train.shape[1], n_classes))
    optimiser = torch.optim.Adam(model.parameters(), lr=training.rate)
    batch = training.batch_size
    # Batch normalisation cannot train on a batch of one row, so such a last batch is dropped.
    starts = [start for start in range(0, len(train), batch) if len(train) - start > 1]
    total = training.epochs * len(starts)
    warm_up = min(training.warm_up_steps, max(total - 1, 1))

    def rate(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + np.cos(np.pi * (step - warm_up) / max(total - warm_up, 1)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    for _ in range(training.epochs):
        order = rng.permutation(len(train))
        for start in starts:
            rows = order[start : start + batch]
            scores = model(torch.from_numpy(train[rows]))
            loss = nn.functional.cross_entropy(scores, torch.from_numpy(train_labels[rows]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    model.eval()
    hits = dict.fromkeys(ks, 0.0)
    with torch.inference_mode():
        for start in range(0, len(test), _TESTED):
            span = slice(start, start + _TESTED)
            scores = model(torch.from_numpy(test[span])).numpy()
            own = np.take_along_axis(scores, np.asarray(test_labels[span])[:, None], axis=1)
            for k, found in expected_hits(scores, own, ks).items():
                hits[k] += found
    return {k: count / len(test) for k, count in hits.items()}
