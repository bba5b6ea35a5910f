"""Figure 16: strong unimodal atoms, and how close they lie to one another (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from isoenergy.measure.unimodal import MAX_DISTANCE, MIN_ENERGY, SIDES
from isoenergy.render.energy_plane import (
    SHARES,
    draw_energies,
    find_window,
    place_energies,
    share_norm,
)
from isoenergy.render.style import PALETTE, WIDTH, number, settings

if TYPE_CHECKING:
    import pandas as pd

OF = "aligned"
MODELS, SAES = 1, 1
TABLES = {
    "atoms": ("atom", "energy_image", "energy_text", "energy", "modality_score", "group"),
    "unimodal": (
        "side",
        "strict",
        "row",
        "column",
        "row_atom",
        "column_atom",
        "cosine",
        "mean_cosine",
        "frequency",
        "energy_share",
    ),
}
METRICS = ()
_EVERY = list(dict.fromkeys(["table", *TABLES["atoms"], *TABLES["unimodal"]]))
# Inches: the plane on the left, a map for each side on its right.
_HEIGHT = 4.0
_PLANE_AT, _PLANE = (0.75, 1.18), 2.25
_MAP_TOP, _MAP = 1.4, 1.5
_MAPS_AT = (3.65, 5.35)
_BAR = 0.12
_BOUNDS = {
    "text": (f"μ ≤ {MAX_DISTANCE:g}, E > {MIN_ENERGY:g}", "strongest, μ < τ"),
    "image": (f"μ ≥ {1 - MAX_DISTANCE:g}, E > {MIN_ENERGY:g}", "strongest, μ > 1 − τ"),
}


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """Atoms, then pairs of strong unimodal ones.

    Parameters
    ----------
    panel : DataFrame
        Rows of ``atoms``, a row per atom, and of ``unimodal``, a row per side and ordered pair of
        its strong atoms; ``table`` tells them apart.
    """
    return panel.reindex(columns=_EVERY)


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """The plane of energies with the strong atoms circled, and a map of cosines for each side.

    Parameters
    ----------
    data : DataFrame
        As gathered, of one SAE.
    """
    figure = Figure(figsize=(WIDTH, _HEIGHT))

    def place(left: float, top: float, width: float, tall: float) -> Axes:
        return figure.add_axes(
            (left / WIDTH, 1 - (top + tall) / _HEIGHT, width / WIDTH, tall / _HEIGHT)
        )

    figure.text(0.01, 1 - 0.2 / _HEIGHT, data["panel"].iloc[0], fontweight="bold")
    atoms = data[data["table"] == "atoms"]
    pairs = data[data["table"] == "unimodal"]
    live = atoms[atoms["group"] != "dead"]
    norm, window = share_norm(), find_window(live)
    ax = place(*_PLANE_AT, _PLANE, _PLANE)
    draw_energies(ax, live, window, norm)
    _bar(figure, place(_PLANE_AT[0], 0.55, _PLANE, _BAR), norm, SHARES, "share of energy in a cell")
    lowest = min(float(pairs["cosine"].min()) if len(pairs) else 0.0, 0.0)
    scale = Normalize(lowest, 1)
    for left, side in zip(_MAPS_AT, SIDES, strict=True):
        own = pairs[pairs["side"] == side]
        chosen = atoms[atoms["atom"].isin(own["row_atom"])]
        ax.plot(
            place_energies(chosen["energy_image"], window),
            place_energies(chosen["energy_text"], window),
            "o",
            markersize=6,
            markerfacecolor="none",
            markeredgecolor=PALETTE[side],
            markeredgewidth=1.2,
            zorder=5,
            clip_on=False,
        )
        _draw_map(place(left, _MAP_TOP, _MAP, _MAP), side, own, scale)
    reach = _MAPS_AT[-1] + _MAP - _MAPS_AT[0]
    bar = place(_MAPS_AT[0], _MAP_TOP + _MAP + 0.45, reach, _BAR)
    _bar(figure, bar, scale, "cividis", "cosine of two atoms")
    return figure


def _bar(figure: Figure, ax: Axes, norm: Normalize, colours: Colormap | str, title: str) -> None:
    extend = "min" if norm.vmin > 0 else "neither"
    figure.colorbar(ScalarMappable(norm, colours), cax=ax, orientation="horizontal", extend=extend)
    ax.set_title(title, loc="center", pad=4)


def _draw_map(ax: Axes, side: str, own: pd.DataFrame, scale: Normalize) -> None:
    lines = [f"no live {side} atom"]
    if len(own):
        first = own.iloc[0]
        n = int(own["row"].max()) + 1
        cosines = np.full((n, n), np.nan)
        cosines[own["row"].astype(int), own["column"].astype(int)] = own["cosine"]
        ax.imshow(cosines, cmap="cividis", norm=scale, interpolation="nearest")
        lines = [
            f"{n} {side} atom{'s' * (n > 1)}:",
            _BOUNDS[side][0 if first["strict"] else 1],
            f"mean cosine {number(first['mean_cosine'])}",
            f"total f {number(first['frequency'])}",
            f"{first['energy_share']:.1%} of energy",
        ]
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.annotate(
        "\n".join(lines), (0, 1), (0, 3), xycoords="axes fraction", textcoords="offset points"
    )
