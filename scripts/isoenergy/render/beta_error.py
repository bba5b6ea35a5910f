"""Figure 7: what alignment costs in reconstruction, against its weight beta (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from isoenergy.render.style import PALETTE, WIDTH, label, settings

if TYPE_CHECKING:
    import pandas as pd

OF = "sweep"
MODELS, SAES = 1, None
TABLES = {
    "sweep": (
        "beta",
        "mse",
        "r2",
        "share_degenerate",
        "selected_no_degenerate",
        "selected_paper",
    )
}
METRICS = ("sweep_r2_bound",)

# Which rule selects a beta: column, words of the legend, and look.
SELECTED = (
    ("selected_no_degenerate", "selected", {"color": PALETTE["image"]}),
    (
        "selected_paper",
        "selected by the rule as printed",
        {"color": PALETTE["image"], "linestyle": (0, (4, 2))},
    ),
)
_BASE = {"color": "black", "linewidth": 0.8, "linestyle": (0, (6, 3))}
_BOUND = {"color": "black", "linewidth": 0.8, "linestyle": (0, (1, 2))}
_ROW, _LEGEND = 2.7, 0.65


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """The runs as they are.

    Parameters
    ----------
    panel : DataFrame
        A row per beta, ascending: mse, r2, the energy share of degenerate atoms, whether each rule
        selects it, and the R² that it asks for.
    """
    return panel


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """One row of two panels per model: mean squared error, and R².

    Parameters
    ----------
    data : DataFrame
        As gathered, for every panel.
    """
    groups = [group for _, group in data.groupby(["model", "sae"], sort=False)]
    figure = Figure(figsize=(WIDTH, _LEGEND + _ROW * len(groups)), layout="constrained")
    grid = figure.subplots(len(groups), 2, sharex=True, squeeze=False)
    handles: dict[str, object] = {}
    for (left, right), group in zip(grid, groups, strict=True):
        for ax, column, told in ((left, "mse", "MSE"), (right, "r2", "R²")):
            handles |= _draw_runs(ax, group, column)
            ax.set(ylabel=told, xlabel="β")
            ax.locator_params(axis="y", nbins=5)
        bound = group["sweep_r2_bound"].iloc[0]
        handles["lowest R² that is allowed"] = right.axhline(bound, **_BOUND)
        handles |= draw_selected((left, right), group)
        label(left, group["panel"].iloc[0], told_selected(group), WIDTH)
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3)
    return figure


def _draw_runs(ax: Axes, group: pd.DataFrame, column: str) -> dict[str, object]:
    runs = group[group["beta"] > 0]
    log_betas(ax)
    ax.plot(runs["beta"], runs[column], color=PALETTE["bimodal"], linewidth=0.8)
    handles = {}
    always = runs["share_degenerate"] > 0
    sae = group["sae"].iloc[0]
    for told, some, filled in (
        (sae, runs[~always], True),
        (f"{sae} with always-on atom", runs[always], False),
    ):
        (handles[told],) = ax.plot(
            some["beta"],
            some[column],
            "o",
            markersize=4,
            color=PALETTE["bimodal"],
            markerfacecolor=PALETTE["bimodal"] if filled else "white",
        )
    for value in group.loc[group["beta"] == 0, column]:
        handles["β = 0"] = ax.axhline(value, **_BASE)
    return handles


def log_betas(ax: Axes) -> None:
    """A logarithmic axis of beta with a label per decade."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(numticks=8))


def draw_selected(axes: tuple[Axes, ...], group: pd.DataFrame) -> dict[str, object]:
    """A line at the beta that each rule selects, one where both select the same; for the legend."""
    handles, seen = {}, set()
    for column, told, look in SELECTED:
        for beta in group.loc[group[column], "beta"]:
            if beta not in seen:
                seen.add(beta)
                for ax in axes:
                    handles[told] = ax.axvline(beta, linewidth=1.5, zorder=1, **look)
    return handles


def told_selected(group: pd.DataFrame) -> str:
    """The selected betas in words."""
    both = [group.loc[group[column], "beta"].tolist() for column, _, _ in SELECTED]
    told = [f"{betas[0]:.2g}" if betas else "none" for betas in both]
    if both[0] == both[1]:
        return f"selected β: {told[0]}"
    return f"selected β: {told[0]} (rule as printed: {told[1]})"
