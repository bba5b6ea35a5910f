"""Figure 25: distances to the nearest images after every intervention (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from isoenergy.measure.intervened import FORMS
from isoenergy.render.style import PALETTE, label, label_axes, number, panels, room, settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

OF = "interventions"
MODELS, SAES = 1, 1
TABLES = {"neighbours": ("form", "modality", "left", "right", "density")}
METRICS = tuple(f"{form}/{metric}" for form in FORMS for metric in ("recall_at_1", "ood_score"))
X = "distance to 5th nearest image"
_LOOKS = {
    "image": {"color": PALETTE["image"]},
    "text": {"color": PALETTE["text"], "linestyle": (0, (3, 1))},
}


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """The histograms as they are.

    Parameters
    ----------
    panel : DataFrame
        A row per bin of a form and modality, with recall@1 and OOD score of every form.
    """
    return panel


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """One panel per form.

    Parameters
    ----------
    data : DataFrame
        As gathered.
    """
    part, axes, _ = panels(len(FORMS), shape=0.9, extra=0.7)
    drawn: dict[str, Artist] = {}
    for ax, form in zip(axes, FORMS, strict=True):
        drawn |= draw_densities(ax, data[data["form"] == form])
        label(ax, form, told(data, form), room(ax))
    limit(axes[0], data)
    label_axes(axes, X, "density")
    part.legend(
        drawn.values(),
        [f"{modality}s" for modality in drawn],
        loc="outside upper center",
        ncols=len(drawn),
        title=data["panel"].iloc[0],
    )
    return part.figure


def told(data: pd.DataFrame, form: str) -> str:
    """Recall@1 and OOD score of a form, as a line."""
    recall, ood = (data[f"{form}/{metric}"].iloc[0] for metric in ("recall_at_1", "ood_score"))
    return f"recall@1 {number(recall)}   OOD {number(ood)}"


def draw_densities(ax: Axes, bins: pd.DataFrame) -> Mapping[str, Artist]:
    """The histograms of images and texts after one intervention, by modality."""
    drawn = {}
    for modality, look in _LOOKS.items():
        own = bins[bins["modality"] == modality]
        if own.empty:
            continue
        edges = np.append(own["left"].to_numpy(), own["right"].to_numpy()[-1])
        ax.stairs(own["density"], edges, fill=True, alpha=0.35, **look)
        drawn[modality] = ax.stairs(own["density"], edges, linewidth=1.2, **look)
    return drawn


def limit(ax: Axes, bins: pd.DataFrame) -> None:
    """End the axis of distances, which start at 0, where the last of them lies."""
    found = bins.loc[bins["density"] > 0, "right"]
    ax.set_xlim(0, 1 if found.empty else 1.05 * found.max())
    ax.set_ylim(bottom=0)
