"""Figures 18 to 22: what single atoms respond to most (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from isoenergy.measure.galleries import COLUMNS, NO_PICTURES
from isoenergy.render.style import MODALITY, WIDTH, number, settings
from isoenergy.render.tiles import draw_tile
from isoenergy.render.wrapping import PITCH, wrap, write_line

if TYPE_CHECKING:
    import pandas as pd

_ATOMS = ("atom", "energy", "frequency", "modality_score", "group")
_EVERY = list(dict.fromkeys(["table", *_ATOMS, *COLUMNS]))
# Inches: where blocks begin, a picture and the room to the next, where captions begin.
_LEFT, _TILE, _GAP, _CAPTION = 0.2, 0.62, 0.06, 0.62
_BAR, _BETWEEN, _TITLE = 0.07, 0.16, 0.25
# Lines of one caption.
_LINES = 2

# A line of a block: its height in inches, and what is drawn there.
Row = tuple[float, str, Any]


class Gallery:
    """A figure of atoms, each with its strongest images and texts.

    Parameters
    ----------
    table : str
        One of the tables of :mod:`isoenergy.measure.galleries`.
    texts : int
        Texts shown of each atom; the data hold ten.
    """

    OF = "gallery"
    MODELS, SAES = 1, 1
    METRICS = ()

    def __init__(self, table: str, texts: int) -> None:
        self.table, self.texts = table, texts
        self.TABLES = {"atoms": _ATOMS, table: COLUMNS}

    def gather(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Atoms, then the images and texts of those shown.

        Parameters
        ----------
        panel : DataFrame
            Rows of ``atoms``, a row per atom, and of the gallery, a row per image or text;
            ``table`` tells them apart.
        """
        return panel.reindex(columns=_EVERY)

    @settings()
    def draw(self, data: pd.DataFrame) -> Figure:
        """A block per atom: a row of pictures, and a list of captions.

        Parameters
        ----------
        data : DataFrame
            As gathered, of one SAE.
        """
        shown = data[data["table"] == self.table]
        atoms = data[data["table"] == "atoms"].set_index("atom")
        blocks = [
            (float(atoms["modality_score"][atom]), self._rows(own, atoms.loc[atom]))
            for (_, atom), own in shown.groupby(["place", "atom"])
        ]
        heights = [sum(height for height, *_ in rows) for _, rows in blocks]
        least = PITCH if not blocks else 0
        total = _TITLE + sum(heights) + _BETWEEN * max(len(blocks) - 1, 0) + least + 0.05
        figure = Figure(figsize=(WIDTH, total))
        write_line(figure, 0.05, 0.04, data["panel"].iloc[0], bold=True)
        top = _TITLE
        if not blocks:
            write_line(figure, 0.05, top, "no such atom is active in the pairs looked at")
        for (score, rows), tall in zip(blocks, heights, strict=True):
            bar = (0.05 / WIDTH, 1 - (top + tall) / total), _BAR / WIDTH, tall / total
            figure.add_artist(Rectangle(*bar, color=MODALITY(score), linewidth=0))
            for height, kind, content in rows:
                _DRAW[kind](figure, top, content)
                top += height
            top += _BETWEEN
        return figure

    def _rows(self, own: pd.DataFrame, atom: pd.Series) -> list[Row]:
        """What stands in the block of an atom, from the top."""
        which = f", {own['which'].iloc[0]}" if own["which"].iloc[0] else ""
        told = f"E {atom['energy']:.2g}, μ {atom['modality_score']:.2f}"
        rows: list[Row] = [(PITCH, "heading", (f"atom {own['atom'].iloc[0]}{which}", told))]
        pairs = int(own["pairs"].iloc[0])
        for side in ("image", "text"):
            part = own[own["side"] == side]
            pictured = side == "image" and (part["problem"] != NO_PICTURES.problem).any()
            told = _summary(side, part, pairs)
            if side == "image" and len(part) and not pictured:
                told += "; their captions:"
            rows.append((PITCH + 0.02, "line", told))
            if pictured:
                rows.append((_TILE + PITCH + 0.04, "tiles", part))
            else:
                listed = part.head(self.texts) if side == "text" else part
                rows += [_caption_row(entry) for _, entry in listed.iterrows()]
        return rows


def _summary(side: str, part: pd.DataFrame, pairs: int) -> str:
    """How often and how strongly an atom is active on one side."""
    if part.empty:
        return f"active in none of {pairs:,} {side}s"
    first = part.iloc[0]
    told = f"active in {int(first['active']):,} of {pairs:,} {side}s"
    return f"{told}; mean of the strongest {len(part)}: {number(first['mean_activation'])}"


def _caption_row(entry: pd.Series) -> Row:
    lines = wrap(entry["caption"], WIDTH - _CAPTION - 0.1, _LINES) or ["(no text)"]
    return (PITCH * len(lines), "caption", (number(entry["activation"]), lines))


def _draw_heading(figure: Figure, top: float, told: tuple[str, str]) -> None:
    text = write_line(figure, _LEFT, top, told[0], bold=True)
    right = text.get_window_extent().x1 / figure.dpi
    write_line(figure, right + 0.12, top, told[1])


def _draw_line(figure: Figure, top: float, line: str) -> None:
    write_line(figure, _LEFT, top, line)


def _draw_tiles(figure: Figure, top: float, part: pd.DataFrame) -> None:
    for i, (_, entry) in enumerate(part.iterrows()):
        left = _LEFT + i * (_TILE + _GAP)
        draw_tile(figure, left, top, _TILE, entry["picture"], entry["problem"])
        below = number(entry["activation"])
        write_line(figure, left + _TILE / 2, top + _TILE + 0.01, below, align="center")


def _draw_caption(figure: Figure, top: float, told: tuple[str, list[str]]) -> None:
    activation, lines = told
    write_line(figure, _LEFT, top, activation)
    for i, line in enumerate(lines):
        write_line(figure, _CAPTION, top + i * PITCH, line)


_DRAW = {
    "heading": _draw_heading,
    "line": _draw_line,
    "tiles": _draw_tiles,
    "caption": _draw_caption,
}
