"""Everything measured on raw embeddings of one model and data set (Table 6, Figs 10 and 11)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isoenergy.embed.rows import NORM_TOLERANCE
from isoenergy.embed.store import EmbeddingStore, open_store
from isoenergy.errors import InputError
from isoenergy.measure.classifier import ClassifierTraining, classifier_accuracy
from isoenergy.measure.gap import (
    NO_DISTANCES,
    NO_HALVES,
    difference_in_mean,
    relative_modality_gap,
    separability,
    wasserstein,
)
from isoenergy.measure.geometry import (
    COSINE_KINDS,
    along_gap,
    cosine_histograms,
    principal_plane,
)
from isoenergy.measure.metric import Metric, why_not_finite
from isoenergy.measure.outliers import ood_metric
from isoenergy.measure.record import write_metrics, write_table
from isoenergy.measure.retrieval import TIES, recall_at, zero_shot_accuracy
from isoenergy.measure.vectors import draw_rows
from isoenergy.seeds import generator

if TYPE_CHECKING:
    import pandas as pd

RECALL_KS = (1, 5)
PAIR_METRICS = (
    "difference_in_mean",
    "wasserstein",
    "separability",
    "rmg",
    "ood_score",
    "recall_at_1",
    "recall_at_5",
)
CLASS_METRICS = ("zero_shot_at_1", "zero_shot_at_5")
CLASSIFIER_METRICS = ("classifier_at_1", "classifier_at_5")


@dataclass(frozen=True)
class Samples:
    """Largest sample sizes; a smaller set is used whole.

    Attributes
    ----------
    gap : int
        Images, and texts, for DiM, separability, the OOD score, PCA and cosines; pairs for RMG.
    wasserstein : int
        Images, and texts, for W; its cost grows with the cube.
    recall : int
        Pairs for recall.
    """

    gap: int
    wasserstein: int
    recall: int


def measure_embeddings(
    store: str | Path,
    folder: str | Path,
    pca: str | Path,
    cosines: str | Path,
    samples: Samples,
    seed: int,
) -> None:
    """Measure the embeddings of one store and write a metric file for each number.

    Parameters
    ----------
    store : path
    folder : path
        Where ``{metric}.json`` go: ``PAIR_METRICS``, for labelled classes also
        ``CLASS_METRICS``.
    pca, cosines : path
        Figure data to write: see :func:`plane_table`, and cosine histograms.
    samples : Samples
    seed : int
    """
    opened = open_store(store)
    n, told = len(opened), asdict(samples)
    pairs = [*_gap_metrics(opened, samples, seed), *_retrieval_metrics(opened, samples, seed)]
    write_metrics(folder, pairs, PAIR_METRICS, f"{__name__}.PAIR_METRICS", told)
    if opened.classes is not None:
        labels = opened.metadata()["label"].to_numpy()
        accuracy = zero_shot_accuracy(opened.image, opened.classes, labels, RECALL_KS)
        classes = [
            Metric(f"zero_shot_at_{k}", {"code": value}, {"images": n}, note=TIES)
            for k, value in accuracy.items()
        ]
        write_metrics(folder, classes, CLASS_METRICS, f"{__name__}.CLASS_METRICS", told)
    _write_figure_data(opened, pca, cosines, samples, seed)


def _gap_metrics(store: EmbeddingStore, samples: Samples, seed: int) -> list[Metric]:
    rng = generator(seed, "gap")
    n = len(store)
    image = store.image[draw_rows(n, samples.gap, rng)]
    text = store.text[draw_rows(n, samples.gap, rng)]
    size = {"images": len(image), "texts": len(text)}
    few = min(samples.wasserstein, n)
    solved = wasserstein(image[:few], text[:few])
    # A probe is trained on one half and tested on the other, each a sample of its own.
    halves = [rows[draw_rows(n, 2 * samples.gap, rng)] for rows in (store.image, store.text)]
    pairs = draw_rows(n, samples.gap, generator(seed, "pairs"))
    apart = {"paper": separability(*halves, rng)}
    relative = {"paper": relative_modality_gap(store.image[pairs], store.text[pairs])}
    return [
        Metric("difference_in_mean", {"code": difference_in_mean(image, text)}, size, seed=seed),
        Metric(
            "wasserstein",
            {"code": solved.cost},
            {"images": few, "texts": few},
            seed=seed,
            note=f"relative duality gap {max(solved.gap, 0):.1e}",
        ),
        Metric(
            "separability",
            apart,
            {name: len(half) // 2 for name, half in zip(size, halves, strict=True)},
            protocol="paper",
            seed=seed,
            note=why_not_finite(apart, NO_HALVES),
        ),
        Metric(
            "rmg",
            relative,
            {"pairs": len(pairs)},
            protocol="paper",
            seed=seed,
            note=why_not_finite(relative, NO_DISTANCES),
        ),
        ood_metric(image, text, size, seed),
    ]


def _retrieval_metrics(store: EmbeddingStore, samples: Samples, seed: int) -> list[Metric]:
    rng = generator(seed, "recall")
    recall = recall_at(store.image, store.text, RECALL_KS, rng, most=samples.recall)
    n = {"pairs": min(len(store), samples.recall)}
    told = {"seed": seed, "note": TIES}
    return [Metric(f"recall_at_{k}", {"code": value}, n, **told) for k, value in recall.items()]


def _write_figure_data(
    store: EmbeddingStore, pca: str | Path, cosines: str | Path, samples: Samples, seed: int
) -> None:
    rows, rng = draw_shown(len(store), samples.gap, seed)
    image, text = store.image[rows], store.text[rows]
    write_table(pca, plane_table(image, text), {"gap": samples.gap})
    _write_cosines(cosines, image, text, samples.gap, rng)


def draw_shown(n: int, size: int, seed: int) -> tuple[np.ndarray, np.random.Generator]:
    """Rows that figures of embeddings show, the same for one seed, and the generator after them."""
    rng = generator(seed, "figures")
    return draw_rows(n, size, rng), rng


def plane_table(image: np.ndarray, text: np.ndarray) -> pd.DataFrame:
    """Where images and texts lie in their principal plane and along the difference of their means.

    Parameters
    ----------
    image, text : ndarray of shape (n, dim), (m, dim)

    Returns
    -------
    DataFrame
        ``modality``, ``x``, ``y`` and ``along`` (see
        :func:`isoenergy.measure.geometry.along_gap`), float32; the images first.
    """
    import pandas as pd

    planes, lines = principal_plane(image, text), along_gap(image, text)
    parts = [
        pd.DataFrame(
            {
                "modality": name,
                **dict(zip(("x", "y", "along"), np.float32([*xy.T, along]), strict=True)),
            }
        )
        for name, xy, along in zip(("image", "text"), planes, lines, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def _write_cosines(
    path: str | Path, image: np.ndarray, text: np.ndarray, gap: int, rng: np.random.Generator
) -> None:
    import pandas as pd

    histograms = cosine_histograms(image, text, rng)
    left, right = histograms["edges"][:-1], histograms["edges"][1:]
    bins = [
        pd.DataFrame({"kind": kind, "left": left, "right": right, "density": histograms[kind]})
        for kind in COSINE_KINDS
    ]
    write_table(path, pd.concat(bins, ignore_index=True), {"gap": gap})


def measure_cosines(store: str | Path, cosines: str | Path, gap: int, seed: int) -> None:
    """Write the cosine histograms of one store alone, as :func:`measure_embeddings` does.

    Parameters
    ----------
    store : path
    cosines : path
    gap : int
        Pairs to draw; a smaller store is used whole.
    seed : int
    """
    opened = open_store(store)
    rows, rng = draw_shown(len(opened), gap, seed)
    _write_cosines(cosines, opened.image[rows], opened.text[rows], gap, rng)


def measure_classifier(
    train_store: str | Path,
    test_store: str | Path,
    folder: str | Path,
    training: ClassifierTraining,
    seed: int,
) -> None:
    """Train the linear classifier on one store of labelled classes, test it on another.

    Parameters
    ----------
    train_store, test_store : path
    folder : path
        Where ``CLASSIFIER_METRICS`` go.
    training : ClassifierTraining
    seed : int

    Raises
    ------
    InputError
        If a store has no classes, or they are not the same ones.
    """
    train, test = open_store(train_store), open_store(test_store)
    classes = [store.classes for store in (train, test)]
    # The same prompts embedded in other batches agree to rounding only.
    if (
        any(vectors is None for vectors in classes)
        or classes[0].shape != classes[1].shape
        or not np.allclose(*classes, atol=NORM_TOLERANCE)
    ):
        raise InputError(
            f"{train_store} and {test_store} must hold the same labelled classes to train and "
            "test a classifier"
        )
    accuracy = classifier_accuracy(
        train.image,
        train.metadata()["label"].to_numpy(),
        test.image,
        test.metadata()["label"].to_numpy(),
        len(train.classes),
        RECALL_KS,
        training,
        seed,
    )
    size = {"train": len(train), "test": len(test)}
    metrics = [
        Metric(f"classifier_at_{k}", {"code": value}, size, seed=seed, note=TIES)
        for k, value in accuracy.items()
    ]
    write_metrics(folder, metrics, CLASSIFIER_METRICS, f"{__name__}.CLASSIFIER_METRICS")
