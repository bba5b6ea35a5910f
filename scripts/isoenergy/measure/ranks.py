"""Energies and frequencies of atoms by rank (paper Fig. 17, SPEC 6.2)."""

from __future__ import annotations

import numpy as np

from isoenergy.measure.energy import AtomEnergies

# Weight of what came before in the moving average.
INERTIA = 0.9


def moving_average(values: np.ndarray, inertia: float = INERTIA) -> np.ndarray:
    """Exponential moving average: s_0 = x_0, s_i = inertia s_{i-1} + (1 - inertia) x_i.

    Parameters
    ----------
    values : ndarray of shape (n,)
    inertia : float
        In [0, 1).
    """
    smooth = np.array(values, dtype=np.float64)
    for i in range(1, len(smooth)):
        smooth[i] = inertia * smooth[i - 1] + (1 - inertia) * smooth[i]
    return smooth


def ranked(energies: AtomEnergies) -> dict[str, np.ndarray]:
    """Live atoms from the strongest to the weakest, with moving averages along the ranks.

    Parameters
    ----------
    energies : AtomEnergies

    Returns
    -------
    dict of str to ndarray of shape (live atoms,)
        ``rank`` from 1, ``atom``, ``energy`` E, ``frequency`` f and ``magnitude`` E / f (the mean
        squared activation where the atom is active, if it is so equally often in both
        modalities), and ``{name}_smooth`` for the last three.
    """
    energy = energies.both
    alive = np.flatnonzero(energies.live & (energy > 0))
    order = alive[np.argsort(-energy[alive], kind="stable")]
    shown = {
        "energy": energy[order],
        "frequency": energies.frequency[order],
        "magnitude": energy[order] / energies.frequency[order],
    }
    return {
        "rank": np.arange(1, len(order) + 1),
        "atom": order,
        **shown,
        **{f"{name}_smooth": moving_average(values) for name, values in shown.items()},
    }
