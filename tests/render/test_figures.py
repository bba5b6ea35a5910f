import json
import shutil
from itertools import combinations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Path3DCollection

from isoenergy.errors import InputError
from isoenergy.files import read_parquet, write_parquet
from isoenergy.measure.bridge_shares import PAIRS, THRESHOLDS
from isoenergy.measure.geometry import COSINE_KINDS
from isoenergy.measure.metric import Metric, write_metric
from isoenergy.measure.ranks import moving_average
from isoenergy.render import probing, transport
from isoenergy.render.figures import FIGURES, gather_figure, render_figure
from isoenergy.render.space import COORDINATES
from isoenergy.render.style import MODALITY, PALETTE, SMALLEST, save_figure

TARGETS = (
    "figure_02",
    "figure_10",
    "figure_11",
    "figure_12",
    "figure_13",
    "figure_14",
    "figure_15",
    "figure_16",
    "figure_17",
)
OF_SAES = {"saes": ("SAE", "SAE-A"), "aligned": ("SAE-A",), "embeddings": ("",)}
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


def atoms_table(rng, n=80):
    """Atoms of all groups; some dead, one for each modality with no energy in the other."""
    image, text = 10.0 ** rng.uniform(-6, -2, (2, n))
    image[:10] *= 1e-2
    text[10:20] *= 1e-2
    image[0] = text[10] = 0
    image[-5:] = text[-5:] = 0
    total = image + text
    score = np.divide(image, total, out=np.full(n, -1.0), where=total > 0)
    group = np.select([score < 0, score < 0.05, score > 0.95], ["dead", "text", "image"], "bimodal")
    return pd.DataFrame(
        {
            "atom": np.arange(n),
            "energy_image": image,
            "energy_text": text,
            "energy": total / 2,
            "frequency": rng.uniform(0, 1, n),
            "modality_score": score,
            "group": group,
            "accuracy": rng.uniform(0, 1, n),
            **{f"along_{name}": rng.normal(0, 0.2, n) for name in ("image", "bimodal", "text")},
        }
    )


def bridge_shares_table(rng):
    shares = rng.dirichlet(np.ones(len(PAIRS)), len(THRESHOLDS))
    return pd.DataFrame(
        {
            "threshold": np.repeat(THRESHOLDS, len(PAIRS)),
            "pair": np.tile(PAIRS, len(THRESHOLDS)),
            "share": shares.ravel(),
            "tau": 0.05,
        }
    )


def transport_table(rng):
    atoms = atoms_table(rng)
    own = ["modality_score", "along_image", "along_bimodal", "along_text"]
    moved = atoms[own].sample(frac=1, random_state=0).reset_index(drop=True)
    moved["modality_score"] = moved["modality_score"].clip(lower=0)
    moved[atoms["energy_image"] == 0] = np.nan
    return atoms[["atom", "energy_image", "energy_text", "group", *own]].join(
        moved.add_prefix("target_")
    )


def scores_table(rng, bins=20):
    edges = np.linspace(-0.2, 0.5, bins + 1)
    atoms = {"high": (7, 0.1477), "low": (61, 8.1e-5)}
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "which": which,
                    "atom": atom,
                    "energy": energy,
                    "modality_score": 0.41,
                    "activity": 0.562,
                    "modality": modality,
                    "active": active,
                    "left": edges[:-1],
                    "right": edges[1:],
                    "count": rng.integers(0, 40 if active else 900, bins),
                }
            )
            for which, (atom, energy) in atoms.items()
            for modality in ("image", "text")
            for active in (True, False)
        ],
        ignore_index=True,
    )


def unimodal_table(rng):
    """Three text atoms and two image atoms of ``atoms_table``."""
    parts = []
    for side, atoms, strict in (("text", [2, 5, 3], True), ("image", [11, 14], False)):
        n = len(atoms)
        row, column = np.divmod(np.arange(n * n), n)
        cosines = rng.uniform(0.5, 1, (n, n))
        cosines = (cosines + cosines.T) / 2
        parts.append(
            pd.DataFrame(
                {
                    "side": side,
                    "strict": strict,
                    "row": row,
                    "column": column,
                    "row_atom": np.array(atoms)[row],
                    "column_atom": np.array(atoms)[column],
                    "cosine": cosines.ravel(),
                    "mean_cosine": cosines.mean(),
                    "frequency": 0.46,
                    "energy_share": 0.201,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def ranks_table(rng, n=70):
    energy = np.sort(10.0 ** rng.uniform(-6, -1, n))[::-1]
    frequency = rng.uniform(1e-3, 0.5, n)
    shown = {"energy": energy, "frequency": frequency, "magnitude": energy / frequency}
    return pd.DataFrame(
        {
            "rank": np.arange(1, n + 1),
            "atom": rng.permutation(n),
            **shown,
            **{f"{name}_smooth": moving_average(values) for name, values in shown.items()},
        }
    )


def pca_table(rng, n=60):
    xy = rng.normal(0, 0.1, (2 * n, 2)).astype(np.float32)
    xy[:n, 0] -= 0.4
    return pd.DataFrame({"modality": np.repeat(["image", "text"], n), "x": xy[:, 0], "y": xy[:, 1]})


def cosines_table(rng, bins=9):
    edges = np.linspace(-0.3, 1, bins + 1)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "kind": kind,
                    "left": edges[:-1],
                    "right": edges[1:],
                    "density": rng.uniform(0, 9, bins),
                }
            )
            for kind in COSINE_KINDS
        ],
        ignore_index=True,
    )


TABLES = {
    "atoms": atoms_table,
    "pca": pca_table,
    "cosines": cosines_table,
    "bridge_shares": bridge_shares_table,
    "transport": transport_table,
    "scores": scores_table,
    "unimodal": unimodal_table,
    "ranks": ranks_table,
}


def make_sources(folder, target, models=1, change=lambda table: table):
    """Sources of as many models as the figure shows, its first table changed."""
    figure = FIGURES[target]
    sources = []
    for i in range(min(models, figure.MODELS or models)):
        for sae in OF_SAES[figure.OF]:
            place = folder / f"m{i}{sae}"
            source = {"model": f"m{i}"}
            if sae:
                source["sae"] = sae
            for name in figure.TABLES:
                table = TABLES[name](np.random.default_rng(len(sources)))
                source[name] = place / f"{name}.parquet"
                first = name == next(iter(figure.TABLES))
                write_parquet(source[name], change(table) if first else table)
            for j, name in enumerate(figure.METRICS):
                write_metric(place, Metric(name, {"code": 0.31 + 0.1 * i + 0.05 * j}, {"pairs": 9}))
                source[name] = place / f"{name}.json"
            sources.append(source)
    return sources


def render(folder, target, sources, caption="A caption."):
    names = ("data.parquet", "figure.png", "figure.pdf", "figure.txt")
    outputs = [folder / "out" / name for name in names]
    render_figure(target, sources, caption, {}, {}, *outputs)
    return outputs


def drawing(folder, target, models=1, change=lambda table: table):
    sources = make_sources(folder, target, models, change)
    data = gather_figure(target, sources)
    return data, FIGURES[target].draw(data)


def shown(figure):
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def hexbins(figure):
    return [c for ax in figure.findobj(matplotlib.axes.Axes) for c in ax.collections
            if type(c) is PolyCollection and c.get_array() is not None]  # fmt: skip


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


@pytest.mark.parametrize("models", [1, 3])
@pytest.mark.parametrize("target", TARGETS)
def test_every_panel_is_labelled_and_nothing_is_cut_or_covered(
    tmp_path, monkeypatch, target, models
):
    data, figure = drawing(tmp_path, target, models)
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
    shown_models = min(models, module.MODELS or models)
    assert data["panel"].nunique() == shown_models * len(OF_SAES[module.OF])
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


def test_figure_11_draws_the_densities_with_recall(tmp_path):
    data, figure = drawing(tmp_path, "figure_11", models=2)
    steps = [patch for patch in figure.axes[1].patches if isinstance(patch, StepPatch)]
    outlines = [patch for patch in steps if not patch.get_fill()]
    panel = data[data["model"] == "m1"]
    for kind, drawn in zip(COSINE_KINDS, outlines, strict=True):
        np.testing.assert_array_equal(
            drawn.get_data().values, panel[panel["kind"] == kind]["density"]
        )
    told = [text.get_text() for text in shown(figure)]
    assert [told.count(f"recall@1 {value}") for value in ("0.31", "0.41")] == [1, 1]
    assert [told.count(kind) for kind in COSINE_KINDS] == [1] * 5


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
        write_metric(source["rho"].parent, Metric("rho", {"code": float("nan")}, {"pairs": 9}))
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
        assert len(top.patches) == probing.BINS * len(probing.CLASSES)
        heights = np.reshape([bar.get_height() for bar in top.patches], (-1, probing.BINS))
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
        bars = ax.patches
        for modality, sign, start in (("image", 1, 0), ("text", -1, 40)):
            own = some[some["modality"] == modality]
            dark = own[own["active"]]["count"].to_numpy()
            light = own[~own["active"]]["count"].to_numpy()
            ends = [bar.get_y() + bar.get_height() for bar in bars[start : start + 40]]
            assert ends[:20] == (sign * dark).tolist()
            assert ends[20:] == (sign * (dark + light)).tolist()
            colours = {to_rgb(bar.get_facecolor()[:3]) for bar in bars[start : start + 20]}
            assert max(map(sum, colours)) < sum(to_rgb(PALETTE[modality]))
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
            np.testing.assert_array_equal(thin.get_xydata(), panel[["rank", name]])
            np.testing.assert_array_equal(thick.get_ydata(), panel[f"{name}_smooth"])
            assert thin.get_linewidth() < thick.get_linewidth()
            assert thin.get_color() == thick.get_color()


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
    write_metric(tmp_path / "m0", Metric("recall_at_1", {"code": float("nan")}, {"pairs": 0}))
    data = gather_figure("figure_11", sources)
    assert "recall@1 –" in [text.get_text() for text in shown(FIGURES["figure_11"].draw(data))]


@pytest.mark.parametrize("target", TARGETS)
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
    with pytest.raises(InputError, match="there is no figure 'figure_99'; known are figure_02"):
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
