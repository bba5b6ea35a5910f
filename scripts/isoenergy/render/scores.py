"""Figure 15: scores of embeddings on a strong and a weak bimodal atom (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from isoenergy.render.style import PALETTE, SMALLEST, WIDTH, settings, shade, tint

if TYPE_CHECKING:
    import pandas as pd

OF = "aligned"
MODELS, SAES = 1, 1
TABLES = {
    "scores": (
        "which",
        "atom",
        "energy",
        "modality_score",
        "activity",
        "modality",
        "active",
        "left",
        "right",
        "count",
    )
}
METRICS = ()
_TITLES = {"high": "high energy", "low": "low energy"}
# Images upwards, texts downwards, so that neither hides the other.
_SIGNS = {"image": 1, "text": -1}


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """The histograms as they are.

    Parameters
    ----------
    panel : DataFrame
        A row per atom, modality, activity and bin: which ("high" or "low"), atom, its energy,
        modality score and share of pairs in which it is active; modality, active, left and right
        edge, count.
    """
    return panel


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """Two panels: the strong atom's scores and the weak one's.

    Parameters
    ----------
    data : DataFrame
        As gathered, of one SAE.
    """
    atoms = [name for name in _TITLES if (data["which"] == name).any()]
    width = WIDTH if len(atoms) > 1 else 0.65 * WIDTH
    figure = Figure(figsize=(width, 3.9), layout="constrained")
    axes = figure.subplots(1, len(atoms), squeeze=False)[0]
    for ax, which in zip(axes, atoms, strict=True):
        some = data[data["which"] == which]
        _draw_atom(ax, some)
        first = some.iloc[0]
        ax.set_title(_TITLES[which], pad=2 * SMALLEST + 8)
        ax.annotate(
            f"atom {first['atom']}, E {first['energy']:.2g}, μ {first['modality_score']:.2f}\n"
            f"active in {first['activity']:.1%} of pairs",
            (0, 1),
            (0, 4),
            xycoords="axes fraction",
            textcoords="offset points",
        )
        ax.set_xlabel("score x · D$_i$")
    axes[0].set_ylabel("texts ←   count   → images")
    figure.suptitle(data["panel"].iloc[0], x=0.01, ha="left", fontweight="bold", fontsize=SMALLEST)
    handles = [
        Patch(color=_colour(name, on), label=f"{name}s, {'active' if on else 'inactive'}")
        for name in _SIGNS
        for on in (True, False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _colour(modality: str, active: bool) -> tuple[float, float, float]:
    return shade(PALETTE[modality]) if active else tint(PALETTE[modality])


def _draw_atom(ax: Axes, some: pd.DataFrame) -> None:
    tallest = 0
    for modality, sign in _SIGNS.items():
        own = some[some["modality"] == modality]
        bottom = np.zeros(int(own["active"].sum()))
        for active in (True, False):
            bins = own[own["active"] == active]
            edges = np.append(bins["left"], bins["right"].iloc[-1])
            top = bottom + bins["count"].to_numpy()
            look = {"color": _colour(modality, active), "fill": True, "linewidth": 0}
            ax.stairs(sign * top, edges, baseline=sign * bottom, **look)
            bottom = top
        tallest = max(tallest, bottom.max())
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_ylim(-1.05 * tallest, 1.05 * tallest)
    ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
