"""Pictures made alike: upright, opaque, 8 bits, RGB or grey, of bounded size, or why not."""

from __future__ import annotations

import io
import re
import warnings

from PIL import Image, ImageOps, features

from isoenergy.data.colours import WHITE, eight_bits, to_rgb
from isoenergy.data.shards import MAX_PIXELS, ONE_PIXEL, PICTURE_SUFFIXES, TOO_MANY_PIXELS
from isoenergy.errors import InputError

# Why a picture that arrived cannot be used; the other reasons are those of the shards.
NO_PICTURE = "not a picture"
OTHER_KIND = f"{NO_PICTURE} of a kind that is read"
BROKEN = "picture is truncated or corrupt"

FORMATS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
# Formats that Pillow reads where it was built with their libraries.
_LIBRARIES = {"AVIF": "avif", "JPEG2000": "jpg_2000"}
_BUILT_IN = tuple(name for name, library in _LIBRARIES.items() if features.check(library))
_READABLE = (*FORMATS, "GIF", "BMP", "TIFF", *_BUILT_IN)
# Suffixes by which a file in a folder is taken for a picture.
SUFFIXES = (*PICTURE_SUFFIXES, ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".j2k", ".jpx")
# How files begin that people take for pictures, of kinds that Pillow may not read.
_OTHER_KINDS = {
    "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
    "HEIC": rb".{4}ftyp(heic|heix|hevc|mif1|msf1)",
    "AVIF": rb".{4}ftypavi",
    "JPEG2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "PSD": rb"8BPS",
    "SVG": rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?<svg",
}
# Encoders read a grey picture as RGB of equal channels; to encode it anew would only lose.
_KEPT_MODES = ("RGB", "L")
_ORIENTATION = 0x0112
_QUALITY = 95


def normal_picture(
    content: bytes, side: int | None, transparency: str = WHITE
) -> tuple[bytes, str]:
    """Check a picture to its last byte, and make it an upright one of 8 bits and bounded size.

    One that is so already, in RGB or grey and opaque, keeps its bytes. Of an animation the first
    frame is taken, of several pages the first; 16 bits a channel become 8, CMYK and palettes RGB;
    the orientation in the EXIF data is carried out; a shorter side of more than ``side`` pixels
    becomes ``side``.

    Parameters
    ----------
    content : bytes
    side : int or None
        None keeps the size.
    transparency : {"white", "drop"}
        See :func:`isoenergy.data.colours.to_rgb`.

    Returns
    -------
    content : bytes
    suffix : str
        ``".jpg"``, ``".png"`` or ``".webp"``.

    Raises
    ------
    InputError
        One of the reasons ``NO_PICTURE``, ``OTHER_KIND``, ``BROKEN``, ``TOO_MANY_PIXELS``,
        ``ONE_PIXEL``, or of :mod:`isoenergy.data.colours`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = Image.open(io.BytesIO(content), formats=_READABLE)
        except Image.DecompressionBombError:
            raise InputError(TOO_MANY_PIXELS) from None
        except Exception:  # Pillow raises many kinds for broken files
            raise InputError(_no_picture(content)) from None
        if picture.width * picture.height > MAX_PIXELS:
            raise InputError(TOO_MANY_PIXELS)
        if min(picture.size) < 2:
            raise InputError(ONE_PIXEL)
        try:
            return _normal(picture, content, side, transparency)
        except InputError:
            raise
        except Exception:  # Pillow raises many kinds for broken files
            raise InputError(BROKEN) from None


def _no_picture(content: bytes) -> str:
    """Why a file is not opened, by how it begins."""
    for kind, start in _OTHER_KINDS.items():
        if kind not in _BUILT_IN and re.match(start, content, re.DOTALL):
            return f"{OTHER_KIND} ({kind})"
    return NO_PICTURE


def _normal(
    picture: Image.Image, content: bytes, side: int | None, transparency: str
) -> tuple[bytes, str]:
    side = side or min(picture.size)
    kept = (
        picture.format in FORMATS
        and picture.mode in _KEPT_MODES
        and not picture.has_transparency_data
        and getattr(picture, "n_frames", 1) == 1
        and min(picture.size) <= side
        and picture.getexif().get(_ORIENTATION, 1) == 1
    )
    suffix = FORMATS.get(picture.format, "")
    picture.load()
    if kept:
        return content, suffix
    picture = to_rgb(ImageOps.exif_transpose(eight_bits(picture)), transparency)
    scale = min(1.0, side / min(picture.size))
    if scale < 1:
        size = tuple(max(2, round(scale * length)) for length in picture.size)
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=_QUALITY, exif=b"")
    return buffer.getvalue(), ".jpg"
