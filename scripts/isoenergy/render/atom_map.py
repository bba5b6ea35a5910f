"""Figure 3: embeddings and a map of atoms, before and after unimodal atoms go (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isoenergy.render.style import MODALITY, PALETTE, WIDTH, label, number, settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

OF = "aligned"
MODELS, SAES = 1, 1
_PLACES = ("modality", "x", "y", "along")
TABLES = {
    "pca": _PLACES,
    "pca_masked": _PLACES,
    "layout": ("atom", "energy", "modality_score", "x", "y"),
}
METRICS = (
    "difference_in_mean",
    "recall_at_1",
    "difference_in_mean_masked",
    "recall_at_1_masked",
)
# Modality scores that the map of bimodal atoms shows, and energies that its sizes are relative
# to, as in the authors' code.
BIMODAL = (0.2, 0.8)
USUAL = 0.1
# Points squared: of the strongest usual atom, and at least.
_LARGEST, _SMALLEST_DOT = 130, 1.5
_BINS = 80
_HEIGHTS = (1.0, 0.42, 1.0)
_FIGURE_HEIGHT = 7.9
_MODALITIES = ("image", "text")
_LEFT_OUT = "#e2e2e2"
_BRACKET = 1.12  # in heights of the frame


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """Places of embeddings, of masked reconstructions and of atoms, as they are.

    Parameters
    ----------
    panel : DataFrame
        A row per embedding (``table`` is ``"pca"``), reconstruction (``"pca_masked"``) and atom
        (``"layout"``), each with DiM and recall@1 of the first two.
    """
    # Without any atom, its columns are lacking as well.
    return panel.reindex(columns=list(dict.fromkeys([*panel, *TABLES["layout"]])))


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """Embeddings and all atoms in the left column, what the mask leaves in the right one.

    Parameters
    ----------
    data : DataFrame
        As gathered.
    """
    first = data.iloc[0]
    atoms = data[data["table"] == "layout"]
    figure = Figure(figsize=(WIDTH, _FIGURE_HEIGHT), layout="constrained")
    grid = figure.subplots(3, 2, height_ratios=_HEIGHTS)
    planes, lines, maps = grid
    lines[1].sharex(lines[0])
    # One window for both of a row, square, so that they can be compared by eye.
    for row, points in ((planes, data[data["table"] != "layout"]), (maps, atoms)):
        for ax in row:
            ax.set(**_window(points), aspect="equal")
    shown = {
        "pca": ("embeddings", "difference_in_mean", "recall_at_1"),
        "pca_masked": (
            "masked, bimodal atoms alone",
            "difference_in_mean_masked",
            "recall_at_1_masked",
        ),
    }
    for (plane, line, _), (table, (name, gap, recall)) in zip(grid.T, shown.items(), strict=True):
        points = data[data["table"] == table]
        label(plane, name, f"recall@1 {number(first[recall])}", WIDTH / 2)
        draw_plane(plane, points)
        draw_gap(line, points, f"DiM {number(first[gap])}")
    low, high = BIMODAL
    inside = atoms["modality_score"].between(low, high, inclusive="neither")
    everything, bimodal = maps
    drawn = draw_atoms(everything, atoms, atoms)
    label(everything, "all atoms", f"{len(atoms)} drawn", WIDTH / 2)
    bimodal.scatter(atoms["x"], atoms["y"], s=_SMALLEST_DOT, color=_LEFT_OUT, rasterized=True)
    draw_atoms(bimodal, atoms[inside], atoms)
    label(
        bimodal,
        "bimodal atoms",
        f"{inside.sum()} with {low} < μ < {high}, the others grey",
        WIDTH / 2,
    )
    look = {"location": "bottom", "aspect": 30, "pad": 0.04, "shrink": 0.7}
    bar = figure.colorbar(drawn, ax=list(maps), label="modality score μ", **look)
    bar.set_ticks([0, *BIMODAL, 1], labels=["0, text", f"{low}", f"{high}", "1, image"])
    look = {"marker": "o", "linestyle": "none", "markersize": 5}
    figure.legend(
        handles=[Line2D([], [], color=PALETTE[m], label=f"{m}s", **look) for m in _MODALITIES],
        loc="outside upper center",
        ncols=2,
        title=first["panel"],
    )
    return figure


def draw_plane(ax: Axes, points: pd.DataFrame) -> None:
    """Images and texts in their principal plane, in turns, so that neither hides the other."""
    sides = [points[points["modality"] == name] for name in _MODALITIES]
    turn = np.concatenate([np.arange(len(side)) for side in sides])
    order = np.argsort(turn, kind="stable")
    places = np.concatenate([side[["x", "y"]].to_numpy(dtype=float) for side in sides])
    colours = np.repeat([PALETTE[name] for name in _MODALITIES], [len(side) for side in sides])
    look = {"s": 2.5, "alpha": 0.45, "linewidths": 0, "rasterized": True}
    ax.scatter(*places[order].T, c=colours[order], **look)
    ax.set_xlabel("principal axis 1")
    ax.locator_params(nbins=5, steps=[1, 2, 4, 5, 10])
    if ax.get_subplotspec().is_first_col():
        ax.set_ylabel("principal axis 2")


def draw_gap(ax: Axes, points: pd.DataFrame, told: str) -> None:
    """Densities along the difference of means, whose length is told between the two means."""
    edges = np.histogram_bin_edges(points["along"].to_numpy(dtype=float), bins=_BINS)
    for name in _MODALITIES:
        own = points.loc[points["modality"] == name, "along"].to_numpy(dtype=float)
        density = np.histogram(own, bins=edges)[0] / max(len(own), 1) / np.diff(edges)
        look = {"color": PALETTE[name], "linestyle": "-" if name == "image" else (0, (3, 1))}
        ax.stairs(density, edges, fill=True, alpha=0.35, **look)
        ax.stairs(density, edges, **look)
    ends = points.groupby("modality")["along"].mean()
    # Between the two means, above the frame where no density can lie.
    above = ax.get_xaxis_transform()
    ax.plot(ends, [_BRACKET] * len(ends), "|-k", transform=above, clip_on=False, markersize=7)
    ax.annotate(told, (ends.mean(), _BRACKET), (0, 5), above, "offset points", ha="center")
    ax.set_ylim(bottom=0)
    ax.set(xlabel="along the difference of means", yticks=[])
    ax.spines["left"].set_visible(False)


def draw_atoms(ax: Axes, shown: pd.DataFrame, everything: pd.DataFrame) -> PathCollection:
    """Atoms coloured by modality score, the weak ones in front.

    Parameters
    ----------
    ax : Axes
    shown, everything : DataFrame
        Atoms to draw, and those that their sizes are relative to: ``energy``,
        ``modality_score``, ``x``, ``y``.
    """
    order = np.argsort(-shown["energy"].to_numpy(), kind="stable")
    some = shown.iloc[order]
    drawn = ax.scatter(
        some["x"],
        some["y"],
        s=areas(some["energy"].to_numpy(), everything["energy"].to_numpy()),
        c=some["modality_score"],
        cmap=MODALITY,
        vmin=0,
        vmax=1,
        alpha=0.8,
        linewidths=0,
        rasterized=True,
    )
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color="#c8c8c8")
    return drawn


def areas(energy: np.ndarray, everything: np.ndarray) -> np.ndarray:
    """Area of each atom's dot: the authors' rule, by the root of energy above the weakest atom's.

    Parameters
    ----------
    energy, everything : ndarray of shape (n,), (m,)
        Of the atoms to size, and of all of them. The strongest one below 0.1 has the largest
        usual area; one above it is larger.
    """
    if len(everything) == 0:
        return np.zeros(0)
    above = everything - everything.min()
    usual = above[everything < USUAL].max(initial=0) or above.max() or 1.0
    return np.maximum(_LARGEST * np.sqrt((energy - everything.min()) / usual), _SMALLEST_DOT)


def _window(points: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Limits of a square that holds all points."""
    if points.empty:
        return {"xlim": (0.0, 1.0), "ylim": (0.0, 1.0)}
    low, high = points[["x", "y"]].min().to_numpy(), points[["x", "y"]].max().to_numpy()
    half = 0.54 * float((high - low).max()) or 0.5
    middle = (low + high) / 2
    return {
        f"{axis}lim": (float(centre - half), float(centre + half))
        for axis, centre in zip("xy", middle, strict=True)
    }
