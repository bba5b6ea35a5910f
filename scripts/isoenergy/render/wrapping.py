"""Text of data sets as lines of a figure: measured, broken and cut, never read as maths."""

from __future__ import annotations

from functools import cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from isoenergy.render.style import SETTINGS, SMALLEST

# Inches from one line to the next.
PITCH = 0.15
# Letters are moved to whole pixels when they are drawn, which can make a line this much wider.
_HINTED = 1.05
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


@cache
def _font() -> FontProperties:
    return FontProperties(family=SETTINGS["font.family"], size=SMALLEST)


@cache
def _has_letter(letter: str) -> bool:
    return get_font(findfont(_font())).get_char_index(ord(letter)) != 0


def known_letters(text: str) -> str:
    """The text with letters that the font lacks replaced by a sign that it has.

    Other fonts would differ from machine to machine.
    """
    return "".join(letter if _has_letter(letter) else _UNKNOWN for letter in text)


def width_of(text: str) -> float:
    """Width of a line of text of the smallest size, in inches, at most."""
    points, _, _ = text_to_path.get_text_width_height_descent(text, _font(), False)
    return _HINTED * points / 72


def wrap(text: str, inches: float, most: int) -> list[str]:
    """Break a text into lines that are no wider than ``inches``.

    Parameters
    ----------
    text : str
    inches : float
    most : int
        Lines kept; what is cut off is an ellipsis. A word wider than a line is broken.
    """
    lines: list[str] = []
    rest = known_letters(text).split()
    while rest and len(lines) < most:
        line = rest.pop(0)
        if width_of(line) > inches:
            fits = _longest(line, inches)
            line, cut = line[:fits], line[fits:]
            rest.insert(0, cut)
        else:
            while rest and width_of(f"{line} {rest[0]}") <= inches:
                line += f" {rest.pop(0)}"
        lines.append(line)
    if rest:
        last = lines[-1]
        while last and width_of(f"{last}…") > inches:
            last = last[:-1]
        lines[-1] = f"{last.rstrip()}…"
    return lines


def _longest(word: str, inches: float) -> int:
    """How many letters of a word fit, at least one."""
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width_of(word[:middle]) <= inches else (low, middle - 1)
    return low


def write_line(
    figure: Figure, left: float, top: float, line: str, bold: bool = False, align: str = "left"
) -> Text:
    """Write a line as it stands, dollar signs included.

    Parameters
    ----------
    figure : Figure
    left, top : float
        Inches from the figure's upper left corner to the line's; for ``align`` ``"center"`` left
        is its middle.
    line : str
    bold : bool
    align : {"left", "center"}
    """
    width, height = figure.get_size_inches()
    return figure.text(
        left / width,
        1 - (top + 0.8 * PITCH) / height,
        line,
        parse_math=False,
        fontweight="bold" if bold else "normal",
        horizontalalignment=align,
        verticalalignment="baseline",
    )
