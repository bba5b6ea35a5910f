"""Figure 5: semantic arithmetic with all atoms and with bimodal ones alone, a schematic.

Everything lies on a unit sphere with three axes: what a picture or text is about (red to blue),
which bimodal atoms carry, and a bias of all images and one of all texts, which unimodal atoms
carry. The sphere is seen from between both biases, so that the gap runs from top to bottom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.patheffects import withStroke

from isoenergy.measure.retrieval import unit_rows
from isoenergy.render.style import PALETTE, WIDTH, label, settings, shade
from isoenergy.seeds import generator

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

OF = "schematic"
MODELS, SAES = 1, None
TABLES: dict[str, tuple[str, ...]] = {}
METRICS = ()

# Length of the bias, and of what the ruby and the sapphire are about; unit norm together.
BIAS, CONTENT = 0.8, 0.6
_CLOUD, _SPREAD = 130, 0.07
_SEED = 5
# Columns are the screen's axes: content to the right, images up and texts down.
_SCREEN = np.array([[1, 0], [0, 1], [0, -1]]) / [1, np.sqrt(2)]
_GEMS = {"ruby": "#b3123e", "sapphire": "#1d2f8f"}
# A cut stone from the side: its table, girdle and point.
_GEM = Path(np.array([[-0.5, 0.45], [0.5, 0.45], [1, 0], [0, -1], [-1, 0], [-0.5, 0.45]]))
_BALL = "#f6f6f6"
_HEIGHT = 4.4
_LIMIT = 1.04


def name_vectors() -> dict[str, np.ndarray]:
    """Every vector of the drawing, ndarrays of shape (3,): content, image bias, text bias.

    ``delta`` is Text + Blue - Red, of which ``delta_bimodal`` is what bimodal atoms carry and
    ``delta_unimodal`` the rest; ``Q`` and ``Q_SAE`` are the sums of either with the source, and
    ``Q_unit`` is Q on the sphere.
    """
    source = np.array([-CONTENT, BIAS, 0])
    bimodal, unimodal = np.array([2 * CONTENT, 0, 0]), np.array([0, 0, BIAS])
    query = source + bimodal + unimodal
    return {
        "source": source,
        "target": np.array([CONTENT, BIAS, 0]),
        "delta_bimodal": bimodal,
        "delta_unimodal": unimodal,
        "delta": bimodal + unimodal,
        "Q": query,
        "Q_unit": query / np.linalg.norm(query),
        "Q_SAE": source + bimodal,
    }


def draw_clouds(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Embeddings of other images and texts on the sphere, ndarrays of shape (130, 3)."""
    biases = {"image": np.array([0, BIAS, 0]), "text": np.array([0, 0, BIAS])}
    clouds = {}
    for name, bias in biases.items():
        content = rng.uniform(-1.1 * CONTENT, 1.1 * CONTENT, _CLOUD)
        noise = _SPREAD * rng.standard_normal((_CLOUD, 3))
        clouds[name] = unit_rows(bias + noise + np.outer(content, [1, 0, 0]))
    return clouds


def gather(panel: pd.DataFrame) -> pd.DataFrame:
    """The geometry: a row per point and vector.

    Parameters
    ----------
    panel : DataFrame
        Empty: there are no numbers but those of the drawing.

    Returns
    -------
    DataFrame
        ``part`` (``"embedding"`` or ``"vector"``), ``name`` (modality, or which vector), its
        coordinates ``content``, ``image_bias`` and ``text_bias``, and where it is seen, ``x`` and
        ``y``.
    """
    import pandas as pd

    del panel
    vectors, clouds = name_vectors(), draw_clouds(generator(_SEED, "arithmetic"))
    places = np.concatenate([*clouds.values(), list(vectors.values())])
    names = [name for name, cloud in clouds.items() for _ in cloud] + list(vectors)
    parts = ["embedding"] * (len(names) - len(vectors)) + ["vector"] * len(vectors)
    axes = dict(zip(("content", "image_bias", "text_bias"), places.T, strict=True))
    seen = dict(zip("xy", (places @ _SCREEN).T, strict=True))
    return pd.DataFrame({"part": parts, "name": names, **axes, **seen})


@settings()
def draw(data: pd.DataFrame) -> Figure:
    """Two spheres: the sum with all of the edit, and with what bimodal atoms carry of it.

    Parameters
    ----------
    data : DataFrame
        As gathered.
    """
    figure = Figure(figsize=(WIDTH, _HEIGHT))
    left, right = (figure.add_axes((x, 0.14, 0.47, 0.75)) for x in (0.015, 0.515))
    vectors = data[data["part"] == "vector"].set_index("name")[["x", "y"]]
    at = {name: row.to_numpy(dtype=float) for name, row in vectors.iterrows()}
    for ax in (left, right):
        _draw_sphere(ax, data[data["part"] == "embedding"])
    label(left, "all atoms", r"$Q = I_{\mathrm{src}} + \Delta$", WIDTH / 2)
    _arrow(left, at["source"], at["Q_SAE"], "bimodal", linewidth=1.2)
    _arrow(left, at["Q_SAE"], at["Q"], "text", linewidth=1.2)
    _arrow(left, at["source"], at["Q"], None)
    _tell(left, (at["source"] + at["Q"]) / 2, r"$\Delta$", (-9, -9))
    # From the sum to its place on the sphere.
    left.plot(*np.array([at["Q"], at["Q_unit"]]).T, color="black", linewidth=0.8, linestyle=":")
    left.plot(*at["Q_unit"], "o", color="black", markersize=6)
    _tell(left, at["Q_unit"], "$Q$, far from every image", (0, -14))
    left.plot(*at["Q"], "xk", markersize=8, markeredgewidth=1.8)
    note = r"$Q_{\mathrm{SAE}} = I_{\mathrm{src}} + \tilde\Delta$"
    label(right, "bimodal atoms alone", note, WIDTH / 2)
    _tell(right, at["target"], "among the images", (-22, -24))
    _arrow(right, at["source"], at["Q_SAE"], "bimodal")
    _tell(right, (at["source"] + at["Q_SAE"]) / 2, r"$\tilde\Delta$", (-30, -14))
    for ax, told in ((left, "target"), (right, r"$Q_{\mathrm{SAE}}$ = target")):
        _draw_gem(ax, at["source"], "ruby")
        _draw_gem(ax, at["target"], "sapphire")
        _tell(ax, at["source"], r"$I_{\mathrm{src}}$", (0, 12))
        _tell(ax, at["target"], told, (0, 12))
    right.plot(*at["Q_SAE"], "x", color="white", markersize=7, markeredgewidth=1.8)
    figure.legend(
        handles=_handles(), loc="lower center", ncols=3, handlelength=1.5, columnspacing=1.6
    )
    figure.text(
        0.995, 0.99, data["panel"].iloc[0], ha="right", va="top", style="italic", color="#767676"
    )
    return figure


def _draw_sphere(ax: Axes, embeddings: pd.DataFrame) -> None:
    """The sphere's outline, with images and texts on it."""
    around = np.linspace(0, 2 * np.pi, 200)
    ax.fill(np.cos(around), np.sin(around), facecolor=_BALL, edgecolor="#b8b8b8", linewidth=0.8)
    for modality, y in (("image", 0.86), ("text", -0.87)):
        own = embeddings[embeddings["name"] == modality]
        ax.scatter(own["x"], own["y"], s=9, color=PALETTE[modality], alpha=0.5, linewidths=0)
        ax.text(0, y, f"{modality}s", ha="center", va="center", color=shade(PALETTE[modality]))
    ax.set(xlim=(-_LIMIT, _LIMIT), ylim=(-_LIMIT, _LIMIT), aspect="equal")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _draw_gem(ax: Axes, at: np.ndarray, name: str) -> None:
    look = {"markersize": 15, "markeredgecolor": "white", "markeredgewidth": 1}
    ax.plot(*at, marker=_GEM, color=_GEMS[name], linestyle="none", **look)


def _arrow(ax: Axes, start: np.ndarray, end: np.ndarray, part: str | None, **look: float) -> None:
    """An arrow in the colour of what carries it, black for all of the edit."""
    colour = PALETTE[part] if part else "black"
    shape = {"arrowstyle": "-|>", "mutation_scale": 11, "shrinkA": 8, "shrinkB": 6}
    ax.annotate("", end, start, arrowprops={**shape, "color": colour, "linewidth": 1.8, **look})


def _tell(ax: Axes, at: np.ndarray, told: str, offset: tuple[float, float], **look) -> None:
    look = {"textcoords": "offset points", "ha": "center", "va": "center", **look}
    ax.annotate(told, at, offset, path_effects=[withStroke(linewidth=3, foreground=_BALL)], **look)


def _handles() -> list[Line2D]:
    """What each line and mark is."""
    lines = [
        ("black", "edit Δ: “not red but blue”"),
        (PALETTE["bimodal"], "its bimodal atoms: red to blue"),
        (PALETTE["text"], "its unimodal atoms: text bias"),
    ]
    marks = [
        (_GEMS["ruby"], _GEM, "ruby, the source"),
        (_GEMS["sapphire"], _GEM, "sapphire, the target"),
        ("black", "x", "sum, before normalisation"),
    ]
    drawn = [
        (
            Line2D([], [], color=line, linewidth=1.8, label=told),
            Line2D([], [], color=mark, marker=marker, linestyle="none", markersize=9, label=name),
        )
        for (line, told), (mark, marker, name) in zip(lines, marks, strict=True)
    ]
    return [handle for pair in drawn for handle in pair]
