"""Figure 2: energies of atoms, and the three directions they fall into (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from isoenergy.measure.energy import GROUPS
from isoenergy.render.energy_plane import SHARES, draw_energies, find_window, share_norm
from isoenergy.render.space import COORDINATES, diameters, frame
from isoenergy.render.style import MODALITY, PALETTE, SMALLEST, WIDTH, label, settings

if TYPE_CHECKING:
    import pandas as pd
    from mpl_toolkits.mplot3d import Axes3D

OF = "saes"
MODELS, SAES = None, 2  # more would not fit on a page
TABLES = {
    "atoms": ("energy_image", "energy_text", "energy", "modality_score", "group", *COORDINATES)
}
METRICS = ()

# Atoms below this share of the strongest atom's energy do not widen the box of the right panel.
_WEAK = 1e-3
# Inches: a row, the shared colour bars above the rows, and what stands where in a row.
_ROW = 3.5
_TOP = 0.85
_SQUARE = 2.4
_SQUARE_AT = (0.8, 0.6)
_BOX = 3.1
_BOX_AT = (3.8, 0.2)
_BAR = 0.12


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """Atoms, then the arrows.

    Parameters
    ----------
    panel : DataFrame
        A row per atom: energies, modality score, group, coordinates on three directions.

    Returns
    -------
    DataFrame
        The same with a column ``part``: ``"atom"``, or ``"mean"`` for a further row per group
        with energy: energies summed, their modality score, and energy-weighted mean coordinates.
    """
    import pandas as pd

    means = []
    for name in GROUPS:
        rows = panel[panel["group"] == name]
        total = rows["energy"].sum()
        if total == 0:
            continue
        sums = rows[["energy_image", "energy_text", "energy"]].sum()
        means.append(
            {
                **sums,
                "modality_score": sums["energy_image"] / (2 * total),
                "group": name,
                **{axis: (rows[axis] * rows["energy"]).sum() / total for axis in COORDINATES},
            }
        )
    rows = [panel.assign(part="atom")]
    if means:
        rows.append(pd.DataFrame(means).assign(part="mean"))
    return pd.concat(rows, ignore_index=True)


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """One row of two panels per model and SAE; dead atoms are counted, not drawn.

    Parameters
    ----------
    data : DataFrame
        As gathered, for every panel.
    """
    groups = [group for _, group in data.groupby(["model", "sae"], sort=False)]
    height = _TOP + _ROW * len(groups)
    figure = Figure(figsize=(WIDTH, height))

    def place(left: float, top: float, width: float, tall: float, **more: str) -> Axes:
        box = (left / WIDTH, 1 - (top + tall) / height, width / WIDTH, tall / height)
        return figure.add_axes(box, **more)

    alive = (data["part"] == "atom") & (data["group"] != "dead")
    window, norm = find_window(data[alive]), share_norm()
    for row, group in enumerate(groups):
        top = _TOP + row * _ROW
        live = group[(group["part"] == "atom") & (group["group"] != "dead")]
        atoms = int((group["part"] == "atom").sum())
        left, down = _SQUARE_AT
        ax = place(left, top + down, _SQUARE, _SQUARE)
        draw_energies(ax, live, window, norm)
        note = f"{len(live):,} of {atoms:,} atoms live"
        label(ax, group["panel"].iloc[0], note, WIDTH - left, lift=SMALLEST + 3)
        left, down = _BOX_AT
        box = place(left, top + down, _BOX, _BOX, projection="3d", computed_zorder=False)
        _draw_directions(box, live, group[group["part"] == "mean"])

    bar = figure.colorbar(
        ScalarMappable(norm, SHARES),
        cax=place(_SQUARE_AT[0], 0.42, _SQUARE, _BAR),
        orientation="horizontal",
        extend="min",
    )
    bar.ax.set_title("share of total energy in a cell", loc="center", pad=4)
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), MODALITY),
        cax=place(_BOX_AT[0] + (_BOX - _SQUARE) / 2, 0.42, _SQUARE, _BAR),
        orientation="horizontal",
        ticks=[0, 0.5, 1],
    )
    bar.ax.set_xticklabels(["0\ntext", "0.5\nbimodal", "1\nimage"])
    bar.ax.set_title("modality score μ", loc="center", pad=4)
    return figure


def _draw_directions(box: Axes3D, live: pd.DataFrame, means: pd.DataFrame) -> None:
    # Atoms of next to no energy scatter far out and would shrink the rest to a blot.
    strong = live[live["energy"] >= _WEAK * live["energy"].max()]
    points = [part[list(COORDINATES)].to_numpy() for part in (strong, means)]
    everything = np.concatenate([*points, np.zeros((1, 3))])
    low, high = everything.min(), everything.max()
    margin = 0.05 * (high - low) or 0.5
    low, high = low - margin, high + margin
    live = live[
        live[list(COORDINATES)].ge(low).all(axis=1) & live[list(COORDINATES)].le(high).all(axis=1)
    ]
    points = live[list(COORDINATES)].to_numpy()
    energy = live["energy"].to_numpy()
    diameter = diameters(energy)
    order = np.argsort(-energy, kind="stable")
    x, y, z = points[order].T
    dots = {"s": diameter[order] ** 2, "depthshade": False, "rasterized": True}
    box.scatter(x, y, np.full_like(z, low), color="#dddddd", linewidths=0, zorder=1, **dots)
    box.scatter(
        x,
        y,
        z,
        c=live["modality_score"].to_numpy()[order],
        cmap=MODALITY,
        vmin=0,
        vmax=1,
        edgecolors="white",
        linewidths=np.minimum(diameter[order] / 10, 0.4),
        zorder=2,
        **dots,
    )
    for _, mean in means.iterrows():
        tip = mean[list(COORDINATES)].to_numpy(dtype=float)
        # A short arrow would be lost among the atoms without the dot at its tip.
        box.scatter(*tip, s=40, color=PALETTE[mean["group"]], edgecolors="white", zorder=4)
        for colour, width in (("white", 4.5), (PALETTE[mean["group"]], 2.5)):
            box.quiver(
                0, 0, 0, *tip, color=colour, linewidth=width, arrow_length_ratio=0.2, zorder=3
            )
    frame(box, low, high)
    axes = {"image": box.xaxis, "text": box.yaxis, "bimodal": box.zaxis}
    for name, axis in axes.items():
        axis.set_label_text(f"{name} direction")
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    # Tick labels stand outside the box, but have to stay inside the figure.
    box.set_box_aspect(None, zoom=0.92)
