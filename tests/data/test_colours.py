import io

import numpy as np
import pytest
from hostile import ORIENTATION, encoded, upright
from PIL import Image, features

from isoenergy.data.colours import to_rgb
from isoenergy.data.normal import SUFFIXES, normal_picture
from isoenergy.data.shards import decode_picture
from isoenergy.errors import InputError

RED = (200, 30, 30)
RAMP = np.linspace(0, 65535, 32 * 48).reshape(32, 48)


def opened(picture, form="PNG", **options):
    return Image.open(io.BytesIO(encoded(picture, form, **options)))


def half(mode="RGBA", form="PNG"):
    """A picture whose left half is red and whose right half is transparent, over hidden red."""
    picture = Image.new("RGBA", (16, 8), (*RED, 255))
    picture.paste((*RED, 0), (8, 0, 16, 8))
    return opened(picture.quantize() if mode == "P" else picture.convert(mode), form)


def keyed(mode, colour, other):
    """A PNG without an alpha channel, whose right half has the colour told to be transparent."""
    if mode == "I;16":
        values = np.where(np.arange(16) < 8, other, colour).astype(np.uint16)
        return opened(Image.fromarray(np.tile(values, (8, 1))), transparency=colour)
    picture = Image.new(mode, (16, 8), other)
    picture.paste(colour, (8, 0, 16, 8))
    return opened(picture, transparency=colour)


TRANSPARENT = {
    "RGBA": half(),
    "LA": half("LA"),
    "P": half("P"),
    "PA": half().convert("PA"),
    "WEBP": half(form="WEBP"),
    "TIFF": half(form="TIFF"),
    "GIF": half(form="GIF"),
    "RGB": keyed("RGB", (10, 20, 30), RED),
    "L": keyed("L", 7, 90),
    "1": keyed("1", 0, 1),
    "I;16": keyed("I;16", 513, 20_000),
}


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("name", TRANSPARENT)
def test_what_is_transparent_is_white_and_the_rest_as_it_was(name):
    picture = TRANSPARENT[name]
    seen = np.asarray(to_rgb(picture))
    assert (seen[:, 8:] == 255).all()
    plain = np.asarray(to_rgb(picture, "drop"))
    assert (seen[:, :8] == plain[:, :8]).all()


@pytest.mark.parametrize("name", ["RGBA", "WEBP", "TIFF", "RGB"])
def test_transparency_that_is_dropped_shows_what_it_hides(name):
    hidden = (10, 20, 30) if name == "RGB" else RED
    seen = np.asarray(to_rgb(TRANSPARENT[name], "drop"))[:, 8:].astype(int)
    # Lossless or not, WEBP may forget what nobody sees.
    assert name == "WEBP" or np.abs(seen - hidden).max() == 0
    assert name != "WEBP" or (seen != 255).any()


def test_half_transparent_pixels_are_half_white():
    grey = to_rgb(Image.new("RGBA", (2, 2), (0, 0, 0, 128)))
    assert np.asarray(grey).ravel().tolist() == [127] * 12


def test_an_opaque_alpha_channel_changes_no_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    opaque = Image.fromarray(pixels).convert("RGBA")
    assert np.array_equal(np.asarray(to_rgb(opaque)), pixels)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "GIF"])
def test_no_picture_keeps_its_transparency_in_the_shards(form):
    for transparency in ("white", "drop"):
        content, suffix = normal_picture(encoded(half(), form), None, transparency)
        assert suffix == ".jpg"
        seen = np.asarray(decode_picture(content))[:, 12:].astype(int)
        assert (np.abs(seen - 255).max() < 9) == (transparency == "white")


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_png_with_a_transparent_colour_does_not_keep_its_bytes(mode):
    picture = TRANSPARENT[mode]
    content = encoded(picture, "PNG", transparency=picture.info["transparency"])
    made, suffix = normal_picture(content, None)
    assert suffix == ".jpg"
    assert np.asarray(decode_picture(made))[:, 12:].min() > 245


@pytest.mark.parametrize(
    "values", [RAMP.astype(np.float32), (RAMP / 65535).astype(np.float32), RAMP.astype(np.int32)]
)
def test_values_without_a_known_white_are_refused_with_the_reason(values):
    content = encoded(Image.fromarray(values), "TIFF")
    with pytest.raises(InputError, match="float, signed or 32-bit values, whose black and"):
        normal_picture(content, None)
    with pytest.raises(InputError, match="float, signed or 32-bit values"):
        decode_picture(content)


def test_colours_that_pillow_does_not_turn_into_rgb_say_so():
    with pytest.raises(InputError, match=r"colours that are not read \(LAB\)"):
        normal_picture(encoded(Image.new("LAB", (8, 8)), "TIFF"), None)


def tiff(bits, photometric, content, more=()):
    """A grey TIFF of 2 rows of 4 pixels."""
    tags = [(256, 4), (257, 2), (258, bits), (259, 1), (262, photometric), (273, 8), (278, 2)]
    tags += [(279, len(content)), *more]
    body = b"".join(
        tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little")
        for tag, value in tags
    )
    head = b"II*\0" + (8 + len(content)).to_bytes(4, "little") + content
    return head + len(tags).to_bytes(2, "little") + body + bytes(4)


@pytest.mark.parametrize(
    ("bits", "photometric", "content", "grey"),
    [
        (16, 1, bytes.fromhex("0000 ff7f 00c0 ffff") * 2, [0, 127, 192, 255]),
        (16, 0, bytes.fromhex("0000 ff7f 00c0 ffff") * 2, [255, 128, 63, 0]),
        (12, 1, bytes.fromhex("0007ff c00fff") * 2, [0, 127, 192, 255]),
    ],
)
def test_deep_grey_keeps_its_shades(bits, photometric, content, grey):
    picture = Image.open(io.BytesIO(tiff(bits, photometric, content)))
    assert np.asarray(to_rgb(picture))[0, :, 0].tolist() == grey


def test_grey_that_is_multiplied_by_its_opacity_is_blended():
    made = to_rgb(Image.new("La", (2, 2), (0, 0)))
    assert made.getpixel((0, 0)) == (255, 255, 255)


def test_signed_bytes_are_refused_with_the_reason():
    content = tiff(8, 1, bytes(range(8)), [(339, 2)])
    with pytest.raises(InputError, match="signed"):
        normal_picture(content, None)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (tiff(64, 1, bytes(64), [(339, 3)]), "TIFF"),
        (bytes(3) + b"\x18ftypheic" + bytes(4) + b"mif1heic", "HEIC"),
        (b"\xff\x0a" + bytes(20), "JPEG XL"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    ],
)
def test_pictures_of_another_kind_are_named(content, kind):
    with pytest.raises(InputError, match=f"not a picture of a kind that is read \\({kind}\\)"):
        normal_picture(content, None)


@pytest.mark.parametrize("form", ["AVIF", "JPEG2000"])
@pytest.mark.skipif(
    not (features.check("avif") and features.check("jpg_2000")), reason="Pillow lacks the format"
)
def test_newer_formats_are_read_upright_and_told_when_cut(form):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture = upright("new").rotate(90, expand=True)
    options = {"exif": exif, "quality": 95} if form == "AVIF" else {}
    content = encoded(picture if form == "AVIF" else upright("new"), form, **options)
    made, suffix = normal_picture(content, None)
    assert suffix == ".jpg"
    seen = np.asarray(decode_picture(made)).astype(int)
    assert np.abs(seen - np.asarray(upright("new"))).mean() < 6
    with pytest.raises(InputError, match=r"not a picture|truncated or corrupt"):
        normal_picture(content[:-40], None)
    assert {".avif", ".jp2"} <= set(SUFFIXES)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_or_pages_the_first_is_taken(form):
    first, second = upright("1"), Image.new("RGB", (96, 64), "blue")
    options = {"lossless": True} if form == "WEBP" else {}
    content = encoded(first, form, save_all=True, append_images=[second], **options)
    seen = np.asarray(decode_picture(normal_picture(content, None)[0])).astype(int)
    assert np.abs(seen - np.asarray(first)).mean() < 12
