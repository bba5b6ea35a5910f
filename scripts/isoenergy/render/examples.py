"""Figures 26 and 27: what the data sets are like (SPEC 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from isoenergy.data.examples import COLUMNS, EDIT_COLUMNS
from isoenergy.render.style import WIDTH, settings
from isoenergy.render.tiles import draw_tile
from isoenergy.render.wrapping import PITCH, wrap, write_line

if TYPE_CHECKING:
    import pandas as pd

# Inches: a picture, from one example to the next, the heading of a data set, between rows.
_TITLE, _BETWEEN, _MARGIN = 0.25, 0.12, 0.05
_LINES = 6


class Examples:
    """A figure of examples of data sets, a row or more of each.

    Parameters
    ----------
    of : {"examples", "edits"}
        Pictures with a caption, or source and target pictures with relative captions.
    across : int
        Examples side by side.
    side : float
        Inches of a picture.
    """

    MODELS, SAES = None, None
    METRICS = ()

    def __init__(self, of: str, across: int, side: float) -> None:
        self.OF, self.across, self.side = of, across, side
        self.TABLES = {"examples": EDIT_COLUMNS if of == "edits" else COLUMNS}

    def gather(self, panel: pd.DataFrame) -> pd.DataFrame:
        """The examples of one data set, as they are stored."""
        return panel

    @settings()
    def draw(self, data: pd.DataFrame) -> Figure:
        """Examples of every data set under its name.

        Parameters
        ----------
        data : DataFrame
            As gathered; a panel is a data set.
        """
        step = (WIDTH - _MARGIN) / self.across
        pieces: list[tuple[float, str | list]] = []
        for panel, own in data.groupby("panel", sort=False):
            pieces.append((_TITLE, panel))
            entries = [
                (entry, self._lines(entry["caption"], step - 0.15)) for _, entry in own.iterrows()
            ]
            for start in range(0, len(entries), self.across):
                row = entries[start : start + self.across]
                tallest = max(len(lines) for _, lines in row)
                pieces.append((self._above + self.side + PITCH * tallest + 0.04 + _BETWEEN, row))
        figure = Figure(figsize=(WIDTH, sum(height for height, _ in pieces) + _MARGIN))
        top = _MARGIN
        for height, content in pieces:
            if isinstance(content, str):
                write_line(figure, _MARGIN, top, content, bold=True)
            else:
                for i, (entry, lines) in enumerate(content):
                    self._draw_example(figure, _MARGIN + i * step, top, entry, lines)
            top += height
        return figure

    @property
    def _above(self) -> float:
        """Inches for what stands above the pictures."""
        return PITCH + 0.03 if self.OF == "edits" else 0.0

    def _lines(self, caption: str, inches: float) -> list[str]:
        """A caption broken into lines; each of several begins with a dot."""
        texts = caption.split("\n")[:_LINES]
        if len(texts) > 1:
            texts = [f"• {text}" for text in texts]
        lines = [line for text in texts for line in wrap(text, inches, _LINES // len(texts))]
        return lines or ["(no text)"]

    def _draw_example(
        self, figure: Figure, left: float, top: float, entry: pd.Series, lines: list[str]
    ) -> None:
        top += self._above
        pictures = [("", entry["picture"], entry["problem"])]
        if self.OF == "edits":
            source = ("source", entry["source_picture"], entry["source_problem"])
            pictures = [source, ("target", *pictures[0][1:])]
        for i, (name, picture, problem) in enumerate(pictures):
            at = left + i * (self.side + 0.1)
            if name:
                write_line(figure, at, top - self._above, name)
            draw_tile(figure, at, top, self.side, picture, problem)
        for i, line in enumerate(lines):
            write_line(figure, left, top + self.side + 0.04 + i * PITCH, line)
