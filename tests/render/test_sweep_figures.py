import numpy as np
import pytest
from samples import drawing, shown


def test_figure_07_draws_every_run_and_marks_degenerate_ones(tmp_path):
    data, figure = drawing(tmp_path, "figure_07")
    runs = data[data["beta"] > 0]
    for ax, column in zip(figure.axes, ("mse", "r2"), strict=True):
        assert ax.get_xscale() == "log"
        marked = [line for line in ax.lines if line.get_marker() == "o"]
        by_fill = {line.get_markerfacecolor() == "white": line.get_xydata() for line in marked}
        for always, drawn in by_fill.items():
            some = runs[(runs["share_degenerate"] > 0) == always]
            np.testing.assert_array_equal(drawn, some[["beta", column]])
        assert sum(map(len, by_fill.values())) == 10
        base = data.loc[data["beta"] == 0, column].item()
        levels = [line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1]
        assert base in levels
        if column == "r2":
            assert data["sweep_r2_bound"].iloc[0] in levels


@pytest.mark.parametrize("target", ["figure_07", "figure_08"])
def test_both_readings_of_the_rule_are_drawn_where_they_differ(tmp_path, target):
    data, figure = drawing(tmp_path / "two", target)
    betas = [data.loc[data[name], "beta"].item() for name in
             ("selected_no_degenerate", "selected_paper")]  # fmt: skip
    upright = [line.get_xdata()[0] for line in figure.axes[0].lines
               if list(line.get_ydata()) == [0, 1]]  # fmt: skip
    assert upright == betas
    told = [text.get_text() for text in shown(figure)]
    assert "selected β: 0.00022 (rule as printed: 0.00046)" in told
    assert "selected by the rule as printed" in told

    same = lambda t: t.assign(selected_paper=t["selected_no_degenerate"])  # noqa: E731
    _, figure = drawing(tmp_path / "one", target, change=same)
    told = [text.get_text() for text in shown(figure)]
    assert "selected β: 0.00022" in told
    assert "selected by the rule as printed" not in told


def test_figure_08_stacks_degenerate_energy_on_bimodal_energy(tmp_path):
    data, figure = drawing(tmp_path, "figure_08")
    runs = data[data["beta"] > 0]
    bimodal, degenerate = (area.get_paths()[0].vertices for area in figure.axes[0].collections)
    tops = {tuple(point) for point in bimodal}
    assert tops >= set(zip(runs["beta"], runs["share_bimodal"], strict=True))
    both = runs["share_bimodal"] + runs["share_degenerate"]
    assert {tuple(point) for point in degenerate} >= set(zip(runs["beta"], both, strict=True))
    assert figure.axes[0].get_ylim() == (0, 1)


NO_CHOICE = {"selected_no_degenerate": False, "selected_paper": False}


@pytest.mark.parametrize("target", ["figure_07", "figure_08"])
@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(**NO_CHOICE),
        lambda t: t.iloc[:1].assign(**NO_CHOICE),
        lambda t: t.iloc[[3]],
        lambda t: t.assign(r2=0.5, mse=0.5),
    ],
    ids=["none selected", "base alone", "one run, no base", "no effect"],
)
def test_degenerate_sweeps(tmp_path, target, change):
    data, figure = drawing(tmp_path, target, change=change)
    figure.draw_without_rendering()
    told = [text.get_text() for text in shown(figure)]
    assert data["panel"].iloc[0] in told
    selected = data[data["selected_no_degenerate"]]
    assert ("selected β: none" in told) == selected.empty
