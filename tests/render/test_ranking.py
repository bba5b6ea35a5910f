"""The figure of rankings without modality information."""

import json

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from samples import drawing, make_sources, shown

from isoenergy.measure.metric import Metric, write_metric
from isoenergy.render.figures import FIGURES, gather_figure
from isoenergy.render.style import PALETTE

TARGET = "figure_ranking"


def _dots(ax):
    """Points of a panel by colour."""
    drawn = [part for part in ax.collections if isinstance(part, PathCollection)]
    return {to_hex(part.get_facecolor()[0]): np.asarray(part.get_offsets()) for part in drawn}


def _told(figure):
    return [text.get_text() for text in shown(figure)]


def test_every_pair_is_drawn_and_coloured_by_whether_it_flips(tmp_path):
    data, figure = drawing(tmp_path, TARGET)
    panels = [(removal, query) for removal in ("atoms", "mean") for query in ("image", "text")]
    for ax, (removal, query) in zip([figure.axes[i] for i in (0, 1, 3, 4)], panels, strict=True):
        own = data[(data["table"] == "margins") & (data["removal"] == removal)]
        own = own[own["query"] == query]
        dots = _dots(ax)
        flipped = own["flipped"].astype(bool)
        for some, colour in ((own[flipped], PALETTE[query]), (own[~flipped], PALETTE["noise"])):
            np.testing.assert_array_equal(dots[colour], some[["before", "change"]].astype(float))
        # The line is where both sum to 0, and parts the colours.
        line = next(line for line in ax.lines if line.get_slope() == -1)
        assert line.get_xy1() == (0, 0)
        assert (dots[PALETTE[query]].sum(axis=1) < 0).all()
        assert (dots[PALETTE["noise"]].sum(axis=1) >= 0).all()


def test_the_bound_of_the_corollary_is_the_diagonal_and_queries_lie_below_it(tmp_path):
    data, figure = drawing(tmp_path, TARGET, models=2)
    assert len(figure.axes) == 12
    own = data[(data["table"] == "spreads") & (data["removal"] == "mean") & (data["model"] == "m1")]
    ax = figure.axes[11]
    assert [line.get_slope() for line in ax.lines] == [1]
    for query in ("image", "text"):
        expected = own[(own["query"] == query) & own["largest_flip"].notna()]
        assert len(expected) == 29
        np.testing.assert_array_equal(
            _dots(ax)[PALETTE[query]], expected[["spread", "largest_flip"]].astype(float)
        )
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlim()[1] > own["spread"].max()


def test_planes_share_a_window_that_holds_every_pair(tmp_path):
    data, figure = drawing(tmp_path, TARGET, models=2)
    planes = [ax for i, ax in enumerate(figure.axes) if i % 3 < 2]
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in planes}) == 1
    (left, right), (low, high) = planes[0].get_xlim(), planes[0].get_ylim()
    assert (left, right > data["before"].max()) == (0, True)
    assert low < data["change"].min() < data["change"].max() < high


def _figure_with(folder, **values):
    """The figure with these shares in every metric of that name."""
    sources = make_sources(folder, TARGET)
    for name, path in sources[0].items():
        if name.split("/")[-1] in values:
            value = {"paper": values[name.split("/")[-1]]}
            told = {"protocol": "paper", "note": "a note"}
            write_metric(path.parent, Metric(path.stem, value, {"pairs": 9}, **told))
            assert json.loads(path.read_text())["metric"] == path.stem
    return FIGURES[TARGET].draw(gather_figure(TARGET, sources))


@pytest.mark.parametrize(
    ("values", "pair_note", "spread_note"),
    [
        ((0.18, 1.0, 0.125, 0.0), "18.0% flip, all foretold", "12%, 12% safe, none flip"),
        ((0.18, 0.999, 1.0, 0.004), "18.0% flip, 99.9% foretold", "100%, 100% safe, 0.4% flip"),
        ((0.0, np.nan, 0.0, np.nan), "0.0% flip, – foretold", "0%, 0% safe, none flip"),
    ],
)  # fmt: skip
def test_all_and_none_are_said_only_where_they_hold(tmp_path, values, pair_note, spread_note):
    names = ("share_flipped", "share_of_flips_meeting_condition", "share_guaranteed",
             "share_of_guaranteed_flipped")  # fmt: skip
    told = _told(_figure_with(tmp_path, **dict(zip(names, values, strict=True))))
    assert told.count(pair_note) == 4
    assert told.count(spread_note) == 2


DEGENERATE = {
    "no flips": lambda t: t.assign(flipped=False, foretold=False, change=0.0),
    "all flip": lambda t: t.assign(flipped=True, before=0.1, change=-0.3),
    "one removal": lambda t: t[t["removal"] == "atoms"],
    "one row": lambda t: t.iloc[[0]],
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_rankings(tmp_path, case):
    _, figure = drawing(tmp_path, TARGET, change=DEGENERATE[case])
    figure.draw_without_rendering()
    left, right = figure.axes[0].get_xlim()
    assert left == 0 < right
