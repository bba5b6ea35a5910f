"""Colours blended in CIE L*a*b*, where equal steps look equal."""

from __future__ import annotations

import numpy as np

# sRGB primaries to XYZ, over the white point D65.
_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _TO_XYZ.sum(axis=1)
_TO_LAB = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]])
_OFFSET = np.array([-16, 0, 0])
_LINEAR = (6 / 29) ** 3


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """SRGB in [0, 1] to L*a*b*: ndarray of shape (n, 3) each."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _TO_XYZ.T / _WHITE
    root = np.where(ratio > _LINEAR, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return root @ _TO_LAB.T + _OFFSET


def to_rgb(lab: np.ndarray) -> np.ndarray:
    """L*a*b* to sRGB, clipped to [0, 1]: ndarray of shape (n, 3) each."""
    root = np.linalg.solve(_TO_LAB, (lab - _OFFSET).T).T
    ratio = np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))
    linear = np.clip(np.linalg.solve(_TO_XYZ, (ratio * _WHITE).T).T, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def blend(start: np.ndarray, end: np.ndarray, t: float) -> np.ndarray:
    """Colours between two: (1 - t) start + t end in L*a*b*.

    Parameters
    ----------
    start, end : ndarray of shape (n, 3)
        SRGB in [0, 1].
    t : float
        In [0, 1].

    Returns
    -------
    ndarray of shape (n, 3)
        SRGB in [0, 1].
    """
    return to_rgb((1 - t) * to_lab(start) + t * to_lab(end))
