"""Figure 13: transport of the images' atoms to the texts' (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from isoenergy.render.grid import format_number
from isoenergy.render.lab import blend
from isoenergy.render.space import COORDINATES, diameters, frame
from isoenergy.render.style import MODALITY, SMALLEST, WIDTH, settings

if TYPE_CHECKING:
    import pandas as pd
    from mpl_toolkits.mplot3d import Axes3D

OF = "saes"
MODELS, SAES = 1, 2
_TARGETS = tuple(f"target_{axis}" for axis in COORDINATES)
TABLES = {
    "transport": (
        "energy_image",
        "energy_text",
        "group",
        "modality_score",
        "target_modality_score",
        *COORDINATES,
        *_TARGETS,
    )
}
METRICS = ("fda",)
# What is seen after this share of the way; then the texts' own atoms.
TIMES = {"images, t = 0": 0.0, "t = ⅓": 1 / 3, "t = ⅔": 2 / 3, "t = 1": 1.0}
_LAST = "texts"
# Atoms below this share of the strongest atom's energy do not widen the box; those that lie
# outside it are left out.
_WEAK = 1e-2
# Inches.
_TOP, _NAME, _ROW, _UNDER = 0.75, 0.45, 1.25, 0.25
# Room for the name of the vertical axis, and for corners that reach over.
_LEFT, _RIGHT = 0.3, 0.06
_BAR = 0.12
_BAR_WIDTH = 2.4


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """Live atoms, as they are.

    Parameters
    ----------
    panel : DataFrame
        A row per atom: energies, group, modality score, coordinates on three directions, of the
        last four also the mean over where its image energy goes (``target_``; NaN where it has
        none), and FDA.
    """
    return panel


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """One row per SAE: images, three steps on their way to the texts, texts.

    Parameters
    ----------
    data : DataFrame
        As gathered, for every panel.
    """
    groups = [group for _, group in data.groupby(["model", "sae"], sort=False)]
    height = _TOP + (_NAME + _ROW + _UNDER) * len(groups)
    figure = Figure(figsize=(WIDTH, height))
    columns = [*TIMES, _LAST]
    side = (WIDTH - _LEFT - _RIGHT) / len(columns)
    for row, group in enumerate(groups):
        top = _TOP + row * (_NAME + _ROW + _UNDER)
        first = group.iloc[0]
        fda = format_number(first["fda"], float("nan"), 2)
        above = 1 - (top + 0.2) / height
        figure.text(0.01, above, first["panel"], fontweight="bold")
        figure.text(0.99, above, f"FDA {fda}", ha="right")
        live = group[group["group"] != "dead"]
        limits = _limits(live)
        for column, name in enumerate(columns):
            left = (_LEFT + column * side) / WIDTH
            figure.text(left + side / 2 / WIDTH, 1 - (top + _NAME) / height, name, ha="center")
            box = figure.add_axes(
                (left, 1 - (top + _NAME + _ROW) / height, side / WIDTH, _ROW / height),
                projection="3d",
                computed_zorder=False,
            )
            _draw_atoms(box, live, TIMES.get(name), limits)
            _dress(box, *limits, named=column == 0)
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), MODALITY),
        cax=figure.add_axes(
            (
                0.5 - _BAR_WIDTH / 2 / WIDTH,
                1 - 0.4 / height,
                _BAR_WIDTH / WIDTH,
                _BAR / height,
            )
        ),
        orientation="horizontal",
        ticks=[0, 0.5, 1],
    )
    bar.ax.set_xticklabels(["0 text", "0.5 bimodal", "1 image"])
    bar.ax.set_title("modality score μ", loc="center", pad=4)
    return figure


def _limits(live: pd.DataFrame) -> tuple[float, float]:
    energy = live[["energy_image", "energy_text"]].max(axis=1)
    strong = live[energy >= _WEAK * energy.max()]
    places = strong[[*COORDINATES, *_TARGETS]].to_numpy(dtype=float)
    low, high = (float(np.nanmin(places)), float(np.nanmax(places))) if len(places) else (0.0, 0.0)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _draw_atoms(
    box: Axes3D, live: pd.DataFrame, t: float | None, limits: tuple[float, float]
) -> None:
    """Atoms after a share ``t`` of the way of their image energy; the texts' atoms for None."""
    name = "energy_text" if t is None else "energy_image"
    moved = live[live[name] > 0].sort_values(name, ascending=False, kind="stable")
    if moved.empty:
        return
    places = moved[list(COORDINATES)].to_numpy(dtype=float)
    colours = MODALITY(moved["modality_score"].to_numpy(dtype=float))[:, :3]
    if t is not None:
        targets = moved[list(_TARGETS)].to_numpy(dtype=float)
        goal = MODALITY(moved["target_modality_score"].to_numpy(dtype=float))[:, :3]
        places = (1 - t) * places + t * targets
        colours = blend(colours, goal, t)
    across = diameters(moved[name].to_numpy(dtype=float)) / 1.5
    inside = ((places >= limits[0]) & (places <= limits[1])).all(axis=1)
    box.scatter(
        *places[inside].T,
        s=across[inside] ** 2,
        c=colours[inside],
        edgecolors="white",
        linewidths=np.minimum(across[inside] / 10, 0.4),
        depthshade=False,
        rasterized=True,
    )


def _dress(box: Axes3D, low: float, high: float, named: bool) -> None:
    frame(box, low, high)
    for axis, name in zip((box.xaxis, box.yaxis, box.zaxis), COORDINATES, strict=True):
        axis.set_ticklabels([])
        axis.set_tick_params(length=0)
        if named:
            axis.set_label_text(name.removeprefix("along_"), fontsize=SMALLEST)
            axis.labelpad = -14
    box.set_box_aspect(None, zoom=1.15)
