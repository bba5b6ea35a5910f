import io
import os
import subprocess
import sys

import numpy as np
import pytest
from hostile import encoded, huge_png, pictures, stuffed_png, turned, upright
from PIL import Image

from isoenergy.data.normal import normal_picture
from isoenergy.errors import InputError


def _pixels(content):
    picture = Image.open(io.BytesIO(content))
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(int)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(orientation):
    right = np.asarray(upright("F up")).astype(int)
    got, _ = normal_picture(turned(upright("F up"), orientation), 512)
    assert _pixels(got).shape == right.shape
    assert np.abs(_pixels(got) - right).mean() < 4


@pytest.mark.parametrize(
    ("name", "suffix"), [("good0", ".jpg"), ("png", ".png"), ("webp", ".webp")]
)
def test_a_plain_picture_keeps_its_bytes(name, suffix):
    content = pictures(1)[name]
    assert normal_picture(content, 512) == (content, suffix)


@pytest.mark.parametrize("name", ["alpha", "cmyk", "animated"])
def test_other_kinds_become_rgb_and_look_the_same(name):
    text = "0" if name == "animated" else name
    got, suffix = normal_picture(pictures(1)[name], 512)
    assert suffix == ".jpg"
    assert np.abs(_pixels(got) - np.asarray(upright(text)).astype(int)).mean() < 12


def test_sixteen_bits_keep_their_shades():
    got, _ = normal_picture(pictures(1)["deep"], 512)
    ramp = _pixels(got)[..., 0].ravel()
    assert ramp[0] <= 3
    assert ramp[-1] >= 252
    assert abs(ramp.mean() - 127.5) < 2  # clipped to 8 bits it would be all but white


def test_a_large_picture_is_reduced_to_its_shorter_side():
    got, _ = normal_picture(pictures(1)["wide"], 512)
    assert _pixels(got).shape == (512, 1024, 3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not a picture"),
        (b"<html></html>", "not a picture"),
        (pictures(1)["good0"][:700], "truncated or corrupt"),
        (encoded(upright("x"), "PNG")[:-60], "truncated or corrupt"),
        (encoded(Image.new("RGB", (1, 9)), "PNG"), "side of one pixel"),
        (huge_png(20_000, 20_000), "too many pixels"),
        (huge_png(9_000, 9_000), "too many pixels"),
    ],
)
def test_what_cannot_be_used_says_why(content, told):
    with pytest.raises(InputError, match=told):
        normal_picture(content, 512)


_PROBE = """
import resource, sys
from pathlib import Path
from isoenergy.data.normal import normal_picture
from isoenergy.errors import InputError
normal_picture(Path(sys.argv[1]).read_bytes(), 512)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    told = normal_picture(Path(sys.argv[2]).read_bytes(), 512)[1]
except InputError as error:
    told = str(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, told)
"""


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("IDAT", ".jpg"),  # more than the picture needs is never made
        ("zTXt", "not a picture"),
        ("iTXt", "not a picture"),
        ("iCCP", "not a picture"),
    ],
)
def test_a_chunk_of_a_png_that_inflates_to_400_megabytes_takes_no_memory(
    root, tmp_path, kind, told
):
    (tmp_path / "good").write_bytes(pictures(1)["alpha"])
    (tmp_path / "bomb").write_bytes(stuffed_png(kind))
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(tmp_path / "good"), str(tmp_path / "bomb")],
        env={**os.environ, "PYTHONPATH": str(root / "scripts")},
        capture_output=True,
        text=True,
        check=True,
    )
    megabytes, _, found = done.stdout.strip().partition(" ")
    assert found == told
    assert int(megabytes) < 40
