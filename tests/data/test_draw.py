import itertools

import numpy as np
import pytest

from isoenergy.data.draw import SIDE, draw_scenes
from isoenergy.data.factors import BY_NAME, PICTURE, SHARED, draw_factors

BASE = {
    "shape": "circle",
    "colour": "red",
    "size": "large",
    "place": "centre",
    "background": "grey",
    "texture": "plain",
    "noise": "none",
    "exposure": "normal",
    "border": "none",
    "logo": "none",
    "jitter": "none",
}
RED, GREY = (214, 39, 40), (128, 128, 128)


def draw(seed=0, **values):
    """One picture of the base scene with some factors changed."""
    told = {**BASE, **values}
    codes = {name: np.array([BY_NAME[name].values.index(told[name])]) for name in told}
    return draw_scenes(codes, np.random.default_rng(seed))[0]


def cover(**values):
    """Which pixels are more object than background, for a plain red object on grey."""
    picture = draw(**values).astype(int)
    return np.abs(picture - GREY).sum(axis=2) > np.abs(picture - RED).sum(axis=2)


def test_the_centre_has_the_objects_colour_and_the_corner_the_backgrounds():
    picture = draw()
    assert tuple(picture[24, 24]) == RED
    assert tuple(picture[0, 0]) == tuple(picture[47, 47]) == GREY
    assert tuple(draw(colour="blue")[24, 24]) == (50, 90, 230)
    assert tuple(draw(background="navy")[0, 0]) == (15, 25, 85)


def test_every_colour_and_background_looks_different():
    colours = {tuple(draw(colour=value)[24, 24]) for value in BY_NAME["colour"].values}
    grounds = {tuple(draw(background=value)[0, 0]) for value in BY_NAME["background"].values}
    assert len(colours) == 8
    assert len(grounds) == 6
    assert not colours & grounds


@pytest.mark.parametrize(("size", "radius"), [("small", 7.5), ("medium", 10.0), ("large", 12.5)])
def test_a_circle_has_the_area_of_its_size(size, radius):
    assert cover(size=size).sum() == pytest.approx(np.pi * radius**2, rel=0.03)


@pytest.mark.parametrize("place", BY_NAME["place"].values)
def test_the_object_is_where_its_place_says(place):
    rows, columns = np.nonzero(cover(size="small", place=place))
    x = 12 if "left" in place else 36 if "right" in place else 24
    y = 12 if "top" in place else 36 if "bottom" in place else 24
    assert abs(columns.mean() + 0.5 - x) < 0.6
    assert abs(rows.mean() + 0.5 - y) < 0.6


def test_every_two_shapes_differ_in_many_pixels():
    shapes = {value: cover(shape=value) for value in BY_NAME["shape"].values}
    for first, second in itertools.combinations(shapes, 2):
        union = (shapes[first] | shapes[second]).sum()
        assert (shapes[first] ^ shapes[second]).sum() > 0.1 * union, (first, second)


def test_a_ring_has_a_hole_and_a_cross_has_arms():
    assert tuple(draw(shape="ring")[24, 24]) == GREY
    cross = cover(shape="cross")
    assert cross[24, 15]
    assert cross[15, 24]
    assert not cross[16, 16]


def test_a_plain_object_has_one_light_and_every_pattern_a_second_of_half():
    inside = cover(size="medium")
    inside &= np.roll(inside, 2, 0) & np.roll(inside, -2, 0) & np.roll(inside, 2, 1)
    inside &= np.roll(inside, -2, 1)
    patterns = []
    for texture in BY_NAME["texture"].values:
        red = draw(size="medium", texture=texture)[inside][:, 0]
        assert set(red) == ({214} if texture == "plain" else {214, 107})
        patterns.append(red)
    assert 0.2 < (patterns[1] == 107).mean() < 0.8
    assert len({red.tobytes() for red in patterns}) == 4


def test_stripes_run_across_and_chequers_both_ways():
    striped, chequered = (
        draw(shape="square", texture=texture)[16:32, 16:32, 0]
        for texture in ("striped", "chequered")
    )
    assert (striped == striped[:, :1]).all()
    assert len(set(striped[:, 0])) == 2
    assert (chequered.min(axis=0) == 107).all()
    assert (chequered.max(axis=1) == 214).all()


@pytest.mark.parametrize(
    ("exposure", "grey", "red"), [("normal", 128, 214), ("dim", 90, 150), ("bright", 160, 255)]
)
def test_exposure_scales_all_light(exposure, grey, red):
    picture = draw(exposure=exposure)
    assert picture[0, 0, 0] == grey
    assert picture[24, 24, 0] == red


@pytest.mark.parametrize(("border", "level"), [("white", 255), ("black", 0)])
def test_a_border_changes_the_frame_and_nothing_else(border, level):
    frame = np.ones((SIDE, SIDE), dtype=bool)
    frame[2:-2, 2:-2] = False
    plain, framed = draw(), draw(border=border)
    assert (framed[frame] == level).all()
    np.testing.assert_array_equal(framed[~frame], plain[~frame])


def test_a_logo_changes_its_corner_and_nothing_else():
    plain = draw()
    for logo, corner in (("badge", np.s_[38:45, 38:45]), ("bar", np.s_[42:45, 3:19])):
        marked = draw(logo=logo)
        assert (marked[corner] != plain[corner]).any(axis=2).all()
        marked[corner] = plain[corner]
        np.testing.assert_array_equal(marked, plain)


@pytest.mark.parametrize(("noise", "deviation"), [("none", 0.0), ("light", 6.0), ("heavy", 16.0)])
def test_noise_has_the_deviation_it_should(noise, deviation):
    ground = draw(noise=noise, place="bottom right")[:20].astype(float)
    assert ground.std() == pytest.approx(deviation, rel=0.05, abs=1e-9)
    assert ground.mean() == pytest.approx(128, abs=1)


def test_tilt_turns_a_square_and_leaves_a_circle():
    straight, left, right = (
        cover(shape="square", jitter=value) for value in ("none", "tilted left", "tilted right")
    )
    assert (straight ^ left).sum() > 30
    assert (left ^ right).sum() > 30
    assert left.sum() == pytest.approx(straight.sum(), rel=0.05)
    np.testing.assert_array_equal(draw(jitter="tilted left"), draw())


def test_objects_are_off_their_place_by_at_most_half_a_pixel():
    pictures = {draw(seed=seed, size="small").tobytes() for seed in range(20)}
    assert len(pictures) == 20
    for seed in range(20):
        rows, columns = np.nonzero(np.abs(draw(seed=seed, size="small").astype(int)[..., 1]) < 84)
        assert abs(columns.mean() + 0.5 - 24) < 0.65
        assert abs(rows.mean() + 0.5 - 24) < 0.65


@pytest.mark.parametrize("block", [1, 7, 100])
def test_pictures_repeat_whatever_the_block_size(block):
    codes = draw_factors(50, 0.0, np.random.default_rng(0), SHARED + PICTURE)
    whole = draw_scenes(codes, np.random.default_rng(1))
    assert whole.shape == (50, SIDE, SIDE, 3)
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(draw_scenes(codes, np.random.default_rng(1), block), whole)
    assert (draw_scenes(codes, np.random.default_rng(2), block) != whole).any()
