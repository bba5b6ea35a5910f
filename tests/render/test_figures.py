import json
import shutil
from itertools import combinations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Path3DCollection
from samples import OF_SAES, count_panels, drawing, hexbins, make_sources, pca_table, shown

from isoenergy.errors import InputError
from isoenergy.files import read_parquet, write_parquet
from isoenergy.render.figures import FIGURES, gather_figure, render_figure
from isoenergy.render.space import COORDINATES
from isoenergy.render.style import PALETTE, SMALLEST, save_figure

TARGETS = (
    "figure_01",
    "figure_02",
    "figure_03",
    "figure_04",
    "figure_05",
    "figure_06",
    "figure_07",
    "figure_08",
    "figure_09",
    "figure_10",
    "figure_11",
    "figure_12",
    "figure_13",
    "figure_14",
    "figure_15",
    "figure_16",
    "figure_17",
    "figure_18",
    "figure_19",
    "figure_20",
    "figure_21",
    "figure_22",
    "figure_23",
    "figure_24",
    "figure_25",
    "figure_26",
    "figure_27",
    "figure_ranking",
)
# From linear RGB to what readers without one kind of cone see (Machado and others 2009).
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def render(folder, target, sources, caption="A caption."):
    names = ("data.parquet", "figure.png", "figure.pdf", "figure.txt")
    outputs = [folder / "out" / name for name in names]
    render_figure(target, sources, caption, {}, {}, {}, *outputs)
    return outputs


def test_targets_are_registered():
    assert tuple(FIGURES) == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_stored_data_alone_give_the_same_bytes_whatever_the_users_settings(tmp_path, target):
    sources = make_sources(tmp_path / "in", target)[:1]
    data, png, pdf, text = render(tmp_path, target, sources)
    first = data.read_bytes()
    write_parquet(data, gather_figure(target, sources))
    assert data.read_bytes() == first
    shutil.rmtree(tmp_path / "in")
    again = tmp_path / "again.png", tmp_path / "again.pdf"
    with matplotlib.rc_context({"font.size": 25, "axes.grid": True, "savefig.dpi": 30}):
        save_figure(FIGURES[target].draw(read_parquet(data)), *again)
    assert again[0].read_bytes() == png.read_bytes()
    assert again[1].read_bytes() == pdf.read_bytes()
    assert png.read_bytes().startswith(b"\x89PNG")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert b"CreationDate" not in pdf.read_bytes()
    assert text.read_text() == "A caption.\n"


@pytest.mark.parametrize("target", TARGETS)
def test_stored_numbers_are_those_of_the_sources(tmp_path, target):
    sources = make_sources(tmp_path, target, models=2)
    data = gather_figure(target, sources)
    figure = FIGURES[target]
    for source in sources:
        panel = data[(data["model"] == source["model"]) & (data["sae"] == source.get("sae", ""))]
        if "part" in panel:
            panel = panel[panel["part"] != "mean"]
        for table, columns in figure.TABLES.items():
            rows = panel[panel["table"] == table] if "table" in panel else panel
            expected = read_parquet(source[table])[list(columns)]
            # A column that only one of several tables has is wider there.
            pd.testing.assert_frame_equal(
                rows[list(columns)].reset_index(drop=True),
                expected,
                check_exact=True,
                check_dtype=len(figure.TABLES) == 1,
            )
        for name in figure.METRICS:
            value = json.loads(source[name].read_text())["value"]
            assert (panel[name] == value).all()


@pytest.mark.parametrize(("models", "saes"), [(1, None), (3, None), (1, 1)])
@pytest.mark.parametrize("target", TARGETS)
def test_every_panel_is_labelled_and_nothing_is_cut_or_covered(
    tmp_path, monkeypatch, target, models, saes
):
    data, figure = drawing(tmp_path, target, models, saes=saes)
    figure.draw_without_rendering()
    # Only what is drawn counts: ticks outside the view have labels as well.
    texts = []
    draw = Text.draw
    monkeypatch.setattr(Text, "draw", lambda self, r: (texts.append(self), draw(self, r))[1])
    figure.draw_without_rendering()
    monkeypatch.undo()
    texts = [text for text in shown(figure) if text in texts]
    told = [" ".join(text.get_text().split()) for text in texts]
    assert all(told.count(label) == 1 for label in data["panel"].unique())
    module = FIGURES[target]
    shown_models = count_panels(module, models)
    assert data["panel"].nunique() == shown_models * len(OF_SAES[module.OF][:saes])
    assert min(text.get_fontsize() for text in texts) >= SMALLEST
    boxes = [text.get_window_extent() for text in texts]
    page = figure.bbox
    for name, box in zip(told, boxes, strict=True):
        assert page.x0 <= box.x0, name
        assert box.x1 <= page.x1, name
        assert page.y0 <= box.y0, name
        assert box.y1 <= page.y1, name
    # Boxes are a little larger than the letters, and say nothing of slanted text.
    tight = [
        (name, box.padded(-1))
        for name, box, text in zip(told, boxes, texts, strict=True)
        if text.get_rotation() % 90 == 0
    ]
    for (a, one), (b, other) in combinations(tight, 2):
        assert not one.overlaps(other), (a, b)


def test_figure_02_draws_all_energy_and_every_live_atom(tmp_path):
    data, figure = drawing(tmp_path, "figure_02")
    atoms = data[data["part"] == "atom"]
    live = atoms[atoms["group"] != "dead"]
    cells = hexbins(figure)
    assert len(cells) == 2
    for drawn in cells:
        assert drawn.get_array().sum() == pytest.approx(1)
    boxes = figure.findobj(Axes3D)
    for box, (_, panel) in zip(boxes, live.groupby("sae", sort=False), strict=True):
        shadow, points = box.findobj(Path3DCollection)[:2]
        drawn = np.column_stack(points._offsets3d)
        expected = panel.sort_values("energy", ascending=False)[list(COORDINATES)]
        np.testing.assert_array_equal(drawn, expected)
        assert len(shadow.get_offsets()) == len(panel)
    assert "75 of 80 atoms live" in [text.get_text() for text in shown(figure)]


def test_figure_02_keeps_atoms_without_energy_on_one_side_in_the_margin(tmp_path):
    _, figure = drawing(tmp_path, "figure_02")
    cells = hexbins(figure)[0]
    ax = cells.axes
    # The grey strips, then the centres of the cells in them.
    (low, high), centres = ax.get_xlim(), cells.get_offsets()
    ticks = [text.get_text() for text in ax.get_xticklabels()]
    assert ticks[0] == "0"
    strip = ax.get_xticks()[0]
    width = 2 * (strip - low)
    assert ((centres[:, 0] < low + width).sum(), (centres[:, 1] < low + width).sum()) == (1, 1)
    assert width < 0.1 * (high - low)


def test_figure_02_arrows_are_energy_weighted_means(tmp_path):
    data, _ = drawing(tmp_path, "figure_02")
    panel = data[data["sae"] == "SAE"]
    atoms, means = (panel[panel["part"] == part] for part in ("atom", "mean"))
    assert list(means["group"]) == ["text", "bimodal", "image"]
    for _, mean in means.iterrows():
        own = atoms[atoms["group"] == mean["group"]]
        for axis in COORDINATES:
            assert mean[axis] == pytest.approx(np.average(own[axis], weights=own["energy"]))


def _one_live(table):
    table = table.copy()
    table.loc[table.index != 30, ["energy_image", "energy_text", "energy"]] = 0.0
    table.loc[table.index != 30, "group"] = "dead"
    table.loc[table.index != 30, "modality_score"] = -1.0
    return table


DEGENERATE = {
    "no text atoms": lambda t: t[t["group"] != "text"].assign(along_text=0.0),
    "one live atom": _one_live,
    "one row": lambda t: t.iloc[[30]],
    "all dead": lambda t: _one_live(t).drop(index=30),
    "live, no energy": lambda t: t.assign(energy_image=0.0, energy_text=0.0, energy=0.0),
    "below the floor": lambda t: t.assign(energy_image=1e-12, energy_text=1e-10, energy=5e-11),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_figure_02_of_degenerate_atoms(tmp_path, case):
    _, figure = drawing(tmp_path, "figure_02", change=DEGENERATE[case])
    figure.draw_without_rendering()
    assert len(hexbins(figure)) == (0 if case in ("all dead", "live, no energy") else 2)


@pytest.mark.parametrize("target", [name for name in TARGETS if FIGURES[name].TABLES])
def test_a_lacking_column_is_refused_before_anything_is_written(tmp_path, target):
    table, (column, *_) = next(iter(FIGURES[target].TABLES.items()))
    sources = make_sources(tmp_path / "in", target, change=lambda t: t.drop(columns=column))
    with pytest.raises(InputError, match=rf"^\S+{table}.parquet lacks the columns {column}; \w+"):
        render(tmp_path, target, sources)
    assert not (tmp_path / "out").exists()


def test_bad_sources_are_refused(tmp_path):
    sources = make_sources(tmp_path, "figure_10")
    with pytest.raises(InputError, match="has no model to draw"):
        gather_figure("figure_10", [])
    with pytest.raises(InputError, match="there is no figure 'figure_99'; known are figure_01"):
        gather_figure("figure_99", sources)
    with pytest.raises(InputError, match="two sources for m0"):
        gather_figure("figure_10", sources * 2)
    with pytest.raises(InputError, match="lacks wasserstein"):
        gather_figure("figure_10", [{k: v for k, v in sources[0].items() if k[0] != "w"}])
    write_parquet(sources[0]["pca"], pca_table(np.random.default_rng(0)).iloc[:0])
    with pytest.raises(InputError, match="has no rows"):
        gather_figure("figure_10", sources)
    sources[0]["pca"].unlink()
    with pytest.raises(InputError, match="does not exist"):
        gather_figure("figure_10", sources)


def test_a_model_without_title_keeps_its_name(tmp_path):
    data = gather_figure("figure_02", make_sources(tmp_path, "figure_02"))
    assert list(data["panel"].unique()) == ["m0, SAE", "m0, SAE-A"]


def _lab(linear):
    xyz = np.clip(linear, 0, 1) @ np.array(
        [[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]]
    )
    scaled = xyz / [0.9505, 1, 1.089]
    f = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_groups_stay_apart_for_every_reader(blindness):
    rgb = {name: np.array(to_rgb(PALETTE[name])) for name in ("image", "text", "bimodal")}
    linear = {
        name: np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        for name, c in rgb.items()
    }
    lab = {name: _lab(BLINDNESS[blindness] @ c) for name, c in linear.items()}
    for one, other in combinations(lab, 2):
        # 2 is just noticeable; the lightness differs as well, for print in grey.
        assert np.linalg.norm(lab[one] - lab[other]) > 30, (one, other)
        assert abs(lab[one][0] - lab[other][0]) > 10, (one, other)
