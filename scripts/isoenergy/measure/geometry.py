"""Projections and histograms that figures show (paper Figs 2, 10, 11, 13; SPEC 6.2)."""

from __future__ import annotations

import numpy as np

HISTOGRAM_BINS = 99
_NARROWEST = 1e-6
COSINE_KINDS = ("I-I", "T-T", "I-T", "I-T (aligned)", "random")


def modality_directions(
    dictionary: np.ndarray, energy: np.ndarray, group: np.ndarray
) -> dict[str, np.ndarray]:
    """Unit directions that tell each group of atoms from the others.

    For each group a weighted linear regression of 1 (in the group) against 0 (not) on the atoms;
    half the weight lies on the group and half on the rest, each proportional to energy. (The
    authors' code pairs the weights with the wrong atoms, SPEC 6.2; here they are their own.)

    Parameters
    ----------
    dictionary : ndarray of shape (K, dim)
    energy : ndarray of shape (K,)
    group : ndarray of shape (K,), str
        ``"image"``, ``"bimodal"``, ``"text"`` or ``"dead"``; the dead count for nothing.

    Returns
    -------
    dict of str to ndarray of shape (dim,)
        Zeros for a group without energy, or with all of it.
    """
    directions = {}
    live = np.where(group == "dead", 0.0, energy)
    for name in ("image", "bimodal", "text"):
        inside = group == name
        own, rest = live[inside].sum(), live[~inside].sum()
        if own == 0 or rest == 0:
            directions[name] = np.zeros(dictionary.shape[1])
            continue
        weight = np.sqrt(np.where(inside, live / own, live / rest) / 2)
        design = np.column_stack([dictionary, np.ones(len(dictionary))]) * weight[:, None]
        solution, *_ = np.linalg.lstsq(design, inside * weight, rcond=None)
        length = np.linalg.norm(solution[:-1])
        directions[name] = solution[:-1] / length if length > 0 else solution[:-1]
    return directions


def barycentres(plan: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Where transport takes each point on average: row i is sum_j plan_ij points_j / sum_j plan_ij.

    Parameters
    ----------
    plan : ndarray or sparse matrix of shape (n, m)
        Non-negative.
    points : ndarray of shape (m, dim)

    Returns
    -------
    ndarray of shape (n, dim)
        NaN for a row without mass.
    """
    mass = np.asarray(plan.sum(axis=1)).reshape(-1, 1)
    return np.divide(
        plan @ points, mass, out=np.full((len(mass), points.shape[1]), np.nan), where=mass > 0
    )


def principal_plane(image: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in the first two principal components of images and texts together.

    The sign of each axis is chosen so that its largest loading is positive.

    Parameters
    ----------
    image, text : ndarray of shape (n, dim), (m, dim)

    Returns
    -------
    image_xy, text_xy : ndarray of shape (n, 2), (m, 2)
    """
    both = np.concatenate([image, text]).astype(np.float64)
    centre = both.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(both, rowvar=False))
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    return (image - centre) @ axes, (text - centre) @ axes


def along_gap(image: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along the difference of means, where the modality gap is whatever else varies.

    Parameters
    ----------
    image, text : ndarray of shape (n, dim), (m, dim)

    Returns
    -------
    image, text : ndarray of shape (n,), (m,), float64
        0 is the midpoint of the means and images lie above it, so that their mean less that of
        texts is DiM. All 0 where both means are the same.
    """
    means = [side.mean(axis=0, dtype=np.float64) for side in (image, text)]
    difference, middle = means[0] - means[1], (means[0] + means[1]) / 2
    length = np.linalg.norm(difference)
    unit = difference / length if length > 0 else difference
    return (image - middle) @ unit, (text - middle) @ unit


def cosine_histograms(
    image: np.ndarray, text: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Histograms of cosines within and across modalities, and of white noise.

    Other pairs than the aligned ones are formed by one random permutation. The 99 bins span all
    cosines found, and are of width 1e-6 at least.

    Parameters
    ----------
    image, text : ndarray of shape (n, dim)
        Unit-norm rows; row i of each is one pair.

    Returns
    -------
    dict
        ``edges`` of shape (100,), and for each of ``COSINE_KINDS`` a density of shape (99,); 0
        everywhere for a kind without pairs, as a store of one pair leaves all but one.
    """
    n, dim = image.shape
    other = rng.permutation(n)
    noise = rng.standard_normal((n, dim))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)

    def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.einsum("nd,nd->n", a, b, dtype=np.float64)

    values = {
        "I-I": cosines(image, image[other]),
        "T-T": cosines(text, text[other]),
        "I-T": cosines(image, text[other]),
        "I-T (aligned)": cosines(image, text),
        "random": cosines(noise, noise[other]),
    }
    # A row that the permutation leaves in place is no random pair.
    moved = other != np.arange(n)
    values = {kind: v if kind == "I-T (aligned)" else v[moved] for kind, v in values.items()}
    everything = np.concatenate(list(values.values()))
    low = everything.min()
    high = max(everything.max(), low + HISTOGRAM_BINS * _NARROWEST)
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)

    def density(values: np.ndarray) -> np.ndarray:
        counts = np.histogram(values, bins=edges)[0]
        return counts / np.diff(edges) / max(counts.sum(), 1)

    return {"edges": edges, **{kind: density(v) for kind, v in values.items()}}
