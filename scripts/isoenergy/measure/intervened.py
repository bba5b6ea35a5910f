"""What interventions on reconstructions do to gap and retrieval (Tables 9 to 11, SPEC 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from isoenergy.encode.codes import Codes, open_codes
from isoenergy.errors import InputError
from isoenergy.measure.energy import Moments, atom_energies
from isoenergy.measure.gap import (
    NO_DISTANCES,
    NO_HALVES,
    difference_in_mean,
    relative_modality_gap,
    separability,
    wasserstein,
)
from isoenergy.measure.interventions import INTERVENTIONS, Means, Pair, changed
from isoenergy.measure.metric import Metric, why_not_finite
from isoenergy.measure.opened import Measured, open_measured
from isoenergy.measure.outliers import (
    PROTOCOLS,
    distance_densities,
    neighbour_distances,
    ood_metric,
)
from isoenergy.measure.reconstruction import Reconstructions
from isoenergy.measure.record import write_metrics, write_table
from isoenergy.measure.retrieval import TIES, recall_at, zero_shot_accuracy
from isoenergy.measure.vectors import Vectors, draw_rows
from isoenergy.seeds import generator

RECONSTRUCTION, MASKED = "reconstruction", "masked"
# In the order of Tables 9 to 11.
FORMS = (RECONSTRUCTION, "centered", MASKED, "random", "shifted")
GAP_METRICS = ("difference_in_mean", "wasserstein", "separability", "rmg", "ood_score")
PAIR_METRICS = (*GAP_METRICS, "recall_at_1")
CLASS_METRICS = ("zero_shot_at_1",)
OWN, TRAIN = "own", "train"


@dataclass(frozen=True)
class InterventionSettings:
    """How interventions are made and measured.

    Attributes
    ----------
    tau : float
        Modality threshold of the mask, in (0, 0.5).
    means : {"train", "own"}
        Whose means are taken away: those of the training set's reconstructions, as in the
        paper's tables, or the data set's own.
    gap : int
        Images, and texts, drawn for DiM and separability, pairs for RMG.
    wasserstein : int
        Images, and texts, drawn for W.
    ood : int
        Images, and texts, drawn for the OOD score, which depends on it.
    recall : int
        Pairs drawn for recall.
    """

    tau: float
    means: str
    gap: int
    wasserstein: int
    ood: int
    recall: int


def mean_reconstructions(codes: Codes, dictionary: np.ndarray) -> Means:
    """Means of the reconstructions of all images and all texts, from the mean codes."""
    image, text = (
        Moments.of(side).total / len(codes) @ dictionary.astype(np.float64)
        for side in (codes.image, codes.text)
    )
    return Means(image, text)


def intervene(
    form: str,
    measured: Measured,
    bimodal: np.ndarray,
    means: Means,
    seed: int,
) -> tuple[Vectors, Vectors]:
    """Reconstructions of all images and texts after one intervention.

    Parameters
    ----------
    form : str
        One of ``FORMS``.
    measured : Measured
    bimodal : ndarray of shape (K,), bool
        Atoms that the mask keeps.
    means : Means
    seed : int
        Draws the direction of ``"random"``.

    Returns
    -------
    image, text : Vectors of shape (n, dim), float32
        Made when asked for; normalised for ``"random"`` alone.
    """
    kept = bimodal if form == MASKED else None
    image, text = (
        Reconstructions(codes, measured.dictionary, kept) for _, codes in measured.sides()
    )
    if form not in INTERVENTIONS:
        return image, text

    def act(images: np.ndarray, texts: np.ndarray) -> Pair:
        # The same direction for every block of rows.
        return INTERVENTIONS[form](images, texts, means, generator(seed, "direction"))

    return changed(image, text, act)


def measure_interventions(
    store: str | Path,
    weights: str | Path,
    codes: str | Path,
    train_codes: str | Path,
    folder: str | Path,
    neighbours: str | Path,
    settings: InterventionSettings,
    seed: int,
) -> None:
    """Measure gap and retrieval of one SAE's reconstructions after every intervention.

    Parameters
    ----------
    store, weights, codes : path
        A store, ``sae.safetensors``, and ``codes.json`` of that SAE and store.
    train_codes : path
        ``codes.json`` of the store that the SAE was trained on: its energies say which atoms are
        bimodal.
    folder : path
        ``{form}/{metric}.json`` go here: for each of ``FORMS`` the ``PAIR_METRICS``, for labelled
        classes also the ``CLASS_METRICS``.
    neighbours : path
        Figure data to write: for every form and modality the density of the distance to the
        nearest images.
    settings : InterventionSettings
    seed : int

    Raises
    ------
    InputError
        If the files do not belong together, a setting is unknown, or a class has no picture.
    """
    if settings.means not in (TRAIN, OWN):
        raise InputError(f"means is {settings.means!r}; allowed are {TRAIN} and {OWN}")
    measured, trained = open_measured(store, weights, codes), open_codes(train_codes)
    bimodal = atom_energies(trained.image, trained.text).groups(settings.tau) == "bimodal"
    of = trained if settings.means == TRAIN else measured.codes
    means = mean_reconstructions(of, measured.dictionary)
    labels, first = _class_rows(measured)
    distances, told = {}, asdict(settings)
    for form in FORMS:
        image, text = intervene(form, measured, bimodal, means, seed)
        zero = measured.zero_share(bimodal if form == MASKED else None)
        pair, named = measure_pair(image, text, settings, seed), f"{__name__}.PAIR_METRICS"
        write_metrics(Path(folder) / form, pair, PAIR_METRICS, named, told, zero)
        if labels is not None:
            found = zero_shot_accuracy(image, text[first], labels, (1,))
            n = {"images": len(image)}
            metric = Metric("zero_shot_at_1", {"code": found[1]}, n, note=TIES)
            named = f"{__name__}.CLASS_METRICS"
            write_metrics(Path(folder) / form, [metric], CLASS_METRICS, named, told, zero)
        nearest = nearest_images(image, text, settings.ood, seed)
        distances[form, "image"], distances[form, "text"] = nearest
    write_table(neighbours, distance_densities(distances, ("form", "modality")), told)


def measure_pair(
    image: Vectors, text: Vectors, settings: InterventionSettings, seed: int
) -> Iterator[Metric]:
    """The ``PAIR_METRICS`` of two sets of vectors; the same samples and batches for one seed."""
    yield from measure_gap(image, text, settings, seed)
    recall = recall_at(image, text, (1,), generator(seed, "recall"), most=settings.recall)[1]
    n = {"pairs": min(len(image), settings.recall)}
    yield Metric("recall_at_1", {"code": recall}, n, seed=seed, note=TIES)


def measure_gap(
    image: Vectors, text: Vectors, settings: InterventionSettings, seed: int
) -> Iterator[Metric]:
    """The ``GAP_METRICS`` of two sets of vectors of shape (n, dim), of which samples are read."""
    n = len(image)
    rng = generator(seed, "gap")
    images, texts = (draw_rows(n, settings.gap, rng) for _ in range(2))
    size = {"images": len(images), "texts": len(texts)}
    gap = difference_in_mean(image[images], text[texts])
    yield Metric("difference_in_mean", {"code": gap}, size, seed=seed)
    few = min(settings.wasserstein, n)
    solved = wasserstein(image[images[:few]], text[texts[:few]])
    note = f"relative duality gap {max(solved.gap, 0):.1e}"
    size_w = {"images": few, "texts": few}
    yield Metric("wasserstein", {"code": solved.cost}, size_w, seed=seed, note=note)
    probe = separability(image[images], text[texts], rng)
    halves = {name: count // 2 for name, count in size.items()}
    told = {"protocol": "paper", "seed": seed}
    note = why_not_finite({"paper": probe}, NO_HALVES)
    yield Metric("separability", {"paper": probe}, halves, **told, note=note)
    pairs = draw_rows(n, settings.gap, generator(seed, "pairs"))
    relative = relative_modality_gap(image[pairs], text[pairs])
    note = why_not_finite({"paper": relative}, NO_DISTANCES)
    yield Metric("rmg", {"paper": relative}, {"pairs": len(pairs)}, **told, note=note)
    inside, outside = draw_neighbourhood(image, text, settings.ood, seed)
    yield ood_metric(inside, outside, {"images": len(inside), "texts": len(outside)}, seed)


def draw_neighbourhood(image: Vectors, text: Vectors, size: int, seed: int) -> Pair:
    """The images and texts whose neighbours are looked for; the same rows for one seed."""
    rng = generator(seed, "ood")
    images, texts = (draw_rows(len(image), size, rng) for _ in range(2))
    return image[images], text[texts]


def nearest_images(image: Vectors, text: Vectors, size: int, seed: int) -> Pair:
    """Distances of drawn images, and texts, to the nearest of the images (Figs 4 and 25, K = 5).

    Returns
    -------
    image, text : ndarray of shape (drawn, 1)
        An image is its own first neighbour, as in the authors' code; its copies are none.
    """
    inside, outside = draw_neighbourhood(image, text, size, seed)
    k, _ = PROTOCOLS["code"]
    return (
        neighbour_distances(inside, inside, [k - 1], within=True),
        neighbour_distances(outside, inside, [k]),
    )


def _class_rows(measured: Measured) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Labels, and for every class the first row that has its text; None without classes."""
    if measured.store.classes is None:
        return None, None
    labels = measured.store.metadata()["label"].to_numpy()
    found, first = np.unique(labels, return_index=True)
    n = len(measured.store.classes)
    if len(found) < n:
        absent = next(label for label in range(n) if label not in set(found))
        raise InputError(
            f"{measured.store.path}: class {absent} of {n} has no picture, so that its text was "
            "not encoded; ask for more rows"
        )
    return labels, first
