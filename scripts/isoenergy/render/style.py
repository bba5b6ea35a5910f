"""How figures look: one palette, one set of settings, one way to save."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure, SubFigure

from isoenergy.files import replacing

# The hues of the paper (blue, yellow, plum), darkened until a thin line shows on white. They
# differ in lightness too, so that they stay apart for colour-blind readers and in grey.
PALETTE = {"image": "#1b79bd", "text": "#eda91f", "bimodal": "#5b2844", "noise": "#8a8a8a"}
MODALITY = LinearSegmentedColormap.from_list(
    "modality", [PALETTE["text"], PALETTE["bimodal"], PALETTE["image"]]
)
DPI = 200
# Inches. Shrunk to a text width of 5.5 inches, the smallest letters still have 7 points.
WIDTH = 7.0
SMALLEST = 9.0
# Inches: the highest panel, a row of colour bars with labels, a bold letter of the smallest size.
_HIGHEST = 3.0
_BAR_HEIGHT = 0.65
_LETTER = 0.09
SETTINGS = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": SMALLEST,
    "axes.labelsize": SMALLEST,
    "axes.titlesize": SMALLEST,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#d0d0d0",
    "grid.linewidth": 0.5,
    "xtick.labelsize": SMALLEST,
    "ytick.labelsize": SMALLEST,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": SMALLEST,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,  # letters stay letters, which can be searched and edited
}


@contextmanager
def settings() -> Iterator[None]:
    """These settings on top of matplotlib's defaults, whatever the user's own file says.

    Also a decorator.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def sequential(colour: str) -> LinearSegmentedColormap:
    """A colour map from a tint of ``colour`` over the colour to a shade of it."""
    stops = [tint(colour), colour, shade(colour)]
    return LinearSegmentedColormap.from_list(f"sequential {colour}", stops)


def tint(colour: str) -> tuple[float, float, float]:
    """A light variant of a colour."""
    return tuple(0.3 * np.array(to_rgb(colour)) + 0.7)


def shade(colour: str) -> tuple[float, float, float]:
    """A dark variant of a colour."""
    return tuple(0.45 * np.array(to_rgb(colour)))


def panels(
    n: int, shape: float, extra: float, bars: int = 0
) -> tuple[SubFigure, list[Axes], list[Axes]]:
    """A grid of ``n`` panels with shared axes; tick labels stand at the outer ones alone.

    Parameters
    ----------
    n : int
        At least 1.
    shape : float
        Height of a panel, with its labels, over its width; no panel is higher than 3 inches.
    extra : float
        Inches for the axis labels and the legend that all panels share.
    bars : int
        Shared colour bars wanted under the panels, side by side.

    Returns
    -------
    part : SubFigure
        Holds the panels; a shared legend goes here. Its ``figure`` is the whole figure.
    axes : list of Axes, of length n
    bar_axes : list of Axes, of length bars
    """
    columns = {1: 1, 2: 2, 4: 2}.get(n, 3)
    rows = math.ceil(n / columns)
    width = WIDTH if columns > 1 else 0.65 * WIDTH
    panel_height = min(shape * width / columns, _HIGHEST)
    heights = [rows * panel_height + extra, _BAR_HEIGHT if bars else 0]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    bar_axes: list[Axes] = []
    if bars:
        part, below = figure.subfigures(2, 1, height_ratios=heights)
        bar_axes = list(below.subplots(1, bars, squeeze=False).ravel())
    else:
        part = figure.subfigures(1, 1)
    grid = part.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for unused in grid[n:]:
        unused.remove()
    for last in grid[max(n - columns, 0) : n]:
        # In a row that is not full, the panel above an empty place is the lowest of its column.
        last.tick_params(labelbottom=True)
    return part, list(grid[:n]), bar_axes


def label(ax: Axes, name: str, note: str, inches: float, lift: float = 0) -> None:
    """Name a panel above its frame, where no data can lie, with a line of numbers under it.

    Parameters
    ----------
    ax : Axes
    name, note : str
    inches : float
        The name is broken into lines of about this width.
    lift : float
        Points to leave free above the frame.
    """
    wrapped = textwrap.fill(name, max(int(inches / _LETTER), 1))
    ax.set_title(wrapped, fontweight="bold", pad=lift + SMALLEST + 5, verticalalignment="bottom")
    ax.annotate(note, (0, 1), (0, lift + 3), xycoords="axes fraction", textcoords="offset points")


def label_axes(axes: Sequence[Axes], x: str, y: str) -> None:
    """Name the axes of a grid of :func:`panels` where their tick labels stand."""
    for ax in axes:
        if ax.xaxis.get_tick_params()["labelbottom"]:
            ax.set_xlabel(x)
        if ax.yaxis.get_tick_params()["labelleft"]:
            ax.set_ylabel(y)


def room(ax: Axes) -> float:
    """Inches from one panel to the next in a grid of :func:`panels`."""
    columns = ax.get_subplotspec().get_gridspec().ncols
    return ax.get_figure(root=True).get_figwidth() / columns


def number(value: float) -> str:
    """A number as it stands in a panel: two decimals, or a dash where it is not defined."""
    return f"{value:.2f}" if math.isfinite(value) else "–"


def save_figure(figure: Figure, png: str | Path, pdf: str | Path) -> None:
    """Write a figure twice, atomically; the same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
    png, pdf : path
        The bitmap has 200 dots per inch.
    """
    with settings():
        for path, kind, metadata in (
            (png, "png", {"Software": None}),
            (pdf, "pdf", {"CreationDate": None}),
        ):
            with replacing(path) as temporary:
                figure.savefig(temporary, format=kind, dpi=DPI, metadata=metadata)
