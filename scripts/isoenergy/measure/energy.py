"""Energies, frequencies and modality scores of atoms (paper E.2.2, SPEC 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

# An atom whose mean activation is below this is dead (SPEC 4).
DEAD_ACTIVATION = 1e-9
# An atom active more often than this is degenerate: always on (paper Appendix B).
DEGENERATE_FREQUENCY = 0.9
GROUPS = ("text", "bimodal", "image")


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


def atom_energies(image: csr_matrix, text: csr_matrix) -> AtomEnergies:
    """Energies of every atom.

    Parameters
    ----------
    image, text : csr_matrix of shape (n, K)
        Codes of the n pairs.
    """
    n, n_atoms = image.shape

    def moment(codes: csr_matrix, power: int) -> np.ndarray:
        weights = np.abs(np.asarray(codes.data, dtype=np.float64)) ** power
        return np.bincount(codes.indices, weights=weights, minlength=n_atoms) / n

    counts = sum(np.bincount(codes.indices, minlength=n_atoms) for codes in (image, text))
    activation = (moment(image, 1) + moment(text, 1)) / 2
    return AtomEnergies(
        image=moment(image, 2),
        text=moment(text, 2),
        frequency=counts / (2 * n),
        live=activation >= DEAD_ACTIVATION,
    )
