"""Bridges between atoms: rho and FDA (paper E.2.2, SPEC 4, X6 and X7)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from isoenergy.measure.energy import AtomEnergies
from isoenergy.measure.transport import Transport, transport

COSINE_PERCENTILE = 90.0
COVARIANCE_PERCENTILE = 99.9


def threshold(matrix: np.ndarray, percentile: float) -> np.ndarray:
    """Zero the entries whose absolute value is below a percentile of the signed entries (X7)."""
    limit = np.percentile(matrix, percentile)
    return np.where(np.abs(matrix) >= limit, matrix, 0)


def cross_covariance(image: csr_matrix, text: csr_matrix) -> np.ndarray:
    """Sigma = mean over pairs of z_I z_T^T, uncentred: ndarray of shape (K, K) (paper Eq. 6)."""
    return np.asarray((image.T.tocsr() @ text).todense(), dtype=np.float64) / image.shape[0]


def bridge_masses(bridge: np.ndarray, bimodal: np.ndarray) -> tuple[float, float]:
    """Mass of |bridge| over pairs that touch a bimodal atom, and over pairs that do not.

    Parameters
    ----------
    bridge : ndarray of shape (K, K)
    bimodal : ndarray of shape (K,), bool
    """
    mass = np.abs(bridge)
    neither = float(mass[np.ix_(~bimodal, ~bimodal)].sum())
    touching = float(mass[bimodal].sum() + mass[np.ix_(~bimodal, bimodal)].sum())
    return touching, neither


def ratio(above: float, below: float) -> float:
    """Above / below; infinite where only ``below`` is 0, NaN where both are."""
    if below > 0:
        return above / below
    return float("inf") if above > 0 else float("nan")


def functional_alignment(
    covariance: np.ndarray, cosines: np.ndarray, bimodal: np.ndarray
) -> dict[str, float]:
    """rho: B_Sigma mass that touches a bimodal atom over the mass that does not.

    B_Sigma = Sigma * D D^T elementwise.

    Parameters
    ----------
    covariance : ndarray of shape (K, K)
        Sigma, see :func:`cross_covariance`.
    cosines : ndarray of shape (K, K)
        D D^T.
    bimodal : ndarray of shape (K,), bool

    Returns
    -------
    dict of str to float, in [0, inf]
        ``code``: both factors thresholded first (X7); ``paper``: not. 0 without bimodal atoms;
        infinite where all mass touches one; NaN without any mass.
    """
    bridges = {
        "code": threshold(covariance, COVARIANCE_PERCENTILE)
        * threshold(cosines, COSINE_PERCENTILE),
        "paper": covariance * cosines,
    }
    return {name: ratio(*bridge_masses(bridge, bimodal)) for name, bridge in bridges.items()}


def transport_atoms(energies: AtomEnergies, cosines: np.ndarray) -> Transport:
    """Gamma: exact transport of image energies to text energies, cost 1 - cosine (paper Eq. 7).

    Dead atoms have no mass.

    Raises
    ------
    ValueError
        If a modality has no energy (see ``AtomEnergies.transportable``).
    """
    return transport(energies.image * energies.live, energies.text * energies.live, 1 - cosines)


def distributional_agreement(
    plan: np.ndarray, cosines: np.ndarray, energies: AtomEnergies, tau: float
) -> dict[str, float]:
    """FDA: how much of the transport bridge B_Gamma bimodal atoms carry, relative to their energy.

    Parameters
    ----------
    plan : ndarray of shape (K, K)
        Gamma.
    cosines : ndarray of shape (K, K)
        D D^T; thresholded at its 90th percentile.
    energies : AtomEnergies
    tau : float
        Modality threshold; the energy share takes tau < mu < 1 - tau strictly (SPEC 4).

    Returns
    -------
    dict of str to float
        With alpha / upsilon the B_Gamma mass that does / does not touch a bimodal atom and
        epsilon the bimodal energy share: ``code``: (alpha / epsilon) ((1 - epsilon) / upsilon);
        ``paper``: (alpha / epsilon) (1 - epsilon) / ((1 - epsilon) - alpha), Eq. 9 as printed.
        Infinite where only the denominator is 0; NaN without bimodal energy, and where all energy
        is bimodal and no mass is without.
    """
    bridge = plan * threshold(cosines, COSINE_PERCENTILE)
    bimodal = energies.groups(tau) == "bimodal"
    alpha, upsilon = bridge_masses(bridge, bimodal)
    score = energies.modality_score
    inside = (score > tau) & (score < 1 - tau)
    epsilon = energies.share(inside)
    if not epsilon > 0:
        return {"code": float("nan"), "paper": float("nan")}
    numerator = alpha / epsilon * (1 - epsilon)
    printed = (1 - epsilon) - alpha
    return {
        "code": ratio(numerator, upsilon),
        "paper": numerator / printed if printed else ratio(numerator, 0.0),
    }
