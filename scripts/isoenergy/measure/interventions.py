"""Ways to close the modality gap, on reconstructions and on raw embeddings (SPEC 5, Tables 9-12).

Every function takes two sets of vectors, images and texts, and returns both anew, each row from
that row alone. Nothing is normalised unless it says so: recall, zero-shot accuracy, W and the OOD
score normalise inside, DiM takes vectors as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from isoenergy.measure.retrieval import unit_rows
from isoenergy.measure.vectors import Changed, Vectors, mean_vector
from isoenergy.registry import Registry

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Means:
    """Mean image and mean text that an intervention takes away.

    Attributes
    ----------
    image, text : ndarray of shape (dim,), float64
    """

    image: np.ndarray
    text: np.ndarray

    @classmethod
    def of(cls, image: Vectors, text: Vectors) -> Means:
        """The means of two sets of vectors of shape (n, dim), (m, dim)."""
        return cls(mean_vector(image), mean_vector(text))

    @property
    def difference(self) -> np.ndarray:
        """Mean image less mean text, ndarray of shape (dim,)."""
        return self.image - self.text


Intervention = Callable[[np.ndarray, np.ndarray, Means, np.random.Generator], Pair]
# On reconstructions with all atoms, in the order of Tables 9 to 11; the mask acts on codes.
INTERVENTIONS: Registry[Intervention] = Registry("intervention")


def changed(
    image: Vectors, text: Vectors, act: Callable[[np.ndarray, np.ndarray], Pair]
) -> tuple[Vectors, Vectors]:
    """What an intervention makes of rows, when they are asked for.

    Parameters
    ----------
    image, text : Vectors of shape (n, dim), (m, dim)
    act : callable
        One of the interventions here, all else than the vectors given.
    """
    none = np.empty((0, image.shape[1]), dtype=np.float32)
    return Changed(image, lambda rows: act(rows, none)[0]), Changed(
        text, lambda rows: act(none, rows)[1]
    )


def _moved(rows: np.ndarray, by: np.ndarray) -> np.ndarray:
    return rows + by.astype(rows.dtype)


@INTERVENTIONS.register("centered")
def center(image: np.ndarray, text: np.ndarray, means: Means, rng: np.random.Generator) -> Pair:
    """Each modality less its mean."""
    del rng
    return _moved(image, -means.image), _moved(text, -means.text)


@INTERVENTIONS.register("shifted")
def shift(image: np.ndarray, text: np.ndarray, means: Means, rng: np.random.Generator) -> Pair:
    """Both modalities moved to the midpoint of their means, half the difference each."""
    del rng
    half = means.difference / 2
    return _moved(image, -half), _moved(text, half)


@INTERVENTIONS.register("random")
def randomise(image: np.ndarray, text: np.ndarray, means: Means, rng: np.random.Generator) -> Pair:
    """Each modality less its mean, plus one random unit vector; rows then normalised (X21).

    The vector is one draw of ``rng``, uniform on the sphere and the same for both modalities.
    """
    direction = rng.standard_normal(image.shape[1])
    direction /= np.linalg.norm(direction)
    return (
        unit_rows(_moved(image, direction - means.image)),
        unit_rows(_moved(text, direction - means.text)),
    )


def without_direction(rows: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Rows less their component along ``direction``, ndarray of shape (dim,); as they are if 0."""
    length = np.linalg.norm(direction)
    if length == 0:
        return rows.copy()
    unit = (direction / length).astype(rows.dtype)
    return rows - np.outer(rows @ unit, unit)


def without_means(image: np.ndarray, text: np.ndarray, means: Means) -> Pair:
    """Baseline A of Table 12: each modality less its mean."""
    return _moved(image, -means.image), _moved(text, -means.text)


def without_mean_directions(image: np.ndarray, text: np.ndarray, means: Means) -> Pair:
    """Baseline B of Table 12: each modality less its component along its own mean."""
    return without_direction(image, means.image), without_direction(text, means.text)


def without_difference(image: np.ndarray, text: np.ndarray, means: Means) -> Pair:
    """Baseline C of Table 12: both less their component along the difference of means."""
    return without_direction(image, means.difference), without_direction(text, means.difference)


def without_axes(image: np.ndarray, text: np.ndarray, means: Means, n: int) -> Pair:
    """Schrodi et al.: drop the ``n`` canonical axes along which the means differ most.

    Parameters
    ----------
    image, text : ndarray of shape (rows, dim), (rows, dim)
    means : Means
    n : int
        In [0, dim]; of equal differences the lower axis goes first.
    """
    axes = np.argsort(-np.abs(means.difference), kind="stable")[:n]
    kept = np.ones(len(means.image), dtype=image.dtype)
    kept[axes] = 0
    return image * kept, text * kept


def axes_to_drop(means: Means, target: float, most: int) -> int:
    """Fewest axes whose removal by :func:`without_axes` brings the distance of means to ``target``.

    Parameters
    ----------
    means : Means
    target : float
        Largest distance allowed; 0.22 in the paper, from 0.72.
    most : int
        Axes to drop at most; this is returned where the target is not reached.
    """
    squares = np.sort(np.square(means.difference))[::-1]
    left = np.sqrt(np.maximum(squares.sum() - np.concatenate([[0.0], np.cumsum(squares)]), 0.0))
    reached = np.flatnonzero(left[: most + 1] <= target)
    return int(reached[0]) if len(reached) else most
