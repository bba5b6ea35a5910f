"""The figure beyond the paper's: what removal does to rankings, against Appendix K."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isoenergy.measure.removal import QUERIES, REMOVALS
from isoenergy.render.style import PALETTE, WIDTH, label, settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

OF = "ranking"
MODELS, SAES = None, 1
TABLES = {
    "margins": ("removal", "query", "before", "change", "flipped", "foretold"),
    "spreads": ("removal", "query", "spread", "largest_flip"),
}
_TOLD = (
    "share_flipped",
    "share_of_flips_meeting_condition",
    "share_guaranteed",
    "share_of_guaranteed_flipped",
)
METRICS = tuple(
    f"{removal}/{query}/{m}" for removal in REMOVALS for query in QUERIES for m in _TOLD
)
_WITHOUT = {"atoms": "without unimodal atoms", "mean": "without the mean"}
_KEPT, _GUIDE = PALETTE["noise"], "#d0d0d0"
# Inches: legend, and of each model its name and two rows; of a row, what stands above a panel and
# the panels, which share their ordinates but for the last.
_LEGEND, _NAME, _ROW = 0.6, 0.2, 2.65
_TOP, _SIDE = 0.56, 1.55
_LEFT = (0.75, 2.75, 5.05)


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """Pairs of candidates, then queries, as they are.

    Parameters
    ----------
    panel : DataFrame
        Rows of ``margins`` and of ``spreads``, which ``table`` tells apart, with the shares of
        every removal and modality of the query.
    """
    return panel


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """Two rows per model, one for each removal: pairs by image queries, by text queries, spreads.

    Parameters
    ----------
    data : DataFrame
        As gathered.
    """
    groups = [group for _, group in data.groupby(["model", "sae"], sort=False)]
    tall = _NAME + len(REMOVALS) * _ROW
    height = _LEGEND + tall * len(groups)
    figure = Figure(figsize=(WIDTH, height))
    figure.legend(handles=_handles(), loc="upper center", ncols=2)
    planes = []
    for i, group in enumerate(groups):
        top = _LEGEND + i * tall
        named = {"fontweight": "bold", "verticalalignment": "top"}
        figure.text(0.01, 1 - top / height, group["panel"].iloc[0], **named)
        for j, removal in enumerate(REMOVALS):
            row = top + _NAME + j * _ROW
            figure.text(0.01, 1 - row / height, _WITHOUT[removal], verticalalignment="top")
            bottom = 1 - (row + _TOP + _SIDE) / height
            axes = [
                figure.add_axes((left / WIDTH, bottom, _SIDE / WIDTH, _SIDE / height))
                for left in _LEFT
            ]
            _draw_row(axes, group, removal)
            planes += axes[:-1]
    _share_limits(planes)
    return figure


def _draw_row(axes: list[Axes], group: pd.DataFrame, removal: str) -> None:
    own = group[group["removal"] == removal]
    told = {q: [group[f"{removal}/{q}/{name}"].iloc[0] for name in _TOLD] for q in QUERIES}
    pairs, spreads = (own[own["table"] == name] for name in TABLES)
    for ax, query in zip(axes, QUERIES, strict=False):
        _draw_pairs(ax, pairs[pairs["query"] == query], query)
        flipped, foretold = told[query][:2]
        all_foretold = "all" if foretold == 1 else _percent(foretold)
        note = f"{_percent(flipped)} flip, {all_foretold} foretold"
        label(ax, f"{query} queries", note, _SIDE)
        ax.set_xlabel("margin before")
    axes[0].set_ylabel("change by removal")
    axes[1].tick_params(labelleft=False)
    _draw_spreads(axes[-1], spreads)
    safe = ", ".join(_percent(shares[2], 0) for shares in told.values())
    broken = [shares[3] for shares in told.values() if math.isfinite(shares[3])]
    flip = _percent(max(broken)) if any(broken) else "none"
    label(axes[-1], "corollary 1", f"{safe} safe, {flip} flip", _SIDE)


def _handles() -> list[Line2D]:
    dot = {"marker": "o", "linestyle": "none", "markersize": 4, "markeredgewidth": 0}
    return [
        *(Line2D([], [], color=PALETTE[q], label=f"flipped, {q} query", **dot) for q in QUERIES),
        Line2D([], [], color=_KEPT, label="order kept", **dot),
        Line2D([], [], color="black", linewidth=1, label="bound"),
    ]


def _percent(share: float, decimals: int = 1) -> str:
    return f"{share:.{decimals}%}" if math.isfinite(share) else "–"


def _draw_pairs(ax: Axes, own: pd.DataFrame, query: str) -> None:
    """Margins before, and what removal adds; below the line the sum is negative: a flip."""
    flipped = own["flipped"].astype(bool)
    for some, colour in ((own[~flipped], _KEPT), (own[flipped], PALETTE[query])):
        _scatter(ax, some["before"], some["change"], colour)
    ax.axline((0, 0), slope=-1, color="black", linewidth=1)
    ax.axhline(0, color=_GUIDE, linewidth=0.5, zorder=0)


def _draw_spreads(ax: Axes, own: pd.DataFrame) -> None:
    """Largest margin of content that flips, per query; the corollary has none above the line."""
    own = own[own["largest_flip"].notna()]
    for query in QUERIES:
        some = own[own["query"] == query]
        _scatter(ax, some["spread"], some["largest_flip"], PALETTE[query])
    top = 1.05 * own["spread"].max() if len(own) else 1.0
    ax.axline((0, 0), slope=1, color="black", linewidth=1)
    ax.set(xlim=(0, top), ylim=(0, top), xlabel="spread ε", ylabel="largest flip")


def _scatter(ax: Axes, x: pd.Series, y: pd.Series, colour: str) -> None:
    ax.scatter(x, y, s=4, color=colour, linewidths=0, alpha=0.7, rasterized=True)


def _share_limits(planes: list[Axes]) -> None:
    """The same window in every plane, with the origin on its left edge."""
    boxes = [ax.dataLim for ax in planes]
    right = max((box.x1 for box in boxes if box.x1 > 0), default=1.0)
    low = min((box.y0 for box in boxes), default=-1.0)
    high = max((box.y1 for box in boxes), default=1.0)
    for ax in planes:
        ax.set(xlim=(0, 1.05 * right), ylim=(1.1 * min(low, -0.05), 1.1 * max(high, 0.05)))
