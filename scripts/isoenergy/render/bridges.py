"""Figure 12: which groups of atoms carry the bridge, over all thresholds (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from isoenergy.measure.bridge_shares import PAIRS
from isoenergy.render.grid import format_number
from isoenergy.render.style import PALETTE, label, label_axes, panels, room, settings

if TYPE_CHECKING:
    import pandas as pd

OF = "saes"
MODELS, SAES = 1, None
TABLES = {"bridge_shares": ("threshold", "pair", "share", "tau")}
METRICS = ("rho",)
# Light between dark, so that neighbours in the stack stay apart in grey too.
_COLOURS = {
    "B-B": PALETTE["bimodal"],
    "B-T": "#c98b6b",
    "B-I": "#a9b8d8",
    "T-T": PALETTE["text"],
    "I-I": PALETTE["image"],
    "T-I": "#d9d9d9",
}


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """The shares as they are.

    Parameters
    ----------
    panel : DataFrame
        A row per threshold and pair of groups: threshold, pair (one of ``PAIRS``), share of the
        bridge's mass, the run's own tau, and rho there.
    """
    return panel


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """One panel per SAE: a stack that fills the height at every threshold.

    Parameters
    ----------
    data : DataFrame
        As gathered, for every panel.
    """
    groups = [group for _, group in data.groupby(["model", "sae"], sort=False)]
    part, axes, _ = panels(len(groups), shape=0.8, extra=0.9)
    areas = {}
    for ax, group in zip(axes, groups, strict=True):
        shares = group.pivot(index="threshold", columns="pair", values="share")[list(PAIRS)]
        first = group.iloc[0]
        rho = format_number(first["rho"], float("nan"), 2)
        note = f"ρ = {rho} at τ = {first['tau']:g}"
        if shares.notna().all(axis=None):
            drawn = ax.stackplot(
                shares.index,
                shares.to_numpy().T,
                colors=[_COLOURS[pair] for pair in PAIRS],
                edgecolor="white",
                linewidth=0.5,
            )
            areas.update(zip(PAIRS, drawn, strict=True))
        else:
            note += ", no bridge to share"
        ax.axvline(first["tau"], color="black", linewidth=1, linestyle=(0, (4, 3)))
        ax.set(xlim=(0, 0.5), ylim=(0, 1))
        label(ax, first["panel"], note, room(ax))
    label_axes(axes, "modality threshold ε", "share of |B$_Σ$|")
    part.legend(areas.values(), areas.keys(), loc="outside upper center", ncols=len(PAIRS))
    return part.figure
