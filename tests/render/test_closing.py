"""Tables 2 and 7 to 12 and Figures 4, 6 and 23 to 25."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import StepPatch
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Path3DCollection
from samples import drawing, shown

from isoenergy.measure.intervened import FORMS
from isoenergy.measure.metric import Metric, write_metric
from isoenergy.render.arrange import lay_out
from isoenergy.render.tables import TABLES
from isoenergy.render.tidy import COLUMNS, add_mean_changes, gather_tidy
from isoenergy.toy.sketch import SKETCHES


def _outlines(ax):
    return [patch for patch in ax.patches if isinstance(patch, StepPatch) and not patch.get_fill()]


def _texts(figure):
    return [text.get_text() for text in shown(figure)]


def test_figure_25_draws_each_form_with_its_own_numbers(tmp_path):
    data, figure = drawing(tmp_path, "figure_25")
    assert len(figure.axes) == len(FORMS)
    for i, (ax, form) in enumerate(zip(figure.axes, FORMS, strict=True)):
        assert ax.get_title(loc="left") == form
        for drawn, modality in zip(_outlines(ax), ("image", "text"), strict=True):
            own = data[(data["form"] == form) & (data["modality"] == modality)]
            np.testing.assert_array_equal(drawn.get_data().values, own["density"])
        # The sample's metrics go up by 0.05 each: recall@1, then OOD score of every form.
        recall, ood = 0.31 + 0.1 * i, 0.36 + 0.1 * i
        assert f"recall@1 {recall:.2f}   OOD {ood:.2f}" in _texts(figure)
    # Nothing is farther than 0.6.
    assert 0.6 < figure.axes[0].get_xlim()[1] < 0.7


@pytest.mark.parametrize("target", ["figure_06", "figure_23"])
def test_figures_of_queries_draw_targets_and_queries_of_every_model(tmp_path, target):
    data, figure = drawing(tmp_path, target, models=3)
    models = list(data["model"].unique())
    assert len(models) == (3 if target == "figure_23" else 1)
    for ax, model in zip(figure.axes, models, strict=True):
        panel = data[data["model"] == model]
        names = ("target", "source", "caption", "Q", "Q_SAE")
        for drawn, query in zip(_outlines(ax), names, strict=True):
            own = panel[panel["query"] == query]
            np.testing.assert_array_equal(drawn.get_data().values, own["density"])
    assert "OOD Q 0.31, Q_SAE 0.36" in _texts(figure)


def _points(box):
    (points,) = box.findobj(Path3DCollection)
    return np.column_stack(points._offsets3d)


def test_figure_24_draws_every_point_of_every_form(tmp_path):
    data, figure = drawing(tmp_path, "figure_24")
    boxes = figure.findobj(Axes3D)
    assert len(boxes) == len(SKETCHES)
    for box, form in zip(boxes, SKETCHES, strict=True):
        assert box.get_title() == form
        np.testing.assert_array_equal(_points(box), data[data["form"] == form][["x", "y", "z"]])
        assert (box.elev, box.azim) == (10, -70)


def test_figure_04_sets_points_above_distances_of_the_same_form(tmp_path):
    data, figure = drawing(tmp_path, "figure_04")
    boxes = figure.findobj(Axes3D)
    flat = [ax for ax in figure.findobj(lambda a: hasattr(a, "patches")) if _outlines(ax)]
    assert [box.get_title().removeprefix("points, ") for box in boxes] == [
        "raw",
        "shifted",
        "masked",
    ]
    assert [ax.get_title(loc="left") for ax in flat] == ["reconstruction", "shifted", "masked"]
    for box, ax in zip(boxes[1:], flat[1:], strict=True):
        form = ax.get_title(loc="left")
        own = data[data["form"] == form]
        points = own[own["table"] == "sketch"]
        np.testing.assert_array_equal(_points(box), points[["x", "y", "z"]])
        texts = own[(own["table"] == "neighbours") & (own["modality"] == "text")]
        np.testing.assert_array_equal(_outlines(ax)[1].get_data().values, texts["density"])


@pytest.mark.parametrize("target", ["figure_04", "figure_06", "figure_25"])
def test_figures_of_distances_that_are_nowhere_defined(tmp_path, target):
    _, figure = drawing(tmp_path, target, change=lambda t: t.assign(density=0.0))
    figure.draw_without_rendering()
    limits = {ax.get_xlim() for ax in figure.axes if not isinstance(ax, Axes3D)}
    assert limits == {(0, 1)} or target == "figure_04"


def _source(folder, variant, metrics, seeds, model="M"):
    folders = [folder / variant / f"seed{n}" for n in range(seeds)]
    for n, path in enumerate(folders):
        for name, value in metrics.items():
            protocols = {"code": value + 0.1 * n, "paper": 0.0}
            write_metric(path, Metric(name, protocols, {"pairs": 7}))
    return {"model": model, "variant": variant, "dataset": "D", "folders": list(map(str, folders))}


def test_table_12_shows_dropped_axes_for_the_axes_alone_and_seeds_for_the_mask_alone(tmp_path):
    gap = {"difference_in_mean": 0.7, "separability": 1.0, "rmg": 0.5, "ood_score": 0.9}
    table = TABLES["table_12"]
    sources = []
    for variant in table.variants:
        own = gap | ({"axes_dropped": 6.0} if variant == "axes" else {})
        sources.append(_source(tmp_path, variant, own, seeds=3 if variant == "masked" else 1))
    tidy = gather_tidy(sources, table.metrics())
    assert list(tidy["variant"].unique()) == ["unchanged", "A", "B", "C", "axes", "masked"]
    grid = lay_out(table, tidy)
    assert grid.header == [
        *("model", "method", "DiM", "separability", "RMG", "OOD score", "axes dropped"),
    ]
    rows = {row[1].text: [cell.text for cell in row[2:]] for row in grid.rows}
    assert rows["axes (Schrodi et al.)"][-1] == "6"
    assert rows["unchanged"] == ["0.700", "1.000", "0.500", "0.900", ""]
    assert rows["masked (bimodal atoms alone)"][0] == "0.800 ± 0.100"


@pytest.mark.parametrize(
    ("name", "last"),
    [("table_09", "recall@1"), ("table_10", "recall@1"), ("table_11", "zero-shot@1")],
)
def test_tables_of_interventions_have_a_block_per_model_in_the_papers_order(tmp_path, name, last):
    table = TABLES[name]
    values = dict.fromkeys(table.metrics(), 0.5)
    sources = [
        _source(tmp_path / model, form, values, 2, model)
        for model in ("A", "B")
        for form in table.variants
    ]
    grid = lay_out(table, gather_tidy(sources, table.metrics()))
    assert grid.header == ["model", "method", "DiM", "W", last]
    assert [(row[0].text, row[1].text.split(" ")[0]) for row in grid.rows] == [
        (model, form)
        for model in ("A", "B")
        for form in ("reconstruction", "centered", "masked", "random", "shifted")
    ]
    assert not any(cell.marked for row in grid.rows for cell in row)


def test_mean_changes_are_taken_against_the_reconstruction_of_the_same_model(tmp_path):
    sources = [
        _source(tmp_path / model, variant, {"rmg": value}, 1, model)
        for model, values in (("A", (0.5, 0.4, 0.9)), ("B", (0.2, 0.4, 0.0)))
        for variant, value in zip(("reconstruction", "masked", "random"), values, strict=True)
    ]
    tidy = add_mean_changes(gather_tidy(sources, ["rmg"]))
    assert tuple(tidy.columns) == COLUMNS
    added = tidy[(tidy["model"] == "mean change") & (tidy["protocol"] == "code")]
    # (0.4 - 0.5 + 0.4 - 0.2) / 2 and (0.9 - 0.5 + 0 - 0.2) / 2
    assert list(added["variant"]) == ["masked", "random"]
    assert list(added["value"]) == pytest.approx([0.05, 0.1])
    assert added["sd"].isna().all()
    one = gather_tidy(sources[:3], ["rmg"])
    assert add_mean_changes(one).equals(one)


def test_table_02_marks_the_query_that_stays_among_the_targets():
    rows = [
        {
            "variant": variant,
            "model": "M",
            "dataset": "D",
            "metric": "ood_score",
            "note": "",
            **numbers,
        }
        for variant, numbers in (
            ("Q", {"value": 0.97, "sd": 0.01}),
            ("Q_SAE", {"value": 0.77, "sd": 0.02}),
        )
    ]
    grid = lay_out(TABLES["table_02"], pd.DataFrame(rows))
    assert grid.header == ["model", "query", "OOD score"]
    assert [(row[1].text, row[2].text, row[2].marked) for row in grid.rows] == [
        ("Q", "0.970 ± 0.010", False),
        ("Q_SAE", "0.770 ± 0.020", True),
    ]


def test_tables_of_queries_show_forms_that_are_measured():
    from isoenergy.measure.baselines import BASELINES
    from isoenergy.measure.composed import QUERIES

    known = {
        "composed": set(QUERIES),
        "interventions": set(FORMS),
        "baselines": {*BASELINES, "masked"},
    }
    closing = [TABLES[name] for name in TABLES if TABLES[name].of in known]
    assert len(closing) == 7
    for table in closing:
        assert table.variants
        assert set(table.variants) <= known[table.of]
        assert set(table.names) & set(table.variants) or table.of == "composed"
