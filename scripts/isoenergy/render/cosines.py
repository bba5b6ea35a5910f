"""Figures 9 and 11: cosines within and across modalities (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from isoenergy.measure.geometry import COSINE_KINDS
from isoenergy.render.style import (
    PALETTE,
    SMALLEST,
    label,
    label_axes,
    number,
    panels,
    room,
    settings,
)

if TYPE_CHECKING:
    import pandas as pd

OF = "embeddings"
MODELS, SAES = None, None
TABLES = {"cosines": ("kind", "left", "right", "density")}
METRICS = ("recall_at_1",)
# Line styles and fills as well as colours, for readers who see few of these.
_LOOKS = {
    "I-I": {"color": PALETTE["image"]},
    "T-T": {"color": PALETTE["text"]},
    "I-T": {"color": PALETTE["bimodal"], "linestyle": (0, (3, 1.5))},
    "I-T (aligned)": {"color": PALETTE["bimodal"]},
    "random": {"color": PALETTE["noise"], "linestyle": (0, (1, 1))},
}
_FILLED = ("I-I", "T-T", "I-T (aligned)")


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """The histograms as they are.

    Parameters
    ----------
    panel : DataFrame
        A row per bin of a kind: kind (one of ``COSINE_KINDS``), left and right edge, density and,
        in Figure 11, recall@1.
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
        for kind in COSINE_KINDS:
            bins = group[group["kind"] == kind]
            if bins.empty:
                continue
            edges = np.append(bins["left"].to_numpy(), bins["right"].to_numpy()[-1])
            look = _LOOKS[kind]
            drawn = [ax.stairs(bins["density"], edges, linewidth=1.2, **look)]
            if kind in _FILLED:
                drawn.append(ax.stairs(bins["density"], edges, fill=True, alpha=0.35, **look))
            handles.setdefault(kind, tuple(drawn))
        first = group.iloc[0]
        ax.locator_params(axis="y", nbins=5)
        if "recall_at_1" in first:
            label(ax, first["panel"], f"recall@1 {number(first['recall_at_1'])}", room(ax))
        else:
            label(ax, first["panel"], "", room(ax), lift=-SMALLEST)
    label_axes(axes, "cosine similarity", "density")
    part.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
    return part.figure
