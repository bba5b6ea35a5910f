"""Figures 18 to 22, 26 and 27, and how texts and pictures of data sets are drawn."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from PIL import Image
from samples import CAPTIONS, drawing, gallery_table, make_sources, shown

from isoenergy.files import write_parquet
from isoenergy.measure.galleries import NO_PICTURES
from isoenergy.render.figures import FIGURES, gather_figure
from isoenergy.render.style import SMALLEST, settings
from isoenergy.render.tiles import draw_tile
from isoenergy.render.wrapping import known_letters, width_of, wrap, write_line

PICTURED = ("figure_18", "figure_19", "figure_26", "figure_27")


def told(figure):
    return [text.get_text() for text in shown(figure)]


def gallery(folder, target, change):
    """A figure whose gallery, not whose atoms, is changed."""
    sources = make_sources(folder, target)
    name = FIGURES[target].table
    write_parquet(sources[0][name], change(gallery_table(np.random.default_rng(0))))
    return FIGURES[target].draw(gather_figure(target, sources))


@pytest.mark.parametrize("target", PICTURED)
def test_dollar_signs_are_drawn_and_not_read(tmp_path, target):
    _, figure = drawing(tmp_path, target)
    told_lines = " ".join(told(figure))
    assert r"only $5 or $\frac{1}{0}$ &" in told_lines
    assert not any(text.get_parse_math() for text in shown(figure))


@pytest.mark.parametrize("target", PICTURED)
def test_no_text_lies_on_a_picture(tmp_path, target):
    _, figure = drawing(tmp_path, target)
    figure.draw_without_rendering()
    pictures = [image.get_window_extent() for image in figure.findobj(AxesImage)]
    assert len(pictures) >= 4
    boxes = {text.get_text(): text.get_window_extent().padded(-1) for text in shown(figure)}
    for name, box in boxes.items():
        assert not any(box.overlaps(picture) for picture in pictures), name


@pytest.mark.parametrize(("target", "texts"), [("figure_18", 10), ("figure_20", 5)])
def test_a_gallery_shows_every_picture_with_its_activation_and_so_many_texts(
    tmp_path, target, texts
):
    data, figure = drawing(tmp_path, target)
    own = data[data["table"] != "atoms"]
    lines = told(figure)
    for _, block in own.groupby("atom"):
        images, captions = (block[block["side"] == side] for side in ("image", "text"))
        shown_numbers = [*images["activation"], *captions["activation"].head(texts)]
        for value in shown_numbers:
            assert f"{value:.2f}" in lines
    assert len(figure.findobj(AxesImage)) == 16
    assert (lines.count("missing"), lines.count("broken")) == (2, 2)
    assert lines.count("(no text)") == sum(not text for text in np.resize(CAPTIONS, texts)) * 2
    assert lines.count("atom 30, high energy") == 1
    assert lines.count("active in 1,234 of 12,000 images; mean of the strongest 10: "
                       f"{own['mean_activation'].iloc[0]:.2f}") == 1  # fmt: skip


def test_a_side_on_which_an_atom_is_never_active_says_so(tmp_path):
    figure = gallery(tmp_path, "figure_19", lambda t: t[(t["side"] == "image") | (t["place"] > 0)])
    assert told(figure).count("active in none of 12,000 texts") == 1


def test_a_gallery_without_atoms_says_so(tmp_path):
    figure = gallery(tmp_path, "figure_22", lambda t: t.iloc[:0])
    assert told(figure) == ["m0, SAE-A", "no such atom is active in the pairs looked at"]
    assert not figure.findobj(AxesImage)


def test_captions_stand_in_for_the_images_of_a_store(tmp_path):
    problem = NO_PICTURES.problem
    figure = gallery(tmp_path, "figure_19", lambda t: t.assign(picture=None, problem=problem))
    assert not figure.findobj(AxesImage)
    lines = told(figure)
    assert sum(line.endswith("; their captions:") for line in lines) == 2
    # Two atoms, of each ten captions of images and five texts; the first of six comes 2 + 1 times.
    assert lines.count("a photo of a red circle") == 6


def test_edits_show_source_and_target_and_every_relative_caption(tmp_path):
    _, figure = drawing(tmp_path, "figure_27")
    lines = told(figure)
    assert lines.count("source") == lines.count("target") == 5
    assert {"• same but blue", "• is blue instead of red"} <= set(lines)


def _png(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("picture", "problem", "word"),
    [
        (None, "missing: it is not in the picture shards", "missing"),
        (None, "broken: picture cannot be decoded (OSError)", "broken"),
        (None, "a very long reason", "–"),
        (b"x", "", "broken"),
        (_png(1200, 1200), "", "broken"),  # no thumbnail of ours
        (float("nan"), "", "broken"),
    ],
)
def test_a_picture_that_cannot_be_shown_is_a_grey_box_with_a_word(picture, problem, word):
    figure = Figure(figsize=(2, 2))
    draw_tile(figure, 0.5, 0.5, 0.62, picture, problem)
    assert not figure.findobj(AxesImage)
    assert told(figure) == [word]
    box = figure.axes[0].findobj(Rectangle)[0].get_window_extent()
    text = shown(figure)[0].get_window_extent()
    assert box.x0 <= text.x0 <= text.x1 <= box.x1
    assert box.y0 <= text.y0 <= text.y1 <= box.y1


def test_the_blocks_of_a_blurred_picture_stay_blocks():
    """What is drawn has no more colours than blocks are stored."""
    blocks = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks).save(buffer, "PNG")
    figure = Figure(figsize=(1, 1), dpi=200)
    draw_tile(figure, 0.1, 0.1, 0.8, buffer.getvalue(), "")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    drawn = np.asarray(Image.open(drawn).convert("RGB"))[25:175, 25:175]
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) <= 36


@settings()
@given(
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=150),
    st.floats(0.5, 6),
    st.integers(1, 6),
)
def test_lines_fit_and_hold_the_text_in_order(text, inches, most):
    lines = wrap(text, inches, most)
    assert len(lines) <= most
    assert all(width_of(line) <= inches for line in lines)
    whole = "".join(known_letters(text).split())
    joined = "".join("".join(lines).split())
    assert joined == whole or (joined.endswith("…") and whole.startswith(joined[:-1]))


def test_letters_that_the_font_lacks_are_replaced():
    assert known_letters("añ שλ 🦊中") == "añ שλ ��"


@settings()
def test_a_measured_line_is_as_wide_as_a_drawn_one():
    figure = Figure(figsize=(7, 1), dpi=200)
    for line in ("a photo of a red circle", "W" * 40, "il" * 30, "ǅ½§ 12:30"):
        text = write_line(figure, 0.1, 0.1, line)
        assert text.get_fontsize() == SMALLEST
        drawn = text.get_window_extent().width / figure.dpi
        assert drawn <= width_of(line) <= 1.1 * drawn + 0.02
