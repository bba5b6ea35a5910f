"""Figure 8: where the energy lies as the weight of alignment grows (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from isoenergy.render.beta_error import SELECTED, draw_selected, log_betas, told_selected
from isoenergy.render.style import PALETTE, WIDTH, label, settings

if TYPE_CHECKING:
    import pandas as pd

OF = "sweep"
MODELS, SAES = 1, None
TABLES = {
    "sweep": (
        "beta",
        "share_bimodal",
        "share_degenerate",
        *(column for column, _, _ in SELECTED),
    )
}
METRICS = ()
_ROW, _LEGEND = 2.7, 0.65


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """The runs as they are.

    Parameters
    ----------
    panel : DataFrame
        A row per beta, ascending: shares of the energy in bimodal atoms that are not degenerate
        and in degenerate atoms, and whether each rule selects it.
    """
    return panel


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """One panel per model; what is left white is the energy of unimodal atoms.

    Parameters
    ----------
    data : DataFrame
        As gathered, for every panel.
    """
    groups = [group for _, group in data.groupby(["model", "sae"], sort=False)]
    figure = Figure(figsize=(WIDTH, _LEGEND + _ROW * len(groups)), layout="constrained")
    axes = figure.subplots(len(groups), sharex=True, squeeze=False)[:, 0]
    handles: dict[str, object] = {}
    for ax, group in zip(axes, groups, strict=True):
        runs = group[group["beta"] > 0]
        log_betas(ax)
        bimodal = runs["share_bimodal"]
        both = bimodal + runs["share_degenerate"]
        handles["bimodal"] = ax.fill_between(
            runs["beta"], 0, bimodal, color=PALETTE["bimodal"], alpha=0.8, linewidth=0
        )
        handles["always on (degenerate)"] = ax.fill_between(
            runs["beta"],
            bimodal,
            both,
            facecolor="#d8d8d8",
            edgecolor="#777777",
            hatch="///",
            linewidth=0,
        )
        for value in group.loc[group["beta"] == 0, "share_bimodal"]:
            handles["bimodal at β = 0"] = ax.axhline(
                value, color="black", linewidth=0.8, linestyle=(0, (6, 3))
            )
        handles |= draw_selected((ax,), group)
        ax.set(ylim=(0, 1), xlabel="β", ylabel="share of energy")
        label(ax, group["panel"].iloc[0], told_selected(group), WIDTH)
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3)
    return figure
