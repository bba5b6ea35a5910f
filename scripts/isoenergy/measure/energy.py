"""Energies, frequencies and modality scores of atoms (paper E.2.2, SPEC 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from isoenergy.encode.codes import CodeRows, row_blocks

# An atom whose mean activation is below this is dead (SPEC 4).
DEAD_ACTIVATION = 1e-9
# An atom active more often than this is degenerate: always on (paper Appendix B).
DEGENERATE_FREQUENCY = 0.9
GROUPS = ("text", "bimodal", "image")


class Moments:
    """Sums over codes, added up block by block; every array has shape (K,).

    Attributes
    ----------
    count : ndarray, int64
        Codes in which the atom is not zero.
    total, magnitude, square : ndarray, float64
        Sums of the atom's coefficients, of their absolute values, and of their squares.
    """

    def __init__(self, n_atoms: int) -> None:
        self.count = np.zeros(n_atoms, dtype=np.int64)
        self.total, self.magnitude, self.square = np.zeros((3, n_atoms))

    def add(self, codes: csr_matrix) -> None:
        """Add a block of codes."""
        n_atoms, values = len(self.count), codes.data.astype(np.float64)
        self.count += np.bincount(codes.indices, minlength=n_atoms)
        self.total += np.bincount(codes.indices, values, n_atoms)
        self.magnitude += np.bincount(codes.indices, np.abs(values), n_atoms)
        self.square += np.bincount(codes.indices, np.square(values), n_atoms)

    @classmethod
    def of(cls, codes: CodeRows) -> Moments:
        """Of codes of shape (n, K)."""
        moments = cls(codes.shape[1])
        for rows in row_blocks(codes):
            moments.add(codes[rows])
        return moments


def energies_of(image: Moments, text: Moments, n: int) -> AtomEnergies:
    """Energies of every atom, of n pairs with these moments."""
    return AtomEnergies(
        image=image.square / n,
        text=text.square / n,
        frequency=(image.count + text.count) / (2 * n),
        live=(image.magnitude / n + text.magnitude / n) / 2 >= DEAD_ACTIVATION,
    )


@dataclass(frozen=True)
class AtomEnergies:
    """Per-atom statistics of the codes of n pairs; every array has shape (K,).

    Attributes
    ----------
    image, text : ndarray, float64
        E_I = mean of z_I squared, E_T likewise.
    frequency : ndarray, float64, in [0, 1]
        Share of the 2n codes in which the atom is not zero.
    live : ndarray, bool
        Mean activation over both modalities, without its sign, of at least 1e-9.
    """

    image: np.ndarray
    text: np.ndarray
    frequency: np.ndarray
    live: np.ndarray

    @property
    def both(self) -> np.ndarray:
        """E = (E_I + E_T) / 2 (paper Eq. 5)."""
        return (self.image + self.text) / 2

    @property
    def modality_score(self) -> np.ndarray:
        """Mu = E_I / (E_I + E_T), in [0, 1]: 0 text only, 1 image only; -1 for dead atoms."""
        total = self.image + self.text
        score = np.full(len(total), -1.0)
        alive = self.live & (total > 0)
        score[alive] = self.image[alive] / total[alive]
        return score

    def groups(self, threshold: float) -> np.ndarray:
        """Which group each atom belongs to.

        Parameters
        ----------
        threshold : float
            tau in (0, 0.5): text if mu < tau, image if mu > 1 - tau, bimodal otherwise.

        Returns
        -------
        ndarray of shape (K,), str
            ``"text"``, ``"bimodal"``, ``"image"`` or ``"dead"``.
        """
        score = self.modality_score
        group = np.full(len(score), "bimodal", dtype=object)
        group[score < threshold] = "text"
        group[score > 1 - threshold] = "image"
        group[score < 0] = "dead"
        return group.astype(str)

    @property
    def transportable(self) -> bool:
        """Whether live atoms have energy in both modalities, so that one can go to the other."""
        return bool(self.image[self.live].any() and self.text[self.live].any())

    def share(self, atoms: np.ndarray) -> float:
        """Share of the total energy in some atoms, a mask of shape (K,); NaN without energy."""
        total = self.both.sum()
        return float(self.both[atoms].sum() / total) if total > 0 else float("nan")

    def shares(self, threshold: float) -> dict[str, float]:
        """Share of the total energy in each group; sums to 1 over live energy."""
        group = self.groups(threshold)
        return {name: self.share(group == name) for name in GROUPS}


def atom_energies(image: CodeRows, text: CodeRows) -> AtomEnergies:
    """Energies of every atom.

    Parameters
    ----------
    image, text : CodeRows of shape (n, K)
        Codes of the n pairs.
    """
    return energies_of(Moments.of(image), Moments.of(text), image.shape[0])
