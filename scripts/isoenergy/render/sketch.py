"""Figure 24: what closes a modality gap, on points drawn on a sphere (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isoenergy.render.style import PALETTE, WIDTH, settings
from isoenergy.toy.sketch import SKETCHES

if TYPE_CHECKING:
    import pandas as pd
    from mpl_toolkits.mplot3d import Axes3D

OF = "sketch"
MODELS, SAES = 1, None
TABLES = {"sketch": ("form", "modality", "cluster", "x", "y", "z")}
METRICS = ()

_ELEVATION, _AZIMUTH = 10, -70
_LIMIT = 1.05
# Circles of the unit sphere: so many of latitude and of longitude, of so many points.
_LATITUDES, _LONGITUDES, _POINTS = 5, 8, 61
_COLUMNS, _ROW = 3, 2.35
_COLOURED = ("image", "text")


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """The points as they are.

    Parameters
    ----------
    panel : DataFrame
        A row per point and form; see :func:`isoenergy.toy.sketch.write_sketch`.
    """
    return panel


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """One panel per form; the last place holds the legend.

    Parameters
    ----------
    data : DataFrame
        As gathered.
    """
    rows = -(-(len(SKETCHES) + 1) // _COLUMNS)
    figure = Figure(figsize=(WIDTH, rows * _ROW), layout="constrained")
    for i, form in enumerate(SKETCHES):
        box = add_box(figure, rows, _COLUMNS, i + 1)
        box.set_title(form, fontweight="bold", loc="center", pad=0)
        draw_points(box, data[data["form"] == form])
    last = figure.add_subplot(rows, _COLUMNS, rows * _COLUMNS)
    last.axis("off")
    last.legend(handles=handles(), loc="center", title=data["panel"].iloc[0])
    return figure


def handles() -> list[Line2D]:
    """The legend of :func:`draw_points`."""
    look = {"marker": "o", "linestyle": "none", "markersize": 5}
    drawn = [Line2D([], [], color=PALETTE[name], label=f"{name}s", **look) for name in _COLOURED]
    return [*drawn, Line2D([], [], color="black", marker="+", linestyle="none", label="origin")]


def add_box(figure: Figure, rows: int, columns: int, place: int) -> Axes3D:
    """A panel in three dimensions, seen from where the paper looks."""
    box = figure.add_subplot(rows, columns, place, projection="3d", computed_zorder=False)
    box.set(xlim=(-_LIMIT, _LIMIT), ylim=(-_LIMIT, _LIMIT), zlim=(-_LIMIT, _LIMIT))
    box.view_init(elev=_ELEVATION, azim=_AZIMUTH)
    box.set_box_aspect((1, 1, 1), zoom=1.5)
    box.set_axis_off()
    box.patch.set_visible(False)
    return box


def draw_points(box: Axes3D, points: pd.DataFrame) -> None:
    """Images and texts in the unit sphere, the nearer ones in front.

    Parameters
    ----------
    box : Axes3D
    points : DataFrame
        ``modality``, ``x``, ``y`` and ``z``.
    """
    for circle in _sphere():
        box.plot(*circle, color="#d0d0d0", linewidth=0.4)
    colours = np.array([to_rgb(PALETTE[name]) for name in points["modality"]]).reshape(-1, 3)
    box.scatter(
        *points[["x", "y", "z"]].to_numpy(dtype=float).T,
        s=4,
        c=colours,
        linewidths=0,
        depthshade=False,
        rasterized=True,
    )
    box.plot([0], [0], [0], color="black", marker="+", linestyle="none")


def _sphere() -> list[np.ndarray]:
    around = np.linspace(0, 2 * np.pi, _POINTS)
    heights = np.sin(np.linspace(-np.pi / 2, np.pi / 2, _LATITUDES + 2)[1:-1])
    flat = [
        np.array([r * np.cos(around), r * np.sin(around), np.full(_POINTS, height)])
        for height, r in zip(heights, np.sqrt(1 - heights**2), strict=True)
    ]
    turns = np.arange(_LONGITUDES) * np.pi / _LONGITUDES
    upright = [
        np.array([np.cos(turn) * np.cos(around), np.sin(turn) * np.cos(around), np.sin(around)])
        for turn in turns
    ]
    return [*flat, *upright]
