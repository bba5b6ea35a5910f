import matplotlib
import numpy as np
import pytest
from matplotlib.patches import StepPatch
from samples import drawing, hexbins, make_sources, shown

from isoenergy.measure.geometry import COSINE_KINDS
from isoenergy.measure.metric import Metric, write_metric
from isoenergy.render.figures import FIGURES, gather_figure


def test_figure_10_counts_every_embedding_and_marks_the_means(tmp_path):
    data, figure = drawing(tmp_path, "figure_10")
    assert [drawn.get_array().sum() for drawn in hexbins(figure)] == [60, 60]
    assert data["x"].dtype == np.float32
    points = data[data["part"] == "embedding"]
    means = data[data["part"] == "mean"].set_index("modality")
    assert list(means.index) == ["image", "text", "all"]
    assert means.loc["text", "x"] == pytest.approx(points[points["modality"] == "text"]["x"].mean())
    assert means.loc["all", "y"] == pytest.approx(points["y"].mean())
    crosses = [line for line in figure.findobj(matplotlib.lines.Line2D) if line.get_marker() == "x"]
    np.testing.assert_array_equal(crosses[-1].get_xydata(), means[["x", "y"]])
    assert "DiM 0.31    W 0.36" in [text.get_text() for text in shown(figure)]


def assert_densities_are_drawn(axes, panel):
    steps = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    outlines = [patch for patch in steps if not patch.get_fill()]
    for kind, drawn in zip(COSINE_KINDS, outlines, strict=True):
        np.testing.assert_array_equal(
            drawn.get_data().values, panel[panel["kind"] == kind]["density"]
        )


def test_figure_11_draws_the_densities_with_recall(tmp_path):
    data, figure = drawing(tmp_path, "figure_11", models=2)
    assert_densities_are_drawn(figure.axes[1], data[data["model"] == "m1"])
    told = [text.get_text() for text in shown(figure)]
    assert [told.count(f"recall@1 {value}") for value in ("0.31", "0.41")] == [1, 1]
    assert [told.count(kind) for kind in COSINE_KINDS] == [1] * 5


def test_figure_09_draws_toy_pairs_as_figure_11_does_and_tells_no_recall(tmp_path):
    data, figure = drawing(tmp_path, "figure_09", models=3)
    assert "recall_at_1" not in data
    told = [text.get_text() for text in shown(figure)]
    assert not [text for text in told if text.startswith("recall")]
    assert_densities_are_drawn(figure.axes[2], data[data["model"] == "m2"])


def _spike(table):
    """Nearly all matching pairs in one bin, far above everything else."""
    matching = table["kind"] == "I-T (aligned)"
    width = table["right"] - table["left"]
    first = matching & (table.index == table.index[matching][3])
    return table.assign(density=np.where(first, 0.99 / width, np.where(matching, 0, 1.5)))


def test_figure_09_cuts_the_spike_of_matching_toy_pairs_off_and_nothing_else(tmp_path):
    data, figure = drawing(tmp_path, "figure_09", change=_spike)
    assert data["density"].max() > 6
    assert 1.5 < figure.axes[0].get_ylim()[1] < 2
    whole = drawing(tmp_path / "b", "figure_09")
    assert whole[1].axes[0].get_ylim()[1] > whole[0]["density"].max()


@pytest.mark.parametrize(
    ("target", "change"),
    [
        ("figure_10", lambda t: t[t["modality"] == "image"]),
        ("figure_10", lambda t: t.iloc[[0]]),
        ("figure_10", lambda t: t.assign(x=0.0, y=0.0)),
        ("figure_11", lambda t: t[t["kind"] == "I-I"]),
        ("figure_11", lambda t: t.assign(density=0.0)),
    ],
)
def test_degenerate_embeddings(tmp_path, target, change):
    data, figure = drawing(tmp_path, target, change=change)
    figure.draw_without_rendering()
    assert data["panel"].iloc[0] in [text.get_text() for text in shown(figure)]


def test_an_undefined_metric_is_a_dash(tmp_path):
    sources = make_sources(tmp_path, "figure_11")
    write_metric(
        tmp_path / "m0", Metric("recall_at_1", {"code": float("nan")}, {}, note="no pairs")
    )
    data = gather_figure("figure_11", sources)
    assert "recall@1 –" in [text.get_text() for text in shown(FIGURES["figure_11"].draw(data))]
