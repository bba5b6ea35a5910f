"""Figures 1 and 5: the geometry of the drawings, and that they are drawn."""

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from samples import drawing, shown

from isoenergy.render import arithmetic, process
from isoenergy.render.style import PALETTE, WIDTH, save_figure

AXES = ["content", "image_bias", "text_bias"]


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.fixture(scope="module")
def sums():
    data = arithmetic.gather(None)
    vectors = data[data["part"] == "vector"].set_index("name")[AXES]
    clouds = data[data["part"] == "embedding"]
    return {name: row.to_numpy() for name, row in vectors.iterrows()}, clouds


def test_sums_of_figure_5_are_those_of_the_caption(sums):
    at, _ = sums
    np.testing.assert_allclose(at["source"], [-0.6, 0.8, 0])
    np.testing.assert_allclose(at["target"], [0.6, 0.8, 0])
    np.testing.assert_allclose(at["delta"], [1.2, 0, 0.8])
    np.testing.assert_allclose(at["delta_bimodal"] + at["delta_unimodal"], at["delta"])
    np.testing.assert_allclose(at["source"] + at["delta"], at["Q"])
    np.testing.assert_allclose(at["source"] + at["delta_bimodal"], at["Q_SAE"])
    np.testing.assert_allclose(at["Q_SAE"], at["target"], atol=1e-15)
    # By hand: (0.6, 0.8, 0.8) has the length of the root of 1.64.
    np.testing.assert_allclose(at["Q_unit"], np.array([0.6, 0.8, 0.8]) / 1.64**0.5)
    assert cosine(at["Q"], at["target"]) == pytest.approx(1 / 1.64**0.5)


def test_q_is_out_of_distribution_and_q_sae_is_not(sums):
    at, clouds = sums
    own = {name: rows[AXES].to_numpy() for name, rows in clouds.groupby("name")}
    for rows in own.values():
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1)
    images = own["image"]
    within = np.sort(1 - images @ images.T, axis=1)[:, 1]
    nearest = {
        name: (1 - images @ at[name] / np.linalg.norm(at[name])).min() for name in ("Q", "Q_SAE")
    }
    assert nearest["Q_SAE"] < np.quantile(within, 0.95)
    assert nearest["Q"] > 2 * within.max()
    assert (1 - own["text"] @ at["Q_unit"]).min() > 2 * within.max()


def test_figure_5_is_seen_from_between_the_biases(sums):
    data = arithmetic.gather(None)
    screen = data[["x", "y"]].to_numpy()
    places = data[AXES].to_numpy()
    assert screen[:, 0] == pytest.approx(places[:, 0])
    assert screen[:, 1] == pytest.approx((places[:, 1] - places[:, 2]) / 2**0.5)
    assert (np.linalg.norm(screen[data["part"] == "embedding"], axis=1) <= 1).all()


def test_arrows_of_figure_5_go_where_the_sums_are(tmp_path):
    data, figure = drawing(tmp_path, "figure_05")
    at = data[data["part"] == "vector"].set_index("name")[["x", "y"]]
    for ax, ends in zip(figure.axes, (("Q_SAE", "Q", "Q"), ("Q_SAE",)), strict=True):
        arrows = [text for text in ax.texts if getattr(text, "arrow_patch", None)]
        assert [tuple(arrow.xy) for arrow in arrows] == [tuple(at.loc[name]) for name in ends]
    crosses = [[line for line in ax.lines if line.get_marker() == "x"] for ax in figure.axes]
    for (cross,), name in zip(crosses, ("Q", "Q_SAE"), strict=True):
        np.testing.assert_array_equal(cross.get_xydata()[0], at.loc[name])


def test_both_dictionaries_of_figure_1_hold_the_same_energy():
    data = process.gather(None)
    energy = {
        name: data[data["part"] == f"{name}, energy"].groupby(["name", "group"])["height"].sum()
        for name in process.DICTIONARIES
    }
    assert energy["split"].to_dict() == pytest.approx(energy["iso-energy"].to_dict())
    # With Iso-Energy a concept has one atom, whose bars are alike where both sides share it.
    atoms = data[data["part"] == "iso-energy"]
    assert not atoms["name"].duplicated().any()
    groups = {name: group for name, group, _ in process.CONCEPTS}
    assert {row["name"]: row["group"] for _, row in atoms.iterrows()}.items() <= groups.items()
    bars = energy["iso-energy"].unstack()
    shared = [groups[name] == "bimodal" for name in bars.index]
    assert ((bars["image"] == bars["text"]) == shared).all()
    assert "bimodal" not in set(data[data["part"] == "split"]["group"])


def test_figure_1_draws_its_bars_and_nothing_off_the_page(tmp_path):
    data, figure = drawing(tmp_path, "figure_01")
    bars = data[data["part"].str.endswith(", energy")]
    (ax,) = figure.axes
    drawn = [
        (*patch.get_xy(), patch.get_width(), patch.get_height())
        for patch in ax.patches
        if isinstance(patch, Rectangle) and patch.get_fill()
    ]
    wanted = bars[["x", "y", "width", "height"]].to_numpy()
    np.testing.assert_array_equal(np.array(sorted(drawn)), wanted[np.lexsort(wanted.T[::-1])])
    places = data[data["part"] != "picture"]
    assert (places[["x", "y"]] > 0).all().all()
    assert (places["x"] + places["width"].clip(lower=0) < WIDTH).all()
    told = [text.get_text() for text in shown(figure)]
    for name, _, _ in process.CONCEPTS:
        assert name in told


@pytest.mark.parametrize(("target", "opacity"), [("figure_01", 0.45), ("figure_05", 0.5)])
def test_schematics_show_the_groups_in_their_colours(tmp_path, target, opacity):
    _, figure = drawing(tmp_path, target)
    save_figure(figure, tmp_path / "a.png", tmp_path / "a.pdf")
    pixels = matplotlib.image.imread(tmp_path / "a.png")[..., :3]

    def share_of(colour):
        return (np.abs(pixels - colour).max(axis=2) < 0.02).mean()

    assert share_of(to_rgb(PALETTE["bimodal"])) > 4e-4
    for modality in ("image", "text"):
        # Embeddings are seen through, on the sphere's grey.
        dots = opacity * np.array(to_rgb(PALETTE[modality])) + (1 - opacity) * 0xF6 / 255
        assert share_of(dots) > 4e-4, modality
    assert 0.01 < (pixels < 0.95).any(axis=2).mean() < 0.5
