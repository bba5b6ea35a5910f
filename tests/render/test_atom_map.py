"""Figure 3: what it draws, in numbers and in pixels."""

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from samples import drawing, layout_table, make_sources, shown

from isoenergy.files import write_parquet
from isoenergy.render.atom_map import areas
from isoenergy.render.figures import FIGURES, gather_figure
from isoenergy.render.style import MODALITY, PALETTE, save_figure


def share_of(pixels, colour, within=0.12):
    """Share of a picture's pixels that are of nearly this colour."""
    return (np.abs(pixels[..., :3] - to_rgb(colour)).max(axis=2) < within).mean()


def test_every_embedding_and_atom_is_drawn_where_it_lies(tmp_path):
    data, figure = drawing(tmp_path, "figure_03")
    planes, maps = figure.axes[:2], figure.axes[4:6]
    for ax, table in zip(planes, ("pca", "pca_masked"), strict=True):
        own = data[data["table"] == table]
        (points,) = ax.collections
        found, expected = (
            places[np.lexsort(places.T)]
            for places in (points.get_offsets(), own[["x", "y"]].to_numpy())
        )
        np.testing.assert_allclose(found, expected)
        # In turns: of two neighbours in the order of drawing, one is an image.
        colours = points.get_facecolor()[:, :3]
        assert (colours[::2] == to_rgb(PALETTE["image"])).all()
        assert (colours[1::2] == to_rgb(PALETTE["text"])).all()
        low, high = ax.get_xlim()
        assert low < own["x"].min()
        assert own["x"].max() < high
    atoms = data[data["table"] == "layout"]
    inside = atoms[(atoms["modality_score"] > 0.2) & (atoms["modality_score"] < 0.8)]
    drawn = maps[0].collections[0], maps[1].collections[-1]
    for points, some in zip(drawn, (atoms, inside), strict=True):
        expected = some.sort_values("energy", ascending=False)
        np.testing.assert_array_equal(points.get_offsets(), expected[["x", "y"]])
        np.testing.assert_array_equal(points.get_array(), expected["modality_score"])
        assert points.get_cmap() == MODALITY
        assert (np.diff(points.get_sizes()) <= 0).all()
    assert len(maps[1].collections[0].get_offsets()) == len(atoms)
    told = [text.get_text() for text in shown(figure)]
    assert f"{len(atoms)} drawn" in told
    assert f"{len(inside)} with 0.2 < μ < 0.8, the others grey" in told


def test_dim_and_recall_stand_with_their_panels(tmp_path):
    data, figure = drawing(tmp_path, "figure_03")
    values = {"DiM": ("0.31", "0.41"), "recall@1": ("0.36", "0.46")}
    for row, name in ((slice(2, 4), "DiM"), (slice(0, 2), "recall@1")):
        for ax, value in zip(figure.axes[row], values[name], strict=True):
            assert f"{name} {value}" in [text.get_text() for text in ax.texts]
    for ax, table in zip(figure.axes[2:4], ("pca", "pca_masked"), strict=True):
        (bracket,) = ax.lines
        means = data[data["table"] == table].groupby("modality")["along"].mean()
        assert bracket.get_xdata() == pytest.approx(means.to_numpy())


def test_densities_along_the_gap_hold_all_embeddings(tmp_path):
    _, figure = drawing(tmp_path, "figure_03")
    for ax in figure.axes[2:4]:
        for steps in ax.patches:
            bars = steps.get_data()
            assert (bars.values * np.diff(bars.edges)).sum() == pytest.approx(1)


def test_areas_follow_the_root_of_energy_above_the_weakest_atoms():
    everything = np.array([0.01, 0.05, 0.02, 0.41])
    # Above the weakest: 0, 0.04, 0.01, 0.4; the strongest below 0.1 is 0.04.
    found = areas(everything, everything)
    assert found[1:] / found[1] == pytest.approx([1, 0.5, 10**0.5])
    assert 0 < found[0] < found[2]
    assert areas(everything[2:3], everything) == pytest.approx(found[2:3])
    assert areas(everything[:0], everything[:0]).shape == (0,)
    # All alike, or all above the usual ones.
    assert (areas(np.full(3, 0.01), np.full(3, 0.01)) > 0).all()
    assert np.isfinite(areas(np.array([0.2, 0.3]), np.array([0.2, 0.3]))).all()


@pytest.mark.parametrize("n", [0, 1])
def test_few_atoms_are_drawn(tmp_path, n):
    (source,) = make_sources(tmp_path, "figure_03")
    write_parquet(source["layout"], layout_table(np.random.default_rng(0)).iloc[:n])
    figure = FIGURES["figure_03"].draw(gather_figure("figure_03", [source]))
    figure.draw_without_rendering()
    assert f"{n} drawn" in [text.get_text() for text in shown(figure)]


def test_vectors_without_any_difference_are_drawn(tmp_path):
    flat = lambda t: t.assign(x=0.0, y=0.0, along=0.0)  # noqa: E731
    _, figure = drawing(tmp_path, "figure_03", change=flat)
    figure.draw_without_rendering()
    assert "DiM 0.31" in [text.get_text() for text in shown(figure)]


def test_the_picture_shows_both_modalities_and_the_colours_of_atoms(tmp_path):
    _, figure = drawing(tmp_path, "figure_03")
    save_figure(figure, tmp_path / "a.png", tmp_path / "a.pdf")
    pixels = matplotlib.image.imread(tmp_path / "a.png")
    height, width = pixels.shape[:2]
    left, right = pixels[:, : width // 2], pixels[:, width // 2 :]
    for half in (left, right):
        for modality in ("image", "text"):
            assert share_of(half, PALETTE[modality]) > 5e-4
    below = slice(int(0.62 * height), int(0.9 * height))
    for modality in ("image", "text"):
        # Unimodal atoms, a little seen through, are on the left map alone.
        atom = 0.8 * np.array(to_rgb(PALETTE[modality])) + 0.2
        on_left, on_right = (share_of(half[below], atom, 0.06) for half in (left, right))
        assert on_left > 5e-4
        assert on_left > 5 * on_right
    assert share_of(pixels, "white", 0.01) < 0.99
