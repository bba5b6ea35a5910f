"""Bridges between atoms: rho and FDA (paper E.2.2, SPEC 4, X6 and X7)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import sparray

from isoenergy.measure.blockwise import BlockMatrix
from isoenergy.measure.energy import AtomEnergies
from isoenergy.measure.transport import LARGEST_DENSE, Transport, transport_vectors

# Bridges keep the entries from the k-th smallest on, k = int(share K^2) (X7).
COSINE_SHARE = 0.9
COVARIANCE_SHARE = 0.999

# Why rho and FDA are not finite, for their notes.
NO_BRIDGE = "no bridge is left between atoms, so that there is no mass to divide"
ALL_BIMODAL = "all of the bridge's mass touches a bimodal atom"


def threshold(entries: np.ndarray, limit: float) -> np.ndarray:
    """Zero the entries whose absolute value as float32, as limits are, is below a limit (X7)."""
    sizes = np.abs(entries).astype(np.float32, copy=False)
    return np.where(sizes >= np.float32(limit), entries, 0)


def ratio(above: float, below: float) -> float:
    """Above / below; infinite where only ``below`` is 0, NaN where both are."""
    if below > 0:
        return above / below
    return float("inf") if above > 0 else float("nan")


def functional_alignment(
    covariance: BlockMatrix, cosines: BlockMatrix, bimodal: np.ndarray
) -> dict[str, float]:
    """rho: B_Sigma mass that touches a bimodal atom over the mass that does not.

    B_Sigma = Sigma * D D^T elementwise.

    Parameters
    ----------
    covariance : BlockMatrix, K x K
        Sigma, see :func:`isoenergy.measure.blockwise.cross_covariance`.
    cosines : BlockMatrix, K x K, in blocks of the same rows
        D D^T.
    bimodal : ndarray of shape (K,), bool

    Returns
    -------
    dict of str to float, in [0, inf]
        ``code``: both factors thresholded first (X7); ``paper``: not. 0 without bimodal atoms;
        infinite where all mass touches one; NaN without any mass.
    """
    sigma_limit = covariance.kth_smallest(COVARIANCE_SHARE)
    cosine_limit = cosines.kth_smallest(COSINE_SHARE)
    masses = {"code": np.zeros(2), "paper": np.zeros(2)}
    for (rows, sigma), (_, cosine) in zip(covariance.blocks(), cosines.blocks(), strict=True):
        bridges = {
            "code": threshold(sigma, sigma_limit) * threshold(cosine, cosine_limit),
            "paper": sigma * cosine,
        }
        for name, bridge in bridges.items():
            masses[name] += bridge_masses(bridge, bimodal[rows], bimodal)
    return {name: ratio(*map(float, mass)) for name, mass in masses.items()}


def bridge_masses(
    bridge: np.ndarray, bimodal_rows: np.ndarray, bimodal_columns: np.ndarray
) -> tuple[float, float]:
    """Mass of |bridge| over pairs that touch a bimodal atom, and over pairs that do not.

    Parameters
    ----------
    bridge : ndarray of shape (n, m)
    bimodal_rows, bimodal_columns : ndarray of shape (n,), (m,), bool
    """
    mass = np.abs(bridge)
    unimodal = mass[~bimodal_rows].sum(axis=0, dtype=np.float64)
    touching = mass[bimodal_rows].sum(dtype=np.float64) + unimodal[bimodal_columns].sum()
    return float(touching), float(unimodal[~bimodal_columns].sum())


def transport_atoms(
    energies: AtomEnergies, dictionary: np.ndarray, largest_dense: int = LARGEST_DENSE
) -> Transport:
    """Gamma: exact transport of image energies to text energies, cost 1 - cosine (paper Eq. 7).

    Dead atoms have no mass.

    Parameters
    ----------
    energies : AtomEnergies
    dictionary : ndarray of shape (K, dim)
        Unit-norm rows.
    largest_dense : int
        See :func:`isoenergy.measure.transport.transport_vectors`.

    Returns
    -------
    Transport
        With a sparse plan.

    Raises
    ------
    ValueError
        If a modality has no energy (see ``AtomEnergies.transportable``).
    TransportError
        If the plan is not shown to be optimal.
    """
    image, text = (side * energies.live for side in (energies.image, energies.text))
    return transport_vectors(image, dictionary, text, dictionary, largest_dense)


def distributional_agreement(
    plan: sparray, cosines: BlockMatrix, energies: AtomEnergies, tau: float
) -> dict[str, float]:
    """FDA: how much of the transport bridge B_Gamma bimodal atoms carry, relative to their energy.

    Parameters
    ----------
    plan : sparse array of shape (K, K)
        Gamma.
    cosines : BlockMatrix, K x K
        D D^T; thresholded as in rho.
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
        is bimodal and no mass is without (:func:`why_undefined`).
    """
    arcs = plan.tocoo()
    cosine = threshold(cosines.at(*arcs.coords), cosines.kth_smallest(COSINE_SHARE))
    bridge = np.abs(arcs.data * cosine)
    bimodal = energies.groups(tau) == "bimodal"
    touching = np.logical_or(*(bimodal[side] for side in arcs.coords))
    alpha, upsilon = float(bridge[touching].sum()), float(bridge[~touching].sum())
    epsilon = _bimodal_share(energies, tau)
    if not epsilon > 0:
        return {"code": float("nan"), "paper": float("nan")}
    numerator = alpha / epsilon * (1 - epsilon)
    printed = (1 - epsilon) - alpha
    return {
        "code": ratio(numerator, upsilon),
        "paper": numerator / printed if printed else ratio(numerator, 0.0),
    }


def _bimodal_share(energies: AtomEnergies, tau: float) -> float:
    """Epsilon of FDA, in [0, 1]; NaN without any energy."""
    score = energies.modality_score
    return energies.share((score > tau) & (score < 1 - tau))


def why_undefined(energies: AtomEnergies, tau: float) -> str:
    """Why FDA is NaN, where it is, for its note."""
    epsilon = _bimodal_share(energies, tau)
    if not epsilon > 0:
        return "bimodal atoms have no energy"
    if epsilon >= 1:
        return "all energy is in bimodal atoms, so that there is nothing to compare it with"
    return NO_BRIDGE
