"""A table for readers: cells of text, written as markdown or LaTeX with all markup escaped."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "²": r"$^2$",
    "±": r"$\pm$",
    "∞": r"$\infty$",
    "−": r"$-$",
    "≤": r"$\le$",
    "μ": r"$\mu$",
    "ρ": r"$\rho$",
    "δ": r"$\delta$",
    "τ": r"$\tau$",
    "ℓ": r"$\ell$",
    "β": r"$\beta$",
}
# More columns than this do not fit the width of a page.
_WIDE = 7
_MARKDOWN = ("\\", "|", "*", "_", "`", "<", ">", "[", "]")


@dataclass(frozen=True)
class Cell:
    """Plain text, and whether it is marked as the better value."""

    text: str
    marked: bool = False


@dataclass(frozen=True)
class Grid:
    """A header, rows of as many cells, and how many leading columns are names, not numbers.

    ``notes`` stand below; the cells that they are about end with their number, as ``[1]``.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    names: int
    notes: Sequence[str] = ()

    def numbered_notes(self) -> list[str]:
        """The notes as they stand below the table, e.g. ``[1] no atom is live``."""
        return [f"[{i}] {note}" for i, note in enumerate(self.notes, start=1)]

    def turned(self) -> Grid:
        """A row for each number and a column for each row, headed by its last name alone."""
        heading = [row[self.names - 1].text for row in self.rows]
        numbers = range(self.names, len(self.header))
        rows = [[Cell(self.header[i]), *(row[i] for row in self.rows)] for i in numbers]
        return Grid(["", *heading], rows, 1, self.notes)


class Notes:
    """Notes of a table in the order of the cells that they are about; equal ones share a number."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def mark(self, text: str, note: str) -> str:
        """The text of a cell, with the number of its note if it has one."""
        if not note:
            return text
        if note not in self.found:
            self.found.append(note)
        return f"{text} [{self.found.index(note) + 1}]"


def format_number(value: float, sd: float, digits: int) -> str:
    """A value with its spread, e.g. ``0.993 ± 0.001``; ∞ and – where it is not finite."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{digits}f}".replace("-", "−")
    return text if math.isnan(sd) else f"{text} ± {sd:.{digits}f}"


def escape_markdown(text: str) -> str:
    """Text that markdown shows as it is."""
    for mark in _MARKDOWN:
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def latex_words(text: str) -> str:
    """Words of ours as LaTeX: escaped, with the subscripts of symbols such as p_acc and ℓ0 set."""
    # Every second part is a symbol.
    parts = re.split(r"\b(\w_[a-z]+|ℓ0)\b", text)
    return "".join(_symbol(part) if i % 2 else escape_latex(part) for i, part in enumerate(parts))


def _symbol(text: str) -> str:
    letter, below = text[0], text[1:].removeprefix("_")
    letter = escape_latex(letter).strip("$")
    return f"${letter}_{{\\mathrm{{{below}}}}}$"


def write_markdown(grid: Grid, caption: str) -> str:
    """The grid as a markdown table with its caption and its notes below."""
    lines = [
        "| " + " | ".join(map(escape_markdown, grid.header)) + " |",
        "|" + "---|" * grid.names + "---:|" * (len(grid.header) - grid.names),
    ]
    for row in grid.rows:
        texts = [escape_markdown(cell.text) for cell in row]
        texts = [f"**{t}**" if cell.marked else t for t, cell in zip(texts, row, strict=True)]
        lines.append("| " + " | ".join(texts) + " |")
    below = [caption, *grid.numbered_notes()]
    return "\n".join(lines) + "".join(f"\n\n{escape_markdown(text)}" for text in below) + "\n"


def write_latex(grid: Grid, caption: str, label: str) -> str:
    """The grid as a LaTeX table (package booktabs; a wide one is shrunk by graphicx)."""
    columns = "l" * grid.names + "r" * (len(grid.header) - grid.names)
    wide = len(grid.header) > _WIDE
    lines = [
        r"\begin{table}",
        r"\centering",
        *([r"\resizebox{\linewidth}{!}{%"] if wide else []),
        f"\\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(latex_words, grid.header)) + r" \\",
        r"\midrule",
    ]
    for row in grid.rows:
        texts = [escape_latex(cell.text) for cell in row]
        texts = [
            f"\\textbf{{{t}}}" if cell.marked else t for t, cell in zip(texts, row, strict=True)
        ]
        lines.append(" & ".join(texts) + r" \\")
    lines += [
        r"\bottomrule",
        r"\end{tabular}" + "}" * wide,
        *(f"\\par {{\\footnotesize {latex_words(note)}}}" for note in grid.numbered_notes()),
        f"\\caption{{{latex_words(caption)}}}",
        f"\\label{{{label}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
