"""Figure 2: energies of atoms, and the three directions they fall into (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from isoenergy.measure.energy import GROUPS
from isoenergy.render.style import MODALITY, PALETTE, SMALLEST, WIDTH, label, settings

if TYPE_CHECKING:
    import pandas as pd
    from mpl_toolkits.mplot3d import Axes3D

OF = "saes"
MODELS, SAES = None, 2  # more would not fit on a page
TABLE = "atoms"
COORDINATES = ("along_image", "along_text", "along_bimodal")
COLUMNS = ("energy_image", "energy_text", "energy", "modality_score", "group", *COORDINATES)
METRICS = ()

# Lower energies share the margin strip with zero, which has no logarithm (the authors add 1e-9).
FLOOR = 1e-9
_CELLS = 60
# Atoms below this share of the strongest atom's energy do not widen the box of the right panel.
_WEAK = 1e-3
# The strip's width and its distance from the rest, as shares of all decades drawn.
_STRIP, _DISTANCE = 0.08, 0.1
_LEVELS = (0.1, 0.5, 0.9)
# The light end of magma is left out: a cell of one atom has to show on white.
_SHARES = LinearSegmentedColormap.from_list(
    "shares", ["#fbc98d", "#f1605d", "#b63679", "#721f81", "#2d1160", "#000004"]
)

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

    window = _window(data)
    norm = LogNorm(1e-4, 1)
    for row, group in enumerate(groups):
        top = _TOP + row * _ROW
        live = group[(group["part"] == "atom") & (group["group"] != "dead")]
        atoms = int((group["part"] == "atom").sum())
        left, down = _SQUARE_AT
        ax = place(left, top + down, _SQUARE, _SQUARE)
        _draw_energies(ax, live, window, norm)
        note = f"{len(live):,} of {atoms:,} atoms live"
        label(ax, group["panel"].iloc[0], note, WIDTH - left, lift=SMALLEST + 3)
        left, down = _BOX_AT
        box = place(left, top + down, _BOX, _BOX, projection="3d", computed_zorder=False)
        _draw_directions(box, live, group[group["part"] == "mean"])

    bar = figure.colorbar(
        ScalarMappable(norm, _SHARES),
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


def _window(data: pd.DataFrame) -> tuple[int, int]:
    """Whole decades that hold all energies of atoms above ``FLOOR``."""
    atoms = data[(data["part"] == "atom") & (data["group"] != "dead")]
    energies = atoms[["energy_image", "energy_text"]].to_numpy().ravel()
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


def _draw_energies(ax: Axes, live: pd.DataFrame, window: tuple[int, int], norm: LogNorm) -> None:
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
    start, end = _strip(window)
    high = window[1]

    def place(energy: pd.Series) -> np.ndarray:
        logarithm = np.log10(energy.clip(lower=FLOOR).to_numpy(dtype=float))
        return np.where(energy > FLOOR, logarithm, (start + end) / 2)

    return ax.hexbin(
        place(live["energy_image"]),
        place(live["energy_text"]),
        C=live["energy"] / live["energy"].sum(),
        reduce_C_function=np.sum,
        gridsize=_CELLS,
        extent=(start, high, start, high),
        cmap=_SHARES,
        norm=norm,
        linewidths=0.1,
        zorder=3,
    )


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
    # The authors' rule for diameters, which keeps weak atoms visible; in points here.
    diameter = (300 * np.sqrt(energy / max(energy.max(initial=0), FLOOR))) ** (2 / 3) / 4
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
    box.set(xlim=(low, high), ylim=(low, high), zlim=(low, high))
    axes = {"image": box.xaxis, "text": box.yaxis, "bimodal": box.zaxis}
    for name, axis in axes.items():
        axis.set_label_text(f"{name} direction")
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    # Tick labels stand outside the box, but have to stay inside the figure.
    box.set_box_aspect(None, zoom=0.92)
    box.view_init(elev=20, azim=45)
    box.patch.set_visible(False)
