"""The headline numbers of a finished run, for the terminal."""

from __future__ import annotations

from pathlib import Path

from isoenergy.render.grid import Grid
from isoenergy.report.page import read_grid
from isoenergy.report.summary import HEADLINE


def print_headlines(results: str) -> None:
    """Print where the report, tables and figures of a run are, and its headline numbers.

    Parameters
    ----------
    results : str
        Root of the results.

    Raises
    ------
    InputError
        If the summary table is missing.
    """
    root = Path(results)
    grid = read_grid(root / "tables" / f"{HEADLINE}.csv", HEADLINE)
    print(align(grid))
    print()
    print(f"report   {root / 'report.html'}")
    print(f"compare  {root / 'compare.html'}")
    print(f"tables   {root / 'tables'}/")
    print(f"figures  {root / 'figures'}/")


def align(grid: Grid) -> str:
    """A grid as plain text, a line per metric and a column per row of the grid."""
    columns = [list(grid.header)] + [
        [cell.text + (" *" if cell.marked else "") for cell in row] for row in grid.rows
    ]
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip()
        for texts in zip(*columns, strict=True)
    ]
    rule = "-" * max(map(len, lines))
    note = "* better than every other SAE by more than both standard deviations together"
    marked = any(cell.marked for row in grid.rows for cell in row)
    return "\n".join(
        [*lines[: grid.names], rule, *lines[grid.names :], *([note] if marked else [])]
    )
