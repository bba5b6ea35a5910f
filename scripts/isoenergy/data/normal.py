"""Pictures made alike: upright, 8 bits, RGB or grey, of bounded size, or why that cannot be."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from isoenergy.data.shards import MAX_PIXELS, ONE_PIXEL, TOO_MANY_PIXELS
from isoenergy.errors import InputError

# Why a picture that arrived cannot be used; the other reasons are those of the shards.
NO_PICTURE = "not a picture"
BROKEN = "picture is truncated or corrupt"

FORMATS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
_READABLE = (*FORMATS, "GIF", "BMP", "TIFF")
# Encoders read a grey picture as RGB of equal channels; to encode it anew would only lose.
_KEPT_MODES = ("RGB", "L")
_ORIENTATION = 0x0112
_QUALITY = 95


def normal_picture(content: bytes, side: int | None) -> tuple[bytes, str]:
    """Check a picture to its last byte, and make it an upright one of 8 bits and bounded size.

    One that is so already, in RGB or grey, keeps its bytes. Of an animation the first frame is
    taken; 16 bits a channel become 8, CMYK and palettes RGB; the orientation in the EXIF data is
    carried out; a shorter side of more than ``side`` pixels becomes ``side``.

    Parameters
    ----------
    content : bytes
    side : int or None
        None keeps the size.

    Returns
    -------
    content : bytes
    suffix : str
        ``".jpg"``, ``".png"`` or ``".webp"``.

    Raises
    ------
    InputError
        One of the reasons ``NO_PICTURE``, ``BROKEN``, ``TOO_MANY_PIXELS``, ``ONE_PIXEL``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = Image.open(io.BytesIO(content), formats=_READABLE)
        except Image.DecompressionBombError:
            raise InputError(TOO_MANY_PIXELS) from None
        except Exception:  # Pillow raises many kinds for broken files
            raise InputError(NO_PICTURE) from None
        if picture.width * picture.height > MAX_PIXELS:
            raise InputError(TOO_MANY_PIXELS)
        if min(picture.size) < 2:
            raise InputError(ONE_PIXEL)
        try:
            return _normal(picture, content, side)
        except Exception:  # Pillow raises many kinds for broken files
            raise InputError(BROKEN) from None


def _normal(picture: Image.Image, content: bytes, side: int | None) -> tuple[bytes, str]:
    side = side or min(picture.size)
    kept = (
        picture.format in FORMATS
        and picture.mode in _KEPT_MODES
        and getattr(picture, "n_frames", 1) == 1
        and min(picture.size) <= side
        and picture.getexif().get(_ORIENTATION, 1) == 1
    )
    suffix = FORMATS.get(picture.format, "")
    picture.load()
    if kept:
        return content, suffix
    picture = ImageOps.exif_transpose(_eight_bits(picture)).convert("RGB")
    scale = min(1.0, side / min(picture.size))
    if scale < 1:
        size = tuple(max(2, round(scale * length)) for length in picture.size)
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=_QUALITY, exif=b"")
    return buffer.getvalue(), ".jpg"


def _eight_bits(picture: Image.Image) -> Image.Image:
    """A grey picture of 16 bits or of integers as 8 bits; Pillow would clip it to white."""
    if not picture.mode.startswith("I"):
        return picture
    values = np.clip(np.asarray(picture, dtype=np.int64), 0, 2**16 - 1) >> 8
    made = Image.fromarray(values.astype(np.uint8))
    made.getexif().update(picture.getexif())
    return made
