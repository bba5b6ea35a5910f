"""Figure 23: distances of composed queries to the nearest targets (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from isoenergy.render.neighbours import limit
from isoenergy.render.style import PALETTE, label, label_axes, number, panels, room, settings

if TYPE_CHECKING:
    import pandas as pd

OF = "composed"
MODELS, SAES = None, 1
TABLES = {"neighbours": ("query", "left", "right", "density")}
METRICS = ("Q/ood_score", "Q_SAE/ood_score")
# Line styles and fills as well as colours, for readers who see few of these.
_LOOKS = {
    "target": {"color": PALETTE["image"]},
    "source": {"color": PALETTE["noise"], "linestyle": (0, (1, 1))},
    "caption": {"color": PALETTE["noise"], "linestyle": (0, (4, 1.5))},
    "Q": {"color": PALETTE["text"]},
    "Q_SAE": {"color": PALETTE["bimodal"]},
}
_FILLED = ("target", "Q", "Q_SAE")


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """The histograms as they are.

    Parameters
    ----------
    panel : DataFrame
        A row per bin of the targets and of every query, with the OOD scores of Q and Q_SAE.
    """
    return panel


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """One panel per model.

    Parameters
    ----------
    data : DataFrame
        As gathered, for every panel.
    """
    groups = [group for _, group in data.groupby(["model", "sae"], sort=False)]
    part, axes, _ = panels(len(groups), shape=0.9, extra=0.6)
    handles = {}
    for ax, group in zip(axes, groups, strict=True):
        for query, look in _LOOKS.items():
            bins = group[group["query"] == query]
            if bins.empty:
                continue
            edges = np.append(bins["left"].to_numpy(), bins["right"].to_numpy()[-1])
            drawn = [ax.stairs(bins["density"], edges, linewidth=1.2, **look)]
            if query in _FILLED:
                drawn.append(ax.stairs(bins["density"], edges, fill=True, alpha=0.35, **look))
            handles.setdefault(query, tuple(drawn))
        first = group.iloc[0]
        scores = [f"{name} {number(first[f'{name}/ood_score'])}" for name in ("Q", "Q_SAE")]
        label(ax, first["panel"], f"OOD {', '.join(scores)}", room(ax))
    limit(axes[0], data[data["query"].isin(list(_LOOKS))])
    label_axes(axes, "distance to 5th nearest target", "density")
    part.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=len(handles),
        columnspacing=1.2,
        handletextpad=0.5,
        handlelength=1.6,
    )
    return part.figure
