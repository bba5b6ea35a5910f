"""Figure 9: cosines of the toy pairs beside those of the first model (SPEC 3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from isoenergy.render import cosines

if TYPE_CHECKING:
    import pandas as pd

OF = "toy"
MODELS, SAES = 1, None
TABLES = cosines.TABLES
METRICS = ()

# A histogram with this share of its pairs in one bin is a spike, which is cut off.
_SPIKE = 0.9
_MARGIN = 1.1

gather = cosines.gather


def draw(data: pd.DataFrame) -> Figure:
    """As Figure 11, at a height where the single cosine of matching toy pairs hides nothing else.

    Parameters
    ----------
    data : DataFrame
        As gathered, for every panel.
    """
    figure = cosines.draw(data)
    share = data["density"] * (data["right"] - data["left"])
    spiky = share.groupby([data["panel"], data["kind"]]).transform("max") > _SPIKE
    top = data.loc[~spiky, "density"].max()
    if top > 0:
        figure.axes[0].set_ylim(0, _MARGIN * top)  # shared by all panels
    return figure
