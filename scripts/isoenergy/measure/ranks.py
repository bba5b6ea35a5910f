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
    """Atoms from the strongest to the weakest, with moving averages along the ranks.

    Parameters
    ----------
    energies : AtomEnergies

    Returns
    -------
    dict of str to ndarray of shape (K,)
        ``rank`` from 1, ``atom``, ``energy`` E, ``frequency`` f, ``magnitude`` E / f (NaN where f
        is 0), and ``{name}_smooth`` for the last three. Dead atoms come last, with an energy of 0
        and NaN for the averages.
    """
    energy = np.where(energies.live, energies.both, 0.0)
    order = np.argsort(-energy, kind="stable")
    energy, frequency = energy[order], energies.frequency[order]
    magnitude = np.divide(energy, frequency, out=np.full(len(order), np.nan), where=frequency > 0)
    shown = {"energy": energy, "frequency": frequency, "magnitude": magnitude}
    live = int((energy > 0).sum())
    smooth = {
        f"{name}_smooth": np.append(
            moving_average(values[:live]), np.full(len(order) - live, np.nan)
        )
        for name, values in shown.items()
    }
    return {"rank": np.arange(1, len(order) + 1), "atom": order, **shown, **smooth}
