"""Numbers measured with other settings than the config's are not shown under its caption."""

import pandas as pd
import pytest
from samples import make_sources

from isoenergy.errors import InputError
from isoenergy.files import read_parquet
from isoenergy.measure.metric import Metric, write_metric
from isoenergy.measure.record import write_table
from isoenergy.render.asked import check_settings
from isoenergy.render.captions import fill_caption
from isoenergy.render.figures import gather_figure, render_figure
from isoenergy.render.tables import TABLES, render_table

ASKED = {"tau": 0.1, "means": "train", "gap": 100}


def test_what_differs_is_told_with_the_way_out():
    with pytest.raises(InputError) as caught:
        check_settings("m/rho.json", {"tau": 0.05, "gap": 100, "means": "own"}, ASKED)
    assert str(caught.value) == (
        "m/rho.json was measured with tau 0.05, means own, but the config asks for measure.tau "
        "0.1, measure.means train; delete the file to measure again, or run without "
        "--rerun-triggers mtime"
    )


@pytest.mark.parametrize("told", [{}, {"tau": 0.1}, {"gap": 100.0}, {"probe": 3}])
def test_equal_settings_and_ones_that_are_not_asked_for_pass(told):
    check_settings("m/rho.json", told, ASKED)


def _measured(folder, taus):
    """The metrics of Table 1, one folder per seed, each measured with a tau of its own."""
    for seed, tau in enumerate(taus):
        for name in TABLES["table_01"].metrics():
            metric = Metric(name, {"code": 1.0}, {"pairs": 7}, settings={"tau": tau})
            write_metric(folder / f"seed{seed}", metric)
    folders = [str(folder / f"seed{seed}") for seed in range(len(taus))]
    return [{"model": "M", "variant": "SAE", "dataset": "D", "folders": folders}]


@pytest.mark.parametrize("taus", [(0.1, 0.05), (0.05, 0.05)], ids=["one seed", "all"])
def test_a_table_of_another_tau_is_refused_and_not_written(tmp_path, taus):
    paths = {key: tmp_path / "out" / key for key in ("csv", "markdown", "latex", "text")}
    sources = _measured(tmp_path, taus)
    told = (
        rf"seed{taus.index(0.05)}/mse\.json was measured with tau 0\.05, but .* measure\.tau 0\.1;"
    )
    with pytest.raises(InputError, match=told):
        render_table("table_01", sources, "τ = {tau}", {"tau": "0.1"}, {}, ASKED, **paths)
    assert not (tmp_path / "out").exists()
    same = _measured(tmp_path, (0.1, 0.1))
    render_table("table_01", same, "τ = {tau}", {"tau": "0.1"}, {}, ASKED, **paths)
    assert len(pd.read_csv(paths["csv"])) == len(TABLES["table_01"].metrics())


def test_a_figure_of_a_table_of_another_tau_is_refused_and_not_drawn(tmp_path):
    sources = make_sources(tmp_path / "in", "figure_02")
    atoms = sources[-1]["atoms"]
    outputs = [tmp_path / "out" / name for name in ("data", "png", "pdf", "text")]
    before = gather_figure("figure_02", sources, ASKED)
    write_table(atoms, read_parquet(atoms), {"tau": 0.1})
    same = gather_figure("figure_02", sources, ASKED)
    pd.testing.assert_frame_equal(same, before)
    assert same.attrs == {}
    write_table(atoms, read_parquet(atoms), {"tau": 0.05})
    with pytest.raises(InputError, match=rf"{atoms} was measured with tau 0\.05, but"):
        render_figure("figure_02", sources, "τ = {tau}", {"tau": "0.1"}, {}, ASKED, *outputs)
    assert not (tmp_path / "out").exists()


def test_a_figure_of_a_metric_of_another_sample_is_refused(tmp_path):
    sources = make_sources(tmp_path, "figure_10")
    path = sources[0]["difference_in_mean"]
    write_metric(path.parent, Metric(path.stem, {"code": 0.3}, {"images": 9}, settings={"gap": 50}))
    with pytest.raises(InputError, match=rf"{path} was measured with gap 50, but"):
        gather_figure("figure_10", sources, ASKED)


def test_a_sample_size_of_another_setting_is_not_told(tmp_path):
    write_metric(tmp_path, Metric("r2", {"code": 1.0}, {"pairs": 7}, settings={"gap": 50}))
    sizes = {"pairs": (tmp_path / "r2.json", "pairs")}
    assert fill_caption("{pairs}", {}, sizes) == "7"
    with pytest.raises(InputError, match=r"r2\.json was measured with gap 50, but"):
        fill_caption("{pairs}", {}, sizes, ASKED)
