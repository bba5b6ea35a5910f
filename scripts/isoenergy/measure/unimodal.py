"""The strongest atoms of one modality: are they one bias? (paper Appendix F, Fig. 16)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoenergy.measure.energy import AtomEnergies

SIDES = ("text", "image")
# The paper's atoms: modality score this close to 0 (text) or 1 (image), and energy above this.
MAX_DISTANCE = 1e-3
MIN_ENERGY = 1e-3
# How many are shown where fewer than two atoms are the paper's.
FALLBACK = 12


@dataclass(frozen=True)
class Unimodal:
    """Strong unimodal atoms of one side.

    Attributes
    ----------
    atoms : ndarray of shape (m,), int
        From the strongest to the weakest; may be empty.
    strict : bool
        Whether they are all atoms within ``MAX_DISTANCE`` of their side and above ``MIN_ENERGY``;
        otherwise the strongest ``FALLBACK`` of the group.
    cosines : ndarray of shape (m, m)
    frequency : float
        Sum of the atoms' frequencies, each a share of all 2n codes.
    energy_share : float
        Of the energy of all atoms, in [0, 1].
    """

    atoms: np.ndarray
    strict: bool
    cosines: np.ndarray
    frequency: float
    energy_share: float

    @property
    def mean_cosine(self) -> float:
        """Mean of all entries of ``cosines``, the diagonal included; NaN without atoms."""
        return float(self.cosines.mean()) if len(self.atoms) else float("nan")


def strong_unimodal(
    energies: AtomEnergies, dictionary: np.ndarray, side: str, tau: float
) -> Unimodal:
    """The strong atoms of one side and how close they lie to one another.

    Parameters
    ----------
    energies : AtomEnergies
    dictionary : ndarray of shape (K, dim)
        Unit-norm rows.
    side : {"text", "image"}
    tau : float
        Modality threshold, for the group that stands in where fewer than two atoms are strong.
    """
    score, energy = energies.modality_score, energies.both
    distance = score if side == "text" else 1 - score
    strong = (score >= 0) & (distance <= MAX_DISTANCE) & (energy > MIN_ENERGY)
    strict = bool(strong.sum() > 1)
    chosen = np.flatnonzero(strong if strict else energies.groups(tau) == side)
    chosen = chosen[np.argsort(-energy[chosen], kind="stable")]
    chosen = chosen if strict else chosen[:FALLBACK]
    rows = dictionary[chosen].astype(np.float64)
    return Unimodal(
        atoms=chosen,
        strict=strict,
        cosines=rows @ rows.T,
        frequency=float(energies.frequency[chosen].sum()),
        energy_share=float(energy[chosen].sum() / total) if (total := energy.sum()) > 0 else 0.0,
    )
