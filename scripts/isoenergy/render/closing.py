"""Figure 4: points on a sphere above, distances to the nearest images below (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from isoenergy.render import neighbours, sketch
from isoenergy.render.style import WIDTH, label, settings

if TYPE_CHECKING:
    import pandas as pd

OF = "interventions"
MODELS, SAES = 1, 1
TABLES = {**neighbours.TABLES, **sketch.TABLES}
# Of the sketch and of the reconstructions, one under the other.
_SHOWN = (("raw", "reconstruction"), ("shifted", "shifted"), ("masked", "masked"))
METRICS = tuple(f"{form}/{metric}" for _, form in _SHOWN for metric in ("recall_at_1", "ood_score"))

_HEIGHT = 5.0


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """Points and histograms of the forms that are shown.

    Parameters
    ----------
    panel : DataFrame
        As :func:`isoenergy.render.sketch.gather` and :func:`isoenergy.render.neighbours.gather`,
        ``table`` tells which.
    """
    return panel


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """One column per form.

    Parameters
    ----------
    data : DataFrame
        As gathered.
    """
    points = data[data["table"] == "sketch"]
    bins = data[data["table"] == "neighbours"]
    figure = Figure(figsize=(WIDTH, _HEIGHT), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1))
    axes = below.subplots(1, len(_SHOWN), sharex=True, sharey=True)
    drawn = {}
    for i, (drawn_form, form) in enumerate(_SHOWN):
        box = sketch.add_box(above, 1, len(_SHOWN), i + 1)
        box.set_title(f"points, {drawn_form}", fontweight="bold", loc="center", pad=0)
        sketch.draw_points(box, points[points["form"] == drawn_form])
        drawn |= neighbours.draw_densities(axes[i], bins[bins["form"] == form])
        label(axes[i], form, neighbours.told(data, form), WIDTH / len(_SHOWN))
        axes[i].set_xlabel(neighbours.X)
    neighbours.limit(axes[0], bins[bins["form"].isin([form for _, form in _SHOWN])])
    axes[0].set_ylabel("density")
    above.legend(handles=sketch.handles(), loc="outside upper center", ncols=3)
    below.legend(
        drawn.values(),
        [f"{modality}s" for modality in drawn],
        loc="outside upper center",
        ncols=len(drawn),
        title=data["panel"].iloc[0],
    )
    return figure
