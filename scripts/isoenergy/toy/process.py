"""The toy data-generating process of the paper's Appendix C (SPEC 3, X18).

Two dictionaries explain the same embeddings. In the *merged* one a shared concept has an image and
a text copy with cosine tau_1; in the *split* one it is one shared atom plus a private atom per
modality. Every sample has a modality bias atom and the same concepts in both modalities, scaled so
that matching pairs have cosine tau_2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from isoenergy.errors import InputError

# Share of the dimensions of each modality's private block, and how far its cone leans one way.
PRIVATE_SHARE = 0.1
CONE = 10.0
# Concepts per bias atom, and their relative frequencies from the most to the least common.
CONCEPTS_PER_BIAS = 4
FREQUENCIES = (0.5, 0.1)
_MAX_ROUNDS = 1000


@dataclass(frozen=True)
class ToySetting:
    """What a toy data set is drawn from.

    Attributes
    ----------
    dim : int
        d; a tenth of it is private to images and a tenth to texts.
    k : int
        Bias atoms per modality; there are 4k concepts.
    active : int
        L: the bias atom and L - 1 concepts make up each embedding.
    tau_1 : float
        Cosine of a concept's image and text copies, in (tau_2, 1].
    tau_2 : float
        Cosine of matching embeddings, in (0, 1).
    """

    dim: int
    k: int
    active: int
    tau_1: float
    tau_2: float

    def __post_init__(self) -> None:
        concepts = CONCEPTS_PER_BIAS * self.k
        if not 0 < self.tau_2 < self.tau_1 <= 1:
            raise InputError(
                f"tau_1 is {self.tau_1} and tau_2 {self.tau_2}; allowed is 0 < tau_2 < tau_1 <= 1"
            )
        if not 2 <= self.active <= concepts + 1:
            raise InputError(
                f"active is {self.active}; allowed is 2..{concepts + 1}, a bias atom and up to "
                f"{concepts} concepts"
            )
        if int(PRIVATE_SHARE * self.dim) < 1:
            raise InputError(f"dim is {self.dim}; at least 10 is needed for the private blocks")


@dataclass(frozen=True)
class ToyAtoms:
    """The atoms everything is built from; unit rows of width dim.

    Attributes
    ----------
    image, text : ndarray of shape (k, dim)
        Bias atoms of each modality: tight cones in the modality's private block.
    shared : ndarray of shape (4k, dim)
        Shared part of each concept, outside the private blocks.
    image_part, text_part : ndarray of shape (4k, dim)
        Private part of each concept in each modality.
    """

    image: np.ndarray
    text: np.ndarray
    shared: np.ndarray
    image_part: np.ndarray
    text_part: np.ndarray

    def split(self) -> np.ndarray:
        """D_1 of shape (14k, dim): bias atoms, shared parts, private parts."""
        return np.concatenate([self.image, self.text, self.shared, self.image_part, self.text_part])

    def merged(self, tau_1: float) -> np.ndarray:
        """D_2 of shape (10k, dim): bias atoms, then each concept's image and text copies.

        Copies are sqrt(tau_1) shared + sqrt(1 - tau_1) private: unit norm, with cosine tau_1. (The
        paper prints the weights without roots, which gives neither; X18.)
        """
        s, c = np.sqrt(tau_1), np.sqrt(1 - tau_1)
        return np.concatenate(
            [
                self.image,
                self.text,
                s * self.shared + c * self.image_part,
                s * self.shared + c * self.text_part,
            ]
        )


@dataclass(frozen=True)
class ToyPairs:
    """Drawn pairs and their codes under both dictionaries.

    Attributes
    ----------
    image, text : ndarray of shape (n, dim)
        Unit-norm embeddings; row i of each is one pair.
    image_bias, text_bias : ndarray of shape (n,), int
        Index of each sample's bias atom.
    concepts : ndarray of shape (n, L - 1), int
        Its concepts.
    beta : ndarray of shape (n,)
        Strength of the concepts before scaling to unit norm.
    image_norm, text_norm : ndarray of shape (n,)
        Norms that the unscaled embeddings had.
    redrawn : int
        Draws without a positive beta, which were drawn again.
    """

    image: np.ndarray
    text: np.ndarray
    image_bias: np.ndarray
    text_bias: np.ndarray
    concepts: np.ndarray
    beta: np.ndarray
    image_norm: np.ndarray
    text_norm: np.ndarray
    redrawn: int


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def draw_atoms(setting: ToySetting, rng: np.random.Generator) -> ToyAtoms:
    """Draw the atoms; blocks are disjoint coordinates, so that they are orthogonal."""
    private = int(PRIVATE_SHARE * setting.dim)
    blocks = {
        "image": slice(0, private),
        "text": slice(private, 2 * private),
        "shared": slice(2 * private, setting.dim),
    }

    def draw(n: int, block: str, offset: float = 0.0) -> np.ndarray:
        place = blocks[block]
        width = place.stop - place.start
        direction = _unit(rng.standard_normal((1, width)))
        rows = np.zeros((n, setting.dim))
        rows[:, place] = _unit(rng.standard_normal((n, width)) + offset * direction)
        return rows

    concepts = CONCEPTS_PER_BIAS * setting.k
    return ToyAtoms(
        image=draw(setting.k, "image", CONE),
        text=draw(setting.k, "text", CONE),
        shared=draw(concepts, "shared"),
        image_part=draw(concepts, "image"),
        text_part=draw(concepts, "text"),
    )


def draw_concepts(n: int, setting: ToySetting, rng: np.random.Generator) -> np.ndarray:
    """Sets of L - 1 different concepts, drawn one after the other in proportion to frequency.

    The L - 1 smallest of exponential variables divided by the frequencies have the law of such
    sequential draws, for all samples at once.

    Returns
    -------
    ndarray of shape (n, L - 1), int64
    """
    concepts = CONCEPTS_PER_BIAS * setting.k
    frequency = np.geomspace(*FREQUENCIES, concepts)
    arrival = rng.exponential(size=(n, concepts)) / frequency
    wanted = setting.active - 1
    return np.argpartition(arrival, wanted - 1, axis=1)[:, :wanted]


def solve_strength(
    shared: np.ndarray,
    image: np.ndarray,
    text: np.ndarray,
    image_lean: np.ndarray,
    text_lean: np.ndarray,
    tau_1: float,
    tau_2: float,
) -> np.ndarray:
    """Strength beta that gives each pair the cosine tau_2: least positive root of a quartic.

    Parameters
    ----------
    shared, image, text : ndarray of shape (n,)
        Squared norms of the summed shared, image and text parts (r_B^2, r_I^2, r_T^2).
    image_lean, text_lean : ndarray of shape (n,)
        Inner products of the bias atoms with the summed private parts (h_I, h_T).
    tau_1, tau_2 : float

    Returns
    -------
    ndarray of shape (n,)
        NaN where no positive root exists.
    """
    s2, c2 = tau_1, 1 - tau_1
    a1, a2 = c2 * image + s2 * shared, c2 * text + s2 * shared
    b1, b2 = 2 * np.sqrt(c2) * image_lean, 2 * np.sqrt(c2) * text_lean
    target = (s2 * shared / tau_2) ** 2
    coefficients = np.stack(
        [a1 * a2 - target, a1 * b2 + a2 * b1, a1 + a2 + b1 * b2, b1 + b2, np.ones_like(a1)], axis=1
    )
    # Reversed: 1 / beta solves a monic quartic, whose companion matrices take all rows at once.
    companion = np.zeros((len(a1), 4, 4))
    companion[:, 1:, :3] = np.eye(3)
    companion[:, :, 3] = -coefficients[:, :4]
    inverse = np.linalg.eigvals(companion)
    real = np.abs(inverse.imag) <= 1e-7 * np.maximum(np.abs(inverse.real), 1e-300)
    largest = np.where(real & (inverse.real > 0), inverse.real, 0.0).max(axis=1)
    with np.errstate(divide="ignore"):
        beta = 1 / largest
    beta[~np.isfinite(beta)] = np.nan
    return _polish(beta, coefficients)


def _polish(beta: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Two Newton steps: eigenvalues are right to about half of the digits."""
    for _ in range(2):
        value, slope = np.zeros_like(beta), np.zeros_like(beta)
        for coefficient in coefficients.T:
            slope = slope * beta + value
            value = value * beta + coefficient
        with np.errstate(invalid="ignore", divide="ignore"):
            step = np.where(slope != 0, value / slope, 0.0)
        beta = beta - step
    return beta


def draw_pairs(n: int, setting: ToySetting, atoms: ToyAtoms, rng: np.random.Generator) -> ToyPairs:
    """Draw ``n`` pairs; a draw that no strength brings to tau_2 is drawn again.

    Raises
    ------
    InputError
        If next to no draw can be brought to tau_2.
    """
    s, c = np.sqrt(setting.tau_1), np.sqrt(1 - setting.tau_1)
    concepts = np.empty((n, setting.active - 1), dtype=np.int64)
    bias = np.empty((2, n), dtype=np.int64)
    beta = np.full(n, np.nan)
    sums = np.empty((3, n, setting.dim))
    waiting = np.arange(n)
    redrawn = 0
    for _ in range(_MAX_ROUNDS):
        rows = waiting
        concepts[rows] = draw_concepts(len(rows), setting, rng)
        bias[:, rows] = rng.integers(setting.k, size=(2, len(rows)))
        active = np.zeros((len(rows), CONCEPTS_PER_BIAS * setting.k))
        np.put_along_axis(active, concepts[rows], 1.0, axis=1)
        for place, part in enumerate((atoms.shared, atoms.image_part, atoms.text_part)):
            sums[place, rows] = active @ part
        shared, image, text = sums[:, rows]
        beta[rows] = solve_strength(
            np.square(shared).sum(1),
            np.square(image).sum(1),
            np.square(text).sum(1),
            (atoms.image[bias[0, rows]] * image).sum(1),
            (atoms.text[bias[1, rows]] * text).sum(1),
            setting.tau_1,
            setting.tau_2,
        )
        waiting = np.flatnonzero(np.isnan(beta))
        if waiting.size == 0:
            break
        redrawn += waiting.size
    else:
        raise InputError(
            f"{waiting.size} of {n} pairs reach no cosine of {setting.tau_2} with tau_1 "
            f"{setting.tau_1}; raise tau_1 or lower tau_2"
        )
    shared, image, text = sums
    x = atoms.image[bias[0]] + beta[:, None] * (s * shared + c * image)
    y = atoms.text[bias[1]] + beta[:, None] * (s * shared + c * text)
    norms = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    return ToyPairs(
        image=x / norms[0][:, None],
        text=y / norms[1][:, None],
        image_bias=bias[0],
        text_bias=bias[1],
        concepts=concepts,
        beta=beta,
        image_norm=norms[0],
        text_norm=norms[1],
        redrawn=redrawn,
    )


def truth_codes(pairs: ToyPairs, setting: ToySetting, which: str) -> tuple[csr_matrix, csr_matrix]:
    """Codes of the images and of the texts under one of the two dictionaries.

    Parameters
    ----------
    pairs : ToyPairs
    setting : ToySetting
    which : {"merged", "split"}
        ``merged``: L non-zeros per code, over 10k atoms; ``split``: 1 + 2 (L - 1), over 14k.

    Returns
    -------
    tuple of two csr_matrix of shape (n, atoms), float64
        Times their dictionary they give the embeddings back.

    Raises
    ------
    InputError
        If ``which`` is neither.
    """
    k, concepts = setting.k, CONCEPTS_PER_BIAS * setting.k
    s, c = np.sqrt(setting.tau_1), np.sqrt(1 - setting.tau_1)
    # For each side the concepts' blocks of atoms, by their first index and weight.
    layouts = {
        "merged": (2 * k + 2 * concepts, [[(2 * k, 1.0)], [(2 * k + concepts, 1.0)]]),
        "split": (
            2 * k + 3 * concepts,
            [[(2 * k, s), (2 * k + (1 + side) * concepts, c)] for side in (0, 1)],
        ),
    }
    if which not in layouts:
        raise InputError(f"there is no truth {which!r}; allowed are {', '.join(layouts)}")
    n_atoms, blocks = layouts[which]
    n = len(pairs.beta)
    sides = []
    for side, (bias, norm) in enumerate(
        ((pairs.image_bias, pairs.image_norm), (pairs.text_bias, pairs.text_norm))
    ):
        columns = [bias[:, None] + side * k]
        values = [1 / norm[:, None]]
        for first, weight in blocks[side]:
            columns.append(pairs.concepts + first)
            strength = np.broadcast_to((weight * pairs.beta / norm)[:, None], pairs.concepts.shape)
            values.append(strength)
        column = np.concatenate(columns, axis=1)
        rows = np.repeat(np.arange(n), column.shape[1])
        value = np.concatenate(values, axis=1).ravel()
        sides.append(csr_matrix((value, (rows, column.ravel())), shape=(n, n_atoms)))
    return sides[0], sides[1]
