"""Small copies of a data set's pictures, for figures."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from isoenergy.data.shards import decode_picture, encode_png, read_pictures
from isoenergy.errors import InputError

# The longer side of a picture that is made unrecognisable, in pixels.
BLURRED = 6
# Figures show pictures and texts of the first pairs of a data set alone (SPEC 6.2).
SHOWN_PAIRS = 100_000
CAPTION_LIMIT = 200


@dataclass(frozen=True)
class Thumbnail:
    """A small picture, or why there is none.

    Attributes
    ----------
    png : bytes or None
    problem : str
        Empty, or a word and the reason, as in ``"broken: picture cannot be decoded (OSError)"``.
    """

    png: bytes | None
    problem: str


MISSING = Thumbnail(None, "missing: it is not in the picture shards")


def shrink(content: bytes, side: int, blur: bool) -> bytes:
    """A small PNG of an encoded picture.

    Parameters
    ----------
    content : bytes
    side : int
        The longer side of the result is at most this, in pixels.
    blur : bool
        Keep means over blocks alone, at most 6 x 6 of them, a pixel each: nobody can be
        recognised, and nothing finer is stored.

    Raises
    ------
    InputError
        As :func:`isoenergy.data.shards.decode_picture`.
    """
    picture = decode_picture(content)
    longer = max(picture.size)
    scale = min(1, (BLURRED if blur else side) / longer)
    size = tuple(max(1, round(scale * length)) for length in picture.size)
    how = Image.Resampling.BOX if blur else Image.Resampling.LANCZOS
    return encode_png(np.asarray(picture.resize(size, how)))


def thumbnails(
    images: str | Path, keys: Collection[str], side: int, blur: bool
) -> dict[str, Thumbnail]:
    """Small copies of some pictures, by key; one that is missing or broken costs nothing else.

    Parameters
    ----------
    images : path
        Folder of picture shards.
    keys : collection of str
    side, blur
        As :func:`shrink`.
    """
    made = dict.fromkeys(keys, MISSING)
    for key, content in read_pictures(images, keys):
        try:
            made[key] = Thumbnail(shrink(content, side, blur), "")
        except InputError as error:
            made[key] = Thumbnail(None, f"broken: {error}")
    return made
