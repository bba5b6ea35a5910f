"""The known factors behind a rendered scene, and how a set of scenes draws them.

A scene is a row of factor values. Shared factors are visible in the picture and (mostly) told by
the caption; picture-only factors are never told; text-only factors never show. Knowing them lets
the demo check what the paper (Section 4.1) can only argue: that bimodal atoms carry the shared
content and unimodal atoms the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["shared", "picture", "text"]


@dataclass(frozen=True)
class Factor:
    """One categorical factor: its name, which side shows it, and its values in code order."""

    name: str
    kind: Kind
    values: tuple[str, ...]


SHARED = (
    Factor(
        "shape",
        "shared",
        ("circle", "square", "triangle", "diamond", "cross", "ring", "star", "heart"),
    ),
    Factor(
        "colour",
        "shared",
        ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"),
    ),
    Factor("size", "shared", ("small", "medium", "large")),
    Factor(
        "place",
        "shared",
        (
            "top left",
            "top",
            "top right",
            "left",
            "centre",
            "right",
            "bottom left",
            "bottom",
            "bottom right",
        ),
    ),
    Factor("background", "shared", ("white", "black", "grey", "brown", "navy", "beige")),
    Factor("texture", "shared", ("plain", "striped", "dotted", "chequered")),
)
PICTURE = (
    Factor("noise", "picture", ("none", "light", "heavy")),
    Factor("exposure", "picture", ("normal", "dim", "bright")),
    Factor("border", "picture", ("none", "white", "black")),
    Factor("logo", "picture", ("none", "badge", "bar")),
    Factor("jitter", "picture", ("none", "tilted left", "tilted right")),
)
TEXT = (
    Factor("phrasing", "text", tuple(f"phrasing {i}" for i in range(8))),
    Factor(
        "tail",
        "text",
        (
            "none",
            "stock photo",
            "free download",
            "high resolution",
            "royalty free image",
            "buy online",
        ),
    ),
    Factor("adjective", "text", ("none", "lovely", "simple", "modern")),
)
FACTORS: tuple[Factor, ...] = SHARED + PICTURE + TEXT
BY_NAME: Mapping[str, Factor] = {factor.name: factor for factor in FACTORS}


def value_weights(n_values: int, skew: float) -> np.ndarray:
    """Probabilities of a factor's values, proportional to ``(1 + rank) ** -skew``.

    Parameters
    ----------
    n_values : int
        Number of values.
    skew : float
        0 is uniform; positive favours the first values, negative the last.

    Returns
    -------
    ndarray of shape (n_values,)
        Positive, sums to 1.
    """
    ranks = np.arange(n_values) if skew >= 0 else np.arange(n_values)[::-1]
    weights = (1.0 + ranks) ** -abs(skew)
    return weights / weights.sum()


def draw_factors(
    n: int,
    skew: float,
    rng: np.random.Generator,
    factors: Sequence[Factor] = FACTORS,
) -> dict[str, np.ndarray]:
    """Draw ``n`` independent scenes.

    Parameters
    ----------
    n : int
        Number of scenes.
    skew : float
        See :func:`value_weights`; one number for the whole set is its "mix".
    rng : numpy.random.Generator
    factors : sequence of Factor
        Which factors to draw.

    Returns
    -------
    dict of str to ndarray of shape (n,), int8
        For each factor the index into its values.
    """
    return {
        factor.name: rng.choice(
            len(factor.values), size=n, p=value_weights(len(factor.values), skew)
        ).astype(np.int8)
        for factor in factors
    }
