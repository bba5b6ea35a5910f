"""Atoms in the space of the three directions that tell their groups apart (Figs 2 and 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isoenergy.render.energy_plane import FLOOR

if TYPE_CHECKING:
    from mpl_toolkits.mplot3d import Axes3D

# In the order of the axes x, y and z.
COORDINATES = ("along_image", "along_text", "along_bimodal")
ELEVATION, AZIMUTH = 20, 45


def diameters(energy: np.ndarray) -> np.ndarray:
    """Points across the dot of each atom: the authors' rule, which keeps weak atoms visible."""
    return (300 * np.sqrt(energy / max(energy.max(initial=0), FLOOR))) ** (2 / 3) / 4


def frame(box: Axes3D, low: float, high: float) -> None:
    """The same limits on all three axes, seen from the same side in every figure."""
    box.set(xlim=(low, high), ylim=(low, high), zlim=(low, high))
    box.view_init(elev=ELEVATION, azim=AZIMUTH)
    box.patch.set_visible(False)
