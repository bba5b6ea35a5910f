"""The plane of image and text energies, as in Figures 2 and 16 (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm

if TYPE_CHECKING:
    import pandas as pd

# Lower energies share the margin strip with zero, which has no logarithm (the authors add 1e-9).
FLOOR = 1e-9
# The light end of magma is left out: a cell of one atom has to show on white.
SHARES = LinearSegmentedColormap.from_list(
    "shares", ["#fbc98d", "#f1605d", "#b63679", "#721f81", "#2d1160", "#000004"]
)
LEAST_SHARE = 1e-4
_CELLS = 60
# The strip's width and its distance from the rest, as shares of all decades drawn.
_STRIP, _DISTANCE = 0.08, 0.1
_LEVELS = (0.1, 0.5, 0.9)


def share_norm() -> LogNorm:
    """The scale of ``SHARES``."""
    return LogNorm(LEAST_SHARE, 1)


def find_window(live: pd.DataFrame) -> tuple[int, int]:
    """Whole decades that hold all energies of live atoms above ``FLOOR``."""
    energies = live[["energy_image", "energy_text"]].to_numpy().ravel()
    energies = energies[energies > FLOOR]
    if len(energies) == 0:
        return -5, 0
    low, high = int(np.floor(np.log10(energies.min()))), int(np.ceil(np.log10(energies.max())))
    return low, max(high, low + 2)


def _strip(window: tuple[int, int]) -> tuple[float, float]:
    """Where the margin strip begins and ends, in the logarithm of energy."""
    low, high = window
    end = low - _DISTANCE * (high - low)
    return end - _STRIP * (high - low), end


def draw_energies(ax: Axes, live: pd.DataFrame, window: tuple[int, int], norm: LogNorm) -> None:
    """Atoms by their energy in images and in texts, in cells coloured by share of all energy.

    Parameters
    ----------
    ax : Axes
    live : DataFrame
        A row per live atom: energy_image, energy_text, energy.
    window : (int, int)
        Decades, see :func:`find_window`.
    norm : LogNorm
        See :func:`share_norm`.
    """
    low, high = window
    start, end = _strip(window)
    # A strip on either side of the axes' corner holds what has no place on a logarithmic axis.
    for span in (ax.axhspan, ax.axvspan):
        span(start, end, color="#eeeeee", linewidth=0)
    for level in _LEVELS:
        offset = np.log10((1 - level) / level)
        ends = np.array([max(low, low - offset), min(high, high - offset)])
        ax.plot(ends, ends + offset, color="black", linewidth=0.8, linestyle=(0, (4, 3)), zorder=4)
        told = f"μ={level}" if level == _LEVELS[0] else f"{level}"
        _mark(ax, told, ends[1], ends[1] + offset, high)
    for decade in range(low + 1, high + 1):
        # The curve of equal sums bends in its middle, where both parts are half of the sum.
        part = np.logspace(low, np.log10(10.0**decade / 2), 100)
        rest = np.log10(10.0**decade - part)
        curve = np.log10(part)
        ax.plot(
            [*curve, *rest[::-1]], [*rest, *curve[::-1]], color="#999999", linewidth=0.4, zorder=1
        )
    if live["energy"].sum() > 0:
        _draw_cells(ax, live, window, norm)
    ax.set(
        xlim=(start, high),
        ylim=(start, high),
        aspect="equal",
        xlabel="energy in images",
        ylabel="energy in texts",
    )
    step = int(np.ceil((high - low) / 5))
    ticks = [(start + end) / 2, *range(high, low - 1, -step)]
    below = live[["energy_image", "energy_text"]].to_numpy().ravel()
    zero = "0" if not ((below > 0) & (below <= FLOOR)).any() else "≈0"
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(ticks, [zero, *(f"$10^{{{tick}}}$" for tick in ticks[1:])])


def place_energies(energy: pd.Series, window: tuple[int, int]) -> np.ndarray:
    """Where energies stand on an axis: their logarithm, or the margin up to ``FLOOR``."""
    logarithm = np.log10(energy.clip(lower=FLOOR).to_numpy(dtype=float))
    return np.where(energy > FLOOR, logarithm, sum(_strip(window)) / 2)


def _mark(ax: Axes, told: str, x: float, y: float, high: float) -> None:
    """Name a line where it leaves the frame."""
    through_top = x < high
    ax.annotate(
        told,
        (x, y),
        (0, 2) if through_top else (2, 0),
        textcoords="offset points",
        ha="center" if through_top else "left",
        va="bottom" if through_top else "center",
    )


def _draw_cells(
    ax: Axes, live: pd.DataFrame, window: tuple[int, int], norm: LogNorm
) -> PolyCollection:
    start, high = _strip(window)[0], window[1]
    return ax.hexbin(
        place_energies(live["energy_image"], window),
        place_energies(live["energy_text"], window),
        C=live["energy"] / live["energy"].sum(),
        reduce_C_function=np.sum,
        gridsize=_CELLS,
        extent=(start, high, start, high),
        cmap=SHARES,
        norm=norm,
        linewidths=0.1,
        zorder=3,
    )
