"""Figure 14: how well atoms tell images from texts, by modality score (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isoenergy.render.energy_plane import SHARES, share_norm
from isoenergy.render.style import MODALITY, WIDTH, label, number, settings

if TYPE_CHECKING:
    import pandas as pd

OF = "saes"
MODELS, SAES = 1, 2
TABLES = {"atoms": ("energy", "modality_score", "group", "accuracy")}
METRICS = ("p_acc",)
BINS = 100
TOP = 0.2
_CELLS = 30
# Classes of the stack, from the bottom: name and modality score whose colour stands for it.
CLASSES = {
    "text": 0.0,
    "bimodal, μ < 1/3": 0.25,
    "bimodal, 1/3 ≤ μ ≤ 2/3": 0.5,
    "bimodal, μ > 2/3": 0.75,
    "image": 1.0,
}


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """Live atoms with their share of the energy and their class in the stack.

    Parameters
    ----------
    panel : DataFrame
        A row per atom: energy, modality score, group, accuracy (of image atoms at predicting
        "image", of text atoms at predicting "text", of bimodal atoms whichever is larger), p_acc.

    Returns
    -------
    DataFrame
        The same with ``live`` and ``class``, one of ``CLASSES``, or "dead".
    """
    score, group = panel["modality_score"], panel["group"]
    inside = group == "bimodal"
    low, middle, high = list(CLASSES)[1:4]
    return panel.assign(
        **{
            "class": np.select(
                [inside & (score < 1 / 3), inside & (score > 2 / 3), inside],
                [low, high, middle],
                default=group,
            )
        }
    )


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """A column per SAE: a stacked histogram of accuracies above the same against mu.

    Parameters
    ----------
    data : DataFrame
        As gathered, for every panel.
    """
    groups = [group for _, group in data.groupby(["model", "sae"], sort=False)]
    width = WIDTH if len(groups) > 1 else 0.65 * WIDTH
    figure = Figure(figsize=(width, 6.4), layout="constrained")
    axes = figure.subplots(2, len(groups), sharey="row", squeeze=False)
    norm = share_norm()
    cells = []
    tallest = 0.0
    for (above, below), group in zip(axes.T, groups, strict=True):
        live = group[group["group"] != "dead"]
        share = live["energy"] / (live["energy"].sum() or 1)
        tallest = max(tallest, _stack(above, live, share))
        cells.append(
            below.hexbin(
                live["modality_score"],
                live["accuracy"],
                C=share,
                reduce_C_function=np.sum,
                gridsize=_CELLS,
                extent=(0, 1, 0, 1),
                cmap=SHARES,
                norm=norm,
                linewidths=0.1,
            )
        )
        first = group.iloc[0]
        label(above, first["panel"], f"p_acc {number(first['p_acc'])}", width / len(groups))
        above.set(xlim=(-0.01, 1.01), xlabel="accuracy as a probe")
        below.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="modality score μ")
        below.axhline(0.5, color="#999999", linewidth=0.6, zorder=0)
    axes[0, 0].set(ylabel="share of energy", ylim=(0, TOP if tallest <= TOP else 1.05 * tallest))
    axes[1, 0].set_ylabel("accuracy as a probe")
    figure.colorbar(
        cells[0],
        ax=list(axes[1]),
        orientation="vertical",
        label="share of energy in a cell",
        extend="min",
    )
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3)
    return figure


def _stack(ax: Axes, live: pd.DataFrame, share: pd.Series) -> float:
    """Draw the stack; the height of its tallest bar."""
    edges = np.linspace(0, 1, BINS + 1)
    bottom = np.zeros(BINS)
    for name, score in CLASSES.items():
        own = live["class"] == name
        counts, _ = np.histogram(live.loc[own, "accuracy"], bins=edges, weights=share[own])
        look = {"color": MODALITY(score), "label": name, "fill": True, "linewidth": 0}
        ax.stairs(bottom + counts, edges, baseline=bottom, **look)
        bottom = bottom + counts
    return float(bottom.max())
