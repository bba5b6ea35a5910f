import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Path3DCollection
from samples import drawing, hexbins, make_sources, shown, unimodal_table

from isoenergy.files import read_parquet, write_parquet
from isoenergy.measure.bridge_shares import PAIRS, THRESHOLDS
from isoenergy.measure.metric import Metric, write_metric
from isoenergy.render import probing, transport
from isoenergy.render.figures import FIGURES, gather_figure
from isoenergy.render.space import COORDINATES
from isoenergy.render.style import MODALITY, PALETTE


def test_figure_12_stacks_the_shares_to_the_top_and_marks_tau(tmp_path):
    data, figure = drawing(tmp_path, "figure_12")
    stacked = [ax for ax in figure.findobj(matplotlib.axes.Axes) if ax.collections]
    assert len(stacked) == 2
    for ax, (_, panel) in zip(stacked, data.groupby("sae", sort=False), strict=True):
        bottom = np.zeros(len(THRESHOLDS))
        for pair, area in zip(PAIRS, ax.collections, strict=True):
            share = panel[panel["pair"] == pair]["share"].to_numpy()
            corners = area.get_paths()[0].vertices
            top = [corners[corners[:, 0] == x, 1].max() for x in THRESHOLDS]
            bottom = bottom + share
            assert top == pytest.approx(bottom)
        assert bottom == pytest.approx(np.ones(len(THRESHOLDS)))
        (line,) = ax.lines
        assert list(line.get_xdata()) == [0.05, 0.05]
    told = [text.get_text() for text in shown(figure)]
    assert told.count("ρ = 0.31 at τ = 0.05") == 2
    assert [told.count(pair) for pair in PAIRS] == [1] * 6


def test_figure_12_without_a_bridge_says_so(tmp_path):
    sources = make_sources(tmp_path, "figure_12", change=lambda t: t.assign(share=np.nan))
    for source in sources:
        write_metric(
            source["rho"].parent, Metric("rho", {"code": float("nan")}, {}, note="no bridge")
        )
    figure = FIGURES["figure_12"].draw(gather_figure("figure_12", sources))
    figure.draw_without_rendering()
    told = [text.get_text() for text in shown(figure)]
    assert told.count("ρ = – at τ = 0.05, no bridge to share") == 2


def test_figure_13_moves_atoms_along_straight_lines_to_their_targets(tmp_path):
    data, figure = drawing(tmp_path, "figure_13")
    panel = data[data["sae"] == "SAE"]
    boxes = figure.findobj(Axes3D)[: len(transport.TIMES) + 1]
    live = panel[panel["group"] != "dead"]
    low, high = boxes[0].get_xlim()

    def drawn_in(box):
        (drawn,) = box.findobj(Path3DCollection)
        return drawn, np.column_stack(drawn._offsets3d)

    def expected(energy, t):
        some = live[live[energy] > 0].sort_values(energy, ascending=False)
        goal = some[[f"target_{axis}" for axis in COORDINATES]].to_numpy()
        places = some[list(COORDINATES)].to_numpy()
        places = (1 - t) * places + t * goal if t else places
        inside = ((places >= low) & (places <= high)).all(axis=1)
        strong = some["energy_image"] >= 0.01 * live["energy_image"].max()
        assert inside[strong].all()
        return some[inside], places[inside]

    for box, t in zip(boxes[:-1], transport.TIMES.values(), strict=True):
        np.testing.assert_allclose(drawn_in(box)[1], expected("energy_image", t)[1])
    np.testing.assert_array_equal(drawn_in(boxes[-1])[1], expected("energy_text", 0)[1])
    sizes, moved = drawn_in(boxes[0])[0].get_sizes(), expected("energy_image", 0)[0]
    share = moved["energy_image"] / moved["energy_image"].max()
    assert sizes / sizes[0] == pytest.approx(share.to_numpy() ** (2 / 3))
    figure.draw_without_rendering()
    for box, t, name in ((boxes[0], 0, "modality_score"), (boxes[3], 1, "target_modality_score")):
        drawn, moved = drawn_in(box)[0], expected("energy_image", t)[0]
        # Once drawn, the farthest comes first.
        colours = MODALITY(moved[name].to_numpy())[drawn._z_markers_idx]
        assert drawn.get_facecolor()[:, :3] == pytest.approx(colours[:, :3], abs=1e-3)
    told = [text.get_text() for text in shown(figure)]
    assert [told.count(name) for name in (*transport.TIMES, "texts", "FDA 0.31")] == [2] * 6


def test_figure_14_stacks_all_energy_in_the_classes_of_the_atoms(tmp_path):
    data, figure = drawing(tmp_path, "figure_14")
    above, below = figure.axes[:2], figure.axes[2:4]
    for top, bottom, (_, panel) in zip(above, below, data.groupby("sae", sort=False), strict=True):
        live = panel[panel["group"] != "dead"]
        share = live["energy"] / live["energy"].sum()
        layers = [layer.get_data() for layer in top.patches]
        assert len(layers[0].values) == probing.BINS
        for below_it, layer in itertools.pairwise(layers):
            np.testing.assert_array_equal(layer.baseline, below_it.values)
        heights = np.array([layer.values - layer.baseline for layer in layers])
        by_class = dict(zip(probing.CLASSES, heights.sum(axis=1), strict=True))
        for name in ("text", "image"):
            assert by_class[name] == pytest.approx(share[live["group"] == name].sum())
        inside = (live["group"] == "bimodal") & live["modality_score"].between(1 / 3, 2 / 3)
        assert by_class["bimodal, 1/3 ≤ μ ≤ 2/3"] == pytest.approx(share[inside].sum())
        assert heights.sum() == pytest.approx(1)
        low = share[live["accuracy"] < 0.5].sum()
        assert heights[:, : probing.BINS // 2].sum() == pytest.approx(low)
        (cells,) = bottom.collections
        assert cells.get_array().sum() == pytest.approx(1)
    assert above[0].get_ylim() == (0, probing.TOP)


def test_figure_14_grows_with_a_bar_above_its_usual_top(tmp_path):
    _, figure = drawing(tmp_path, "figure_14", change=lambda t: t.assign(accuracy=0.995))
    assert figure.axes[0].get_ylim()[1] == pytest.approx(1.05)


def test_figure_15_stacks_light_on_dark_images_up_texts_down(tmp_path):
    data, figure = drawing(tmp_path, "figure_15")
    assert data["sae"].unique().tolist() == ["SAE-A"]
    for ax, which in zip(figure.axes, ("high", "low"), strict=True):
        some = data[data["which"] == which]
        for modality, sign, layers in (("image", 1, ax.patches[:2]), ("text", -1, ax.patches[2:])):
            own = some[some["modality"] == modality]
            dark = own[own["active"]]["count"].to_numpy()
            light = own[~own["active"]]["count"].to_numpy()
            below, above = (layer.get_data() for layer in layers)
            np.testing.assert_array_equal(below.values, sign * dark)
            np.testing.assert_array_equal(above.baseline, sign * dark)
            np.testing.assert_array_equal(above.values, sign * (dark + light))
            colours = [sum(to_rgb(layer.get_facecolor())) for layer in layers]
            assert colours[0] < sum(to_rgb(PALETTE[modality])) < colours[1]
    told = " ".join(text.get_text() for text in shown(figure))
    assert "atom 7, E 0.15, μ 0.41\nactive in 56.2% of pairs" in told
    assert "atom 61, E 8.1e-05" in told


def test_figure_15_of_one_atom_has_one_panel(tmp_path):
    _, figure = drawing(tmp_path, "figure_15", change=lambda t: t[t["which"] == "high"])
    figure.draw_without_rendering()
    assert len(figure.axes) == 1


def test_figure_16_circles_the_atoms_whose_cosines_it_maps(tmp_path):
    data, figure = drawing(tmp_path, "figure_16")
    pairs = data[data["table"] == "unimodal"]
    maps = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    for found, (_, own) in zip(maps, pairs.groupby("side", sort=False), strict=True):
        n = len(found)
        np.testing.assert_array_equal(found.ravel(), own["cosine"])
        assert n * n == len(own)
    circles = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in circles] == [3, 2]
    atoms = data[data["table"] == "atoms"].set_index("atom")
    strongest = atoms.loc[[2, 3, 5], "energy_text"]
    assert sorted(10 ** circles[0].get_ydata()) == pytest.approx(sorted(strongest))
    (cells,) = hexbins(figure)
    assert cells.get_array().sum() == pytest.approx(1)
    told = " ".join(text.get_text() for text in shown(figure))
    mean = pairs[pairs["side"] == "text"]["cosine"].mean()
    assert f"3 text atoms:\nμ ≤ 0.001, E > 0.001\nmean cosine {mean:.2f}\ntotal f 0.46" in told
    assert "2 image atoms:\nstrongest, μ > 1 − τ" in told


@pytest.mark.parametrize("sides", [["text"], ["image"], []])
def test_figure_16_without_atoms_of_a_side_says_so(tmp_path, sides):
    sources = make_sources(tmp_path, "figure_16")
    pairs = unimodal_table(np.random.default_rng(0))
    write_parquet(sources[0]["unimodal"], pairs[pairs["side"].isin(sides)])
    data = gather_figure("figure_16", sources)
    write_parquet(tmp_path / "data.parquet", data)
    figure = FIGURES["figure_16"].draw(read_parquet(tmp_path / "data.parquet"))
    figure.draw_without_rendering()
    told = [text.get_text() for text in shown(figure)]
    for side in ("text", "image"):
        assert told.count(f"no live {side} atom") == (side not in sides)


def test_figure_17_draws_every_atom_and_its_moving_average(tmp_path):
    data, figure = drawing(tmp_path, "figure_17")
    plotted = [ax for ax in figure.findobj(matplotlib.axes.Axes) if ax.lines]
    for ax, (_, panel) in zip(plotted, data.groupby("sae", sort=False), strict=True):
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        for i, name in enumerate(("energy", "frequency", "magnitude")):
            thin, thick = ax.lines[2 * i : 2 * i + 2]
            live = panel[panel["energy"] > 0]
            np.testing.assert_array_equal(thin.get_xydata(), live[["rank", name]])
            np.testing.assert_array_equal(thick.get_ydata(), live[f"{name}_smooth"])
            assert thin.get_linewidth() < thick.get_linewidth()
            assert thin.get_color() == thick.get_color()
    told = [text.get_text() for text in shown(figure)]
    assert told.count("66 of 70 atoms live") == 2


def test_figure_17_of_a_dead_dictionary_is_empty(tmp_path):
    _, figure = drawing(tmp_path, "figure_17", change=lambda t: t.assign(energy=0.0))
    figure.draw_without_rendering()
    assert [text.get_text() for text in shown(figure)].count("0 of 70 atoms live") == 2


def all_dead(table):
    return table.assign(group="dead", modality_score=-1.0)


def no_energy(table):
    names = ("energy", "energy_image", "energy_text")
    return table.assign(**{name: 0.0 for name in names if name in table})


@pytest.mark.parametrize("change", [all_dead, no_energy])
@pytest.mark.parametrize("target", ["figure_13", "figure_14", "figure_16"])
def test_atoms_without_life_or_energy_leave_named_axes(tmp_path, target, change):
    data, figure = drawing(tmp_path, target, change=change)
    figure.draw_without_rendering()
    told = [text.get_text() for text in shown(figure)]
    assert all(name in told for name in data["panel"].unique())
    dots = figure.findobj(Path3DCollection)
    assert not dots
    assert sum(cells.get_array().sum() for cells in hexbins(figure)) == 0
