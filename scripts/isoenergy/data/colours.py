"""Pictures of any kind as RGB of 8 bits, without transparency."""

from __future__ import annotations

import numpy as np
from PIL import Image

from isoenergy.errors import InputError

# What is seen through transparent pixels: a white page, or the colours that they hide.
WHITE, DROP = "white", "drop"
# Why the colours of a picture cannot be told.
NO_WHITE = "picture has float, signed or 32-bit values, whose black and white are not known"
NO_RGB = "picture has colours that are not read"
_BITS, _PHOTOMETRIC, _SAMPLES = 258, 262, 339
_SIGNED = 2
_WHITE_IS_ZERO = 0


def to_rgb(picture: Image.Image, transparency: str = WHITE) -> Image.Image:
    """A picture in RGB, 8 bits a channel.

    Parameters
    ----------
    picture : Image
        Of any mode; several frames are not looked at.
    transparency : {"white", "drop"}
        ``"white"`` blends transparent pixels on white, as a page shows them and img2dataset stores
        them. ``"drop"`` leaves their hidden colours, often black, as the authors' conversion does.

    Raises
    ------
    InputError
        ``NO_WHITE`` or ``NO_RGB``.
    """
    picture = eight_bits(picture)
    if picture.mode == "La":  # grey, multiplied by its opacity, which Pillow converts to LA alone
        picture = picture.convert("LA")
    if picture.mode == "LAB":
        raise InputError(f"{NO_RGB} (LAB)")
    if transparency == DROP or not picture.has_transparency_data:
        return picture.convert("RGB")
    page = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(page, picture.convert("RGBA")).convert("RGB")


def eight_bits(picture: Image.Image) -> Image.Image:
    """A grey picture of 9 to 16 bits as 8 bits, which Pillow would clip to white; others as is.

    Raises
    ------
    InputError
        ``NO_WHITE`` for float, for signed and for 32-bit values.
    """
    tags = getattr(picture, "tag_v2", {})
    # Pillow reads signed bytes as if they were not.
    if picture.mode in ("I", "F") or _SIGNED in tags.get(_SAMPLES, ()):
        raise InputError(NO_WHITE)
    if not picture.mode.startswith("I;16"):
        return picture
    # TIFF alone keeps 12 bits as they are, and white as 0.
    (bits,) = tags.get(_BITS, (16,))
    values = np.asarray(picture, dtype=np.int64)
    grey = values >> (bits - 8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    made = Image.fromarray(grey.astype(np.uint8))
    if isinstance(hidden := picture.info.get("transparency"), int):
        made.putalpha(Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)))
    made.getexif().update(picture.getexif())
    return made
