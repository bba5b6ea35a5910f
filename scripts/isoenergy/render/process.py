"""Figure 1: how concepts become embeddings, and which atoms bring them back, a schematic.

Concepts are rendered as an image and a text, encoded, and decomposed again. Many dictionaries
explain the same embeddings; equal energy in both modalities tells one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Patch, Polygon, Rectangle

from isoenergy.render.style import PALETTE, WIDTH, settings, shade
from isoenergy.seeds import generator

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

OF = "schematic"
MODELS, SAES = 1, None
TABLES: dict[str, tuple[str, ...]] = {}
METRICS = ()

# The page is drawn in inches, from its lower left corner.
_HEIGHT = 5.3
# Concept, its group, and whether this image and text have it.
CONCEPTS = (
    ("rabbit", "bimodal", True),
    ("running", "bimodal", True),
    ("forest", "bimodal", True),
    ("car", "bimodal", False),
    ("cropping", "image", True),
    ("stock photo", "text", True),
)
# Atoms of two dictionaries with their energy in images and in texts.
DICTIONARIES = {
    "split": (
        ("rabbit", 1.0, 0.0),
        ("rabbit", 0.0, 1.0),
        ("forest", 0.7, 0.0),
        ("forest", 0.0, 0.7),
        ("cropping", 0.45, 0.0),
        ("stock photo", 0.0, 0.45),
    ),
    "iso-energy": (
        ("rabbit", 1.0, 1.0),
        ("forest", 0.7, 0.7),
        ("cropping", 0.45, 0.0),
        ("stock photo", 0.0, 0.45),
    ),
}
# Cards and the sphere: left, bottom, width, height.
_PICTURE, _CAPTION = (2.3, 4.0, 1.3, 0.9), (2.3, 2.86, 1.3, 0.78)
_BALL, _RADIUS = np.array([5.55, 3.88]), 0.9
# Of each cloud of embeddings: its centre from the ball's, as (x, y), and the marked pair's.
_CLOUDS = {"image": (0.0, 0.52), "text": (0.0, -0.52)}
_PAIR = {"image": (-0.26, 0.5), "text": (-0.22, -0.5)}
_WORDS = (
    ("“stock photo:", shade(PALETTE["text"])),
    ("a rabbit runs", "black"),
    ("in a forest”", "black"),
)
_CLOUD, _SPREAD, _SEED = 60, (0.26, 0.075), 1
# From the middle of an arrow to its letter.
_BESIDE = {"image": (0, 0.17), "text": (0, -0.17), "split": (0.05, -0.2), "iso-energy": (0.17, 0)}
# Bars: left ends of both charts, their floor, inches per unit of energy, and widths.
_CHARTS, _FLOOR, _UNIT = {"split": 0.2, "iso-energy": 4.05}, 1.17, 0.62
_STEP, _BAR = {"split": 0.52, "iso-energy": 0.72}, 0.15
_SKY, _GROUND, _TREE, _TRUNK, _FUR = "#dcebf5", "#cfdcc0", "#4f7a55", "#6e5a48", "#8a6b52"
# Pieces of the picture from its lower left corner, in its own width and height: centre, size.
_SCENE = (
    ("rectangle", _SKY, 0.5, 0.5, 1.0, 1.0),
    ("rectangle", _GROUND, 0.5, 0.16, 1.0, 0.32),
    ("rectangle", _TRUNK, 0.16, 0.34, 0.04, 0.16),
    ("triangle", _TREE, 0.16, 0.63, 0.26, 0.5),
    ("rectangle", _TRUNK, 0.42, 0.38, 0.03, 0.12),
    ("triangle", _TREE, 0.42, 0.6, 0.19, 0.38),
    ("rectangle", _TRUNK, 0.97, 0.34, 0.04, 0.16),
    ("triangle", _TREE, 0.97, 0.66, 0.32, 0.56),
    ("ellipse", _FUR, 0.6, 0.24, 0.22, 0.17),
    ("ellipse", _FUR, 0.71, 0.33, 0.11, 0.13),
    ("ellipse", _FUR, 0.67, 0.46, 0.035, 0.18),
    ("ellipse", _FUR, 0.71, 0.46, 0.035, 0.18),
    ("ellipse", _FUR, 0.69, 0.13, 0.14, 0.05),
    ("ellipse", _FUR, 0.51, 0.13, 0.14, 0.05),
    ("ellipse", "white", 0.495, 0.28, 0.05, 0.07),
)


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """The geometry: a row per concept, card, piece of the picture, embedding, arrow and bar.

    Parameters
    ----------
    panel : DataFrame
        Empty: there are no numbers but those of the drawing.

    Returns
    -------
    DataFrame
        ``part``, ``name``, ``group`` (whose colour it has), and in inches its place ``x``, ``y``
        and its size or, for an arrow, its way ``width``, ``height``; a concept's is 1 where the
        image and text have it.
    """
    import pandas as pd

    del panel
    rows = [*_concepts(), *_cards(), *_embeddings(), *_arrows(), *_bars()]
    columns = ["part", "name", "group", "x", "y", "width", "height"]
    sizes = dict.fromkeys(columns[3:], float)
    return pd.DataFrame(rows, columns=columns).astype(sizes)


def _concepts() -> list[tuple]:
    rows = []
    for i, (name, group, there) in enumerate(CONCEPTS):
        rows.append(("concept", name, group, 0.28, 4.72 - 0.3 * i, there, there))
    return rows


def _cards() -> list[tuple]:
    left, bottom, width, height = _PICTURE
    pieces = [
        ("picture", kind, colour, left + width * x, bottom + height * y, width * w, height * h)
        for kind, colour, x, y, w, h in _SCENE
    ]
    return [*pieces, ("card", "image", "image", *_PICTURE), ("card", "text", "text", *_CAPTION)]


def _embeddings() -> list[tuple]:
    rng = generator(_SEED, "process")
    rows = []
    for name, centre in _CLOUDS.items():
        for x, y in _BALL + centre + rng.standard_normal((_CLOUD, 2)) * _SPREAD:
            rows.append(("embedding", name, name, x, y, 0, 0))
        rows.append(("pair", name, name, *(_BALL + _PAIR[name]), 0, 0))
    return rows


def _arrows() -> list[tuple]:
    rows = []
    for name, (left, bottom, width, height) in (("image", _PICTURE), ("text", _CAPTION)):
        middle = bottom + height / 2
        start = (1.5, 3.98 + 0.12 * (1 if name == "image" else -1))
        to = _BALL + _PAIR[name]
        out = left + width + 0.06
        rows.append(("arrow", f"g_{name}", name, *start, left - 0.06 - start[0], middle - start[1]))
        rows.append(("arrow", f"f_{name}", name, out, middle, to[0] - 0.07 - out, to[1] - middle))
    for name, group, start, end in (
        ("φ_split", "noise", (5.1, 2.98), (2.35, 2.45)),
        ("φ_iso-energy", "bimodal", (5.55, 2.9), (5.55, 2.45)),
    ):
        rows.append(("arrow", name, group, *start, *np.subtract(end, start)))
    return rows


def _bars() -> list[tuple]:
    rows = []
    for dictionary, atoms in DICTIONARIES.items():
        for i, (name, *energies) in enumerate(atoms):
            x = _CHARTS[dictionary] + _STEP[dictionary] * (i + 0.5)
            image, text = energies
            group = "bimodal" if image and text else "image" if image else "text"
            rows.append((dictionary, name, group, x, _FLOOR - 0.14, 0, 0))
            for modality, energy, left in (("image", image, x - _BAR), ("text", text, x)):
                bar = (f"{dictionary}, energy", name, modality, left, _FLOOR, _BAR, _UNIT * energy)
                rows.append(bar)
    return rows


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """The process above, two dictionaries that explain it below.

    Parameters
    ----------
    data : DataFrame
        As gathered.
    """
    figure = Figure(figsize=(WIDTH, _HEIGHT))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(0, _HEIGHT))
    ax.set_axis_off()
    parts = dict(list(data.groupby("part")))
    for x, told in ((0.2, "concepts"), (2.3, "image and text"), (4.65, "embeddings")):
        ax.text(x, 5.05, told, fontweight="bold")
    ax.text(6.85, 5.05, data["panel"].iloc[0], ha="right", style="italic", color="#767676")
    _draw_concepts(ax, parts["concept"])
    _draw_cards(ax, parts["card"], parts["picture"])
    _draw_embeddings(ax, parts["embedding"], parts["pair"])
    _draw_arrows(ax, parts["arrow"])
    for dictionary in DICTIONARIES:
        _draw_dictionary(ax, parts[dictionary], parts[f"{dictionary}, energy"])
    _draw_words(ax)
    figure.legend(handles=_handles(), loc="lower center", ncols=3, columnspacing=3)
    return figure


def _draw_concepts(ax: Axes, concepts: pd.DataFrame) -> None:
    for _, row in concepts.iterrows():
        colour = PALETTE[row["group"]]
        face = colour if row["width"] else "white"
        ax.plot(row["x"], row["y"], "o", color=colour, markerfacecolor=face, markersize=9)
        ax.text(
            row["x"] + 0.16,
            row["y"],
            row["name"],
            va="center",
            color="black" if row["width"] else "#767676",
        )


def _draw_cards(ax: Axes, cards: pd.DataFrame, pieces: pd.DataFrame) -> None:
    # Above the picture, which ends at its frame.
    look = {"fill": False, "linewidth": 1.6, "zorder": 2}
    frames = {}
    for _, row in cards.iterrows():
        box = (row["x"], row["y"]), row["width"], row["height"]
        frames[row["name"]] = Rectangle(*box, edgecolor=PALETTE[row["group"]], **look)
        ax.add_patch(frames[row["name"]])
    for _, row in pieces.iterrows():
        centre, size = row[["x", "y"]].to_numpy(float), row[["width", "height"]].to_numpy(float)
        look = {"color": row["group"], "linewidth": 0}
        if row["name"] == "ellipse":
            shape = Ellipse(centre, *size, **look)
        else:
            # A triangle stands on its side, a rectangle has two corners where that has its top.
            top = [0, 0] if row["name"] == "triangle" else [-1, 1]
            corners = np.array([[-1, -1], [top[0], 1], [top[1], 1], [1, -1]]) / 2
            shape = Polygon(centre + corners * size, **look)
        ax.add_patch(shape)
        shape.set_clip_path(frames["image"])
    left, bottom, _, height = _CAPTION
    for line, (told, colour) in enumerate(_WORDS):
        y = bottom + height * (0.8 - 0.3 * line)
        ax.text(left + 0.1, y, told, color=colour, va="center")


def _draw_embeddings(ax: Axes, points: pd.DataFrame, pair: pd.DataFrame) -> None:
    around = np.linspace(0, 2 * np.pi, 200)
    rim = _BALL[:, None] + _RADIUS * np.array([np.cos(around), np.sin(around)])
    ax.fill(*rim, facecolor="#f6f6f6", edgecolor="#b8b8b8", linewidth=0.8, zorder=0)
    colours = [PALETTE[name] for name in points["group"]]
    ax.scatter(points["x"], points["y"], s=9, c=colours, alpha=0.45, linewidths=0)
    for _, row in pair.iterrows():
        look = {"markersize": 7, "markeredgecolor": "white", "zorder": 4}
        ax.plot(row["x"], row["y"], "o", color=PALETTE[row["group"]], **look)
    ax.text(*_BALL, "modality gap", ha="center", va="center", color="#767676")


def _draw_arrows(ax: Axes, arrows: pd.DataFrame) -> None:
    look = {"arrowstyle": "-|>", "mutation_scale": 11, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
    for _, row in arrows.iterrows():
        start = row[["x", "y"]].to_numpy(float)
        way = row[["width", "height"]].to_numpy(float)
        colour = PALETTE[row["group"]]
        ax.annotate("", start + way, start, arrowprops={**look, "color": colour}, zorder=3)
        letter, _, index = row["name"].partition("_")
        told = "$φ$" if letter == "φ" else rf"${letter}_{{\mathrm{{{index}}}}}$"
        ax.text(*(start + 0.45 * way + _BESIDE[index]), told, ha="center", va="center")


def _draw_dictionary(ax: Axes, atoms: pd.DataFrame, bars: pd.DataFrame) -> None:
    for _, row in bars.iterrows():
        place = (row["x"], row["y"])
        ax.add_patch(
            Rectangle(place, row["width"], row["height"], color=PALETTE[row["group"]], lw=0)
        )
    left, right = atoms["x"].min() - 0.25, atoms["x"].max() + 0.25
    ax.plot([left, right], [_FLOOR] * 2, color="black", linewidth=0.8)
    for _, row in atoms.iterrows():
        ax.plot(row["x"], row["y"], "o", color=PALETTE[row["group"]], markersize=9)
        ax.text(row["x"], row["y"] - 0.12, row["name"].replace(" ", "\n"), ha="center", va="top")


def _draw_words(ax: Axes) -> None:
    """What each dictionary does."""
    ax.text(0.2, 2.72, "atoms", fontweight="bold")
    told = {
        "split": ("SAE: may split a concept in two", "rebuilds the embeddings"),
        "iso-energy": ("SAE-A: one atom of equal energy", "rebuilds them just as well"),
    }
    for dictionary, (name, note) in told.items():
        ax.text(_CHARTS[dictionary], 2.27, name)
        ax.text(_CHARTS[dictionary], 2.07, note, color="#767676")
    place = _CHARTS["iso-energy"] + 3 * _STEP["iso-energy"]
    ax.text(place, _FLOOR + 0.35, "stay unimodal", ha="center", color="#767676")


def _handles() -> list[Line2D | Patch]:
    """What colours mean."""
    dots = {"bimodal": "bimodal: in both", "image": "image only", "text": "text only"}
    bars = {"image": "energy in images", "text": "energy in texts"}
    look = {"marker": "o", "linestyle": "none", "markersize": 9}
    first = [Line2D([], [], color=PALETTE[name], label=told, **look) for name, told in dots.items()]
    last = Line2D([], [], color=PALETTE["bimodal"], markerfacecolor="white", label="absent", **look)
    rest = [Patch(color=PALETTE[name], label=told) for name, told in bars.items()]
    handles = [*first, last, *rest]
    return [handles[i] for i in (0, 3, 1, 4, 2, 5)]
