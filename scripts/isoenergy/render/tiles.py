"""Small pictures in a figure, placed in inches from its upper left corner."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from isoenergy.render.style import DPI
from isoenergy.render.wrapping import PITCH, width_of, write_line

_GREY = "#d9d9d9"
# A thumbnail holds far fewer; the file may have been changed since it was written.
_MOST_PIXELS = 1_000_000


def draw_tile(
    figure: Figure, left: float, top: float, side: float, picture: bytes | None, problem: str
) -> None:
    """Draw a picture in the middle of a square; a grey one that says why where there is none.

    Parameters
    ----------
    figure : Figure
    left, top, side : float
        The square, in inches.
    picture : bytes or None
        A stored thumbnail, PNG.
    problem : str
        Its first word, up to a colon, is drawn.
    """
    width, height = figure.get_size_inches()
    ax = figure.add_axes((left / width, 1 - (top + side) / height, side / width, side / height))
    ax.axis("off")
    pixels = _read(picture)
    if pixels is not None:
        rows, columns = pixels.shape[:2]
        # Nothing is invented between pixels; those of a picture made unrecognisable are seen.
        enlarged = max(rows, columns) < side * DPI
        ax.imshow(pixels, interpolation="nearest" if enlarged else "antialiased")
        frame = Rectangle((-0.5, -0.5), columns, rows, fill=False, linewidth=0.4, edgecolor=_GREY)
        ax.add_patch(frame).set_clip_on(False)
        return
    ax.add_patch(Rectangle((0, 0), 1, 1, facecolor=_GREY, linewidth=0))
    word = problem.partition(":")[0] or "broken"
    word = word if width_of(word) <= side else "–"
    write_line(figure, left + side / 2, top + (side - PITCH) / 2, word, align="center")


def _read(picture: object) -> np.ndarray | None:
    """The pixels of a stored thumbnail; None where there is none, or it is no small PNG."""
    if not isinstance(picture, bytes):
        return None
    try:
        image = Image.open(io.BytesIO(picture), formats=["PNG"])
        if image.width * image.height > _MOST_PIXELS:
            return None
        return np.asarray(image.convert("RGB"))
    except Exception:  # Pillow raises many kinds for broken files
        return None
