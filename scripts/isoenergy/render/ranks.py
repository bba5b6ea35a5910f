"""Figure 17: energy and frequency of atoms by rank (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isoenergy.render.style import label, label_axes, panels, room, settings

if TYPE_CHECKING:
    import pandas as pd

OF = "saes"
MODELS, SAES = 1, None
_CURVES = {
    "energy": ("energy E", "#000000", "-"),
    "frequency": ("frequency f", "#00795a", (0, (5, 1.5))),
    "magnitude": ("E / f", "#c2408a", (0, (1.5, 1))),
}
TABLES = {
    "ranks": ("rank", "atom", *(column for name in _CURVES for column in (name, f"{name}_smooth")))
}
METRICS = ()


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """The ranks as they are.

    Parameters
    ----------
    panel : DataFrame
        A row per atom, the strongest first: rank, atom, energy (0 for dead atoms), frequency and
        magnitude (energy over frequency), each also as a moving average (``_smooth``).
    """
    return panel


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """One panel per SAE: of live atoms each quantity (thin) and its moving average (thick).

    Parameters
    ----------
    data : DataFrame
        As gathered, for every panel.
    """
    groups = [group for _, group in data.groupby(["model", "sae"], sort=False)]
    part, axes, _ = panels(len(groups), shape=0.9, extra=0.9)
    for ax, group in zip(axes, groups, strict=True):
        live = group[group["energy"] > 0]
        # Before anything is drawn, so that an empty panel has a range too.
        ax.set(xscale="log", yscale="log")
        for name, (_, colour, style) in _CURVES.items():
            ax.plot(live["rank"], live[name], color=colour, linewidth=0.6, alpha=0.55)
            ax.plot(
                live["rank"], live[f"{name}_smooth"], color=colour, linewidth=1.8, linestyle=style
            )
        ax.grid()
        label(ax, group["panel"].iloc[0], f"{len(live):,} of {len(group):,} atoms live", room(ax))
    label_axes(axes, "rank by energy", "E, f and E / f of an atom")
    handles = [Line2D([], [], color=c, linewidth=1.8, linestyle=s) for _, c, s in _CURVES.values()]
    names = [name for name, _, _ in _CURVES.values()]
    part.legend(handles, names, loc="outside upper center", ncols=len(names))
    return part.figure
