"""Draw scenes as small RGB pictures, many at a time, with plain array arithmetic.

Every function is vectorised over pictures and deterministic given its generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from isoenergy.data.factors import BY_NAME

SIDE = 48
_COLOURS = {
    "red": (214, 39, 40),
    "orange": (255, 140, 0),
    "yellow": (245, 225, 50),
    "green": (44, 160, 44),
    "cyan": (60, 210, 220),
    "blue": (50, 90, 230),
    "purple": (140, 60, 180),
    "pink": (250, 130, 190),
}
_BACKGROUNDS = {
    "white": (250, 250, 250),
    "black": (12, 12, 12),
    "grey": (128, 128, 128),
    "brown": (110, 70, 35),
    "navy": (15, 25, 85),
    "beige": (228, 212, 178),
}
_RADII = {"small": 7.5, "medium": 10.0, "large": 12.5}
_NOISE = {"none": 0.0, "light": 6.0, "heavy": 16.0}
_EXPOSURE = {"normal": 1.0, "dim": 0.7, "bright": 1.25}
_TILT = {"none": 0.0, "tilted left": -0.25, "tilted right": 0.25}
_OFFSET = 0.5
# Objects sit around 12, 24 and 36 pixels: a grid that a 12-pixel patch sees alike at every place.
_MARGIN = 12.0
_BORDER = 2
_LOGO = 7


def _polygon(u: np.ndarray, v: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Signed distance to a convex polygon's edge lines (negative inside), corners clockwise."""
    distance = np.full_like(u, -np.inf)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length = np.hypot(x1 - x0, y1 - y0)
        normal_x, normal_y = (y1 - y0) / length, -(x1 - x0) / length
        np.maximum(distance, (u - x0) * normal_x + (v - y0) * normal_y, out=distance)
    return distance


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    angle = np.arctan2(u, -v)
    sector = 2 * np.pi / 5
    folded = np.abs((angle + sector / 2) % sector - sector / 2)
    radius = np.hypot(u, v)
    # One edge from the outer tip (radius 1.15) to the inner notch (radius 0.5).
    x, y = radius * np.cos(folded), radius * np.sin(folded)
    x1, y1 = 0.5 * np.cos(sector / 2), 0.5 * np.sin(sector / 2)
    length = np.hypot(x1 - 1.15, y1)
    return ((x - 1.15) * y1 - y * (x1 - 1.15)) / length


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y = np.abs(u), v + 0.15
    lobe = np.hypot(x - 0.45, y + 0.3) - 0.52
    wedge = np.maximum((x * 0.77 + y * 0.64) - 0.62, -(y + 0.3))
    return np.minimum(lobe, wedge)


# Each takes coordinates scaled to the object's radius and gives a signed distance in that scale.
_TRIANGLE = np.array([(0.0, -1.1), (1.0, 0.8), (-1.0, 0.8)])
_SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": lambda u, v: np.hypot(u, v) - 1.0,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) - 0.85,
    "triangle": lambda u, v: _polygon(u, v, _TRIANGLE),
    "diamond": lambda u, v: (np.abs(u) * 1.25 + np.abs(v) - 1.15) / 1.6,
    "cross": lambda u, v: np.maximum(
        np.minimum(np.abs(u), np.abs(v)) - 0.32, np.maximum(np.abs(u), np.abs(v)) - 1.0
    ),
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.78) - 0.24,
    "star": _star,
    "heart": _heart,
}


def _values(name: str, table: Mapping[str, object]) -> np.ndarray:
    """A factor's numeric values in the order of its codes."""
    return np.array([table[value] for value in BY_NAME[name].values], dtype=np.float32)


_COLOUR_RGB = _values("colour", _COLOURS)
_BACKGROUND_RGB = _values("background", _BACKGROUNDS)
_RADIUS = _values("size", _RADII)
_NOISE_SD = _values("noise", _NOISE)
_GAIN = _values("exposure", _EXPOSURE)
_ANGLE = _values("jitter", _TILT)


def _texture_light(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Multiplier of the object's colour: 1 on the plain part, 0.5 on the pattern."""
    light = np.ones_like(u)
    for code, name in enumerate(BY_NAME["texture"].values):
        rows = np.flatnonzero(texture == code)
        if name == "plain" or rows.size == 0:
            continue
        x, y = u[rows], v[rows]
        if name == "striped":
            dark = np.floor(y / 2.5) % 2 == 0
        elif name == "dotted":
            dark = ((x + 2.0) % 4 - 2.0) ** 2 + ((y + 2.0) % 4 - 2.0) ** 2 < 1.7
        else:
            dark = (np.floor(x / 3.5) + np.floor(y / 3.5)) % 2 == 0
        light[rows] = np.where(dark, np.float32(0.5), np.float32(1.0))
    return light


def _stamp_borders(pixels: np.ndarray, border: np.ndarray) -> None:
    for code, level in ((1, 255.0), (2, 0.0)):
        rows = np.flatnonzero(border == code)
        for edge in (slice(0, _BORDER), slice(-_BORDER, None)):
            pixels[rows, edge] = level
            pixels[rows, :, edge] = level


def _stamp_logos(pixels: np.ndarray, logo: np.ndarray) -> None:
    low, high = SIDE - _BORDER - 1 - _LOGO, SIDE - _BORDER - 1
    badge = np.flatnonzero(logo == 1)
    pixels[badge, low:high, low:high] = (255.0, 255.0, 255.0)
    pixels[badge, low + 2 : high - 2, low + 2 : high - 2] = (200.0, 0.0, 90.0)
    bar = np.flatnonzero(logo == 2)
    pixels[bar, high - 3 : high, _BORDER + 1 : _BORDER + 17] = (255.0, 255.0, 255.0)
    pixels[bar, high - 2 : high - 1, _BORDER + 2 : _BORDER + 16] = (0.0, 90.0, 200.0)


def draw_scenes(
    factors: Mapping[str, np.ndarray], rng: np.random.Generator, block: int = 512
) -> np.ndarray:
    """Render scenes from their factor codes.

    Parameters
    ----------
    factors : mapping of str to ndarray of shape (n,)
        Codes of the shared and picture-only factors (see ``factors.FACTORS``).
    rng : numpy.random.Generator
        Gives the sub-pixel offset of each object and the pixel noise.
    block : int
        Pictures rendered at a time (bounds the working memory).

    Returns
    -------
    ndarray of shape (n, 48, 48, 3), uint8
        RGB pictures.
    """
    n = len(factors["shape"])
    offsets = rng.uniform(-_OFFSET, _OFFSET, size=(n, 2)).astype(np.float32)
    pictures = np.empty((n, SIDE, SIDE, 3), dtype=np.uint8)
    for start in range(0, n, block):
        rows = slice(start, min(start + block, n))
        pictures[rows] = _draw_block(
            {name: codes[rows] for name, codes in factors.items()}, offsets[rows], rng
        )
    return pictures


def _draw_block(
    factors: Mapping[str, np.ndarray], offsets: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    n = len(factors["shape"])
    step = (SIDE - 2 * _MARGIN) / 2
    place = factors["place"].astype(np.int64)
    centre_x = _MARGIN + step * (place % 3) + offsets[:, 0]
    centre_y = _MARGIN + step * (place // 3) + offsets[:, 1]
    grid = np.arange(SIDE, dtype=np.float32) + 0.5
    x = grid[None, None, :] - centre_x.astype(np.float32)[:, None, None]
    y = grid[None, :, None] - centre_y.astype(np.float32)[:, None, None]
    angle = _ANGLE[factors["jitter"]][:, None, None]
    cosine, sine = np.cos(angle), np.sin(angle)
    u = cosine * x + sine * y
    v = cosine * y - sine * x

    radius = _RADIUS[factors["size"]][:, None, None]
    cover = np.empty((n, SIDE, SIDE), dtype=np.float32)
    for code, name in enumerate(BY_NAME["shape"].values):
        rows = np.flatnonzero(factors["shape"] == code)
        if rows.size:
            scaled = radius[rows]
            distance = _SHAPES[name](u[rows] / scaled, v[rows] / scaled) * scaled
            cover[rows] = np.clip(0.5 - distance, 0.0, 1.0)

    light = _texture_light(factors["texture"], u, v)
    colour = _COLOUR_RGB[factors["colour"]][:, None, None, :]
    background = _BACKGROUND_RGB[factors["background"]][:, None, None, :]
    pixels = background + cover[..., None] * (colour * light[..., None] - background)
    pixels *= _GAIN[factors["exposure"]][:, None, None, None]
    _stamp_borders(pixels, factors["border"])
    _stamp_logos(pixels, factors["logo"])
    deviation = _NOISE_SD[factors["noise"]]
    noisy = np.flatnonzero(deviation)
    noise = rng.standard_normal((noisy.size, *pixels.shape[1:]), dtype=np.float32)
    pixels[noisy] += noise * deviation[noisy, None, None, None]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
