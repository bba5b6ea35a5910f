"""Figure 10: the modality gap in the principal plane, with its size (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from isoenergy.render.style import (
    PALETTE,
    label,
    label_axes,
    number,
    panels,
    room,
    sequential,
    settings,
)

if TYPE_CHECKING:
    import pandas as pd

OF = "embeddings"
MODELS, SAES = None, None
TABLES = {"pca": ("modality", "x", "y")}
METRICS = ("difference_in_mean", "wasserstein")
_CELLS = 50
_MODALITIES = ("image", "text")


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """Points, then the crosses.

    Parameters
    ----------
    panel : DataFrame
        A row per embedding: modality (``"image"`` or ``"text"``), x, y, DiM and W.

    Returns
    -------
    DataFrame
        The same with a column ``part``: ``"embedding"``, or ``"mean"`` for three more rows, the
        means of images, of texts and of ``"all"``.
    """
    import pandas as pd

    groups = {name: panel[panel["modality"] == name] for name in _MODALITIES}
    means = [
        {**rows.iloc[0], "modality": name, "x": rows["x"].mean(), "y": rows["y"].mean()}
        for name, rows in {**groups, "all": panel}.items()
        if len(rows)
    ]
    both = pd.concat(
        [panel.assign(part="embedding"), pd.DataFrame(means).assign(part="mean")],
        ignore_index=True,
    )
    return both.astype(panel.dtypes.drop("modality").to_dict())


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """One panel per model, all in one window and one scale of counts.

    Parameters
    ----------
    data : DataFrame
        As gathered, for every panel.
    """
    groups = [group for _, group in data.groupby(["model", "sae"], sort=False)]
    part, axes, bars = panels(len(groups), shape=1.0, extra=0.3, bars=2)
    # One window for all, so that gaps and spreads of models can be compared by eye.
    window = [_window(data[axis]) for axis in ("x", "y")]
    cells: dict[str, list[PolyCollection]] = {name: [] for name in _MODALITIES}
    for ax, group in zip(axes, groups, strict=True):
        points = group[group["part"] == "embedding"]
        for name in _MODALITIES:
            some = points[points["modality"] == name]
            cells[name].append(
                ax.hexbin(
                    some["x"],
                    some["y"],
                    gridsize=_CELLS,
                    extent=(*window[0], *window[1]),
                    mincnt=1,
                    cmap=sequential(PALETTE[name]),
                    alpha=0.65,
                    linewidths=0.1,
                )
            )
        means = group[group["part"] == "mean"]
        ax.plot(means["x"], means["y"], "x", color="white", markersize=8, markeredgewidth=3.5)
        ax.plot(means["x"], means["y"], "x", color="black", markersize=7, markeredgewidth=1.5)
        first = group.iloc[0]
        label(
            ax,
            first["panel"],
            f"DiM {number(first['difference_in_mean'])}    W {number(first['wasserstein'])}",
            room(ax),
        )
        ax.set(xlim=window[0], ylim=window[1], aspect="equal")
        ax.locator_params(nbins=4, steps=[1, 2, 4, 5, 10])
    label_axes(axes, "principal axis 1", "principal axis 2")
    counts = np.concatenate([c.get_array() for some in cells.values() for c in some])
    norm = LogNorm(1, max(counts.max(), 10))
    for (name, some), bar_ax in zip(cells.items(), bars, strict=True):
        for drawn in some:
            drawn.set_norm(norm)
        part.figure.colorbar(
            some[0], cax=bar_ax, orientation="horizontal", label=f"{name}s in a cell"
        )
    return part.figure


def _window(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin
