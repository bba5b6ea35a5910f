import io

import numpy as np
import pytest
from PIL import Image

from isoenergy.data.shards import encode_png, write_shard
from isoenergy.data.thumbnails import BLURRED, shrink, thumbnails


def pixels_of(content):
    return np.asarray(Image.open(io.BytesIO(content), formats=["PNG"])).astype(float)


def noise(seed, height=120, width=96):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(120, 96, (50, 40)), (30, 50, (30, 50)), (4000, 2, (50, 1)), (20, 9, (20, 9))],
)
def test_the_longer_side_is_limited_and_small_pictures_are_kept(height, width, expected):
    small = pixels_of(shrink(encode_png(noise(0, height, width)), 50, blur=False))
    assert small.shape == (*expected, 3)
    if (height, width) == expected:
        np.testing.assert_array_equal(small, noise(0, height, width))


def test_of_a_blurred_picture_only_means_over_blocks_survive():
    """A fine pattern on coarse blocks: the blocks come back, of the pattern nothing does."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(60, 190, (BLURRED, BLURRED, 3))
    checks = 50 * (-1) ** np.add.outer(np.arange(120), np.arange(120))
    blocks = coarse.repeat(20, axis=0).repeat(20, axis=1)
    fine = (blocks + checks[..., None]).astype(np.uint8)
    small = pixels_of(shrink(encode_png(fine), 128, blur=True))
    assert small.shape == (BLURRED, BLURRED, 3)
    np.testing.assert_allclose(small, coarse, atol=1)
    plain = encode_png(blocks.astype(np.uint8))
    assert shrink(encode_png(fine), 128, blur=True) == shrink(plain, 128, blur=True)


@pytest.mark.parametrize("shape", [(3, 3), (1000, 7), (300, 450)])
def test_no_blurred_picture_has_more_than_six_blocks_a_side(shape):
    small = pixels_of(shrink(encode_png(noise(2, *shape)), 128, blur=True))
    assert max(small.shape[:2]) <= BLURRED


def test_a_blurred_picture_carries_nothing_beside_its_pixels():
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe at home"
    Image.fromarray(noise(3)).save(buffer, "JPEG", exif=exif)
    for blur in (False, True):
        small = Image.open(io.BytesIO(shrink(buffer.getvalue(), 64, blur)))
        assert not small.info
        assert not small.getexif()


def test_a_missing_or_broken_picture_says_so_and_costs_nothing_else(tmp_path):
    good = encode_png(noise(4, 8, 8))
    write_shard(tmp_path / "0.tar", [("a", good), ("b", b"GIF89a"), ("c", good[:60])], ".png")
    made = thumbnails(tmp_path, ["a", "b", "c", "d"], 8, blur=False)
    np.testing.assert_array_equal(pixels_of(made["a"].png), noise(4, 8, 8))
    assert made["a"].problem == ""
    for key, word in (("b", "broken"), ("c", "broken"), ("d", "missing")):
        assert made[key].png is None
        assert made[key].problem.partition(":")[0] == word
