"""Every figure by name, and how one is made: gather the numbers, store them, draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from matplotlib.figure import Figure

from isoenergy.errors import InputError
from isoenergy.files import read_parquet, write_parquet, write_text
from isoenergy.measure.metric import read_metric
from isoenergy.registry import Registry
from isoenergy.render import cosines, energies, gap, toy_cosines
from isoenergy.render.captions import fill_caption
from isoenergy.render.style import save_figure

if TYPE_CHECKING:
    import pandas as pd


class FigureModule(Protocol):
    """What a module must hold to draw one figure.

    Attributes
    ----------
    OF : str
        What it shows, which says where its sources lie: ``"embeddings"`` (a panel per model),
        ``"saes"`` (a panel per model and SAE) or ``"toy"`` (a panel per toy experiment, then one
        per model).
    MODELS, SAES : int or None
        At most so many models and SAEs of the run, the first ones; None shows all.
    TABLE : str
        Which entry of a source names its table.
    COLUMNS : tuple of str
        The columns of that table that are drawn; a source may have more.
    METRICS : tuple of str
        Which entries of a source name metric files; their values become columns.
    """

    OF: str
    MODELS: int | None
    SAES: int | None
    TABLE: str
    COLUMNS: tuple[str, ...]
    METRICS: tuple[str, ...]

    def gather(self, panel: pd.DataFrame) -> pd.DataFrame:
        """The rows drawn in one panel, from ``COLUMNS`` and ``METRICS`` of one source."""

    def draw(self, data: pd.DataFrame) -> Figure:
        """The figure, from the gathered rows of all panels and nothing else."""


FIGURES: Registry[FigureModule] = Registry("figure")
FIGURES.register("figure_02")(energies)
FIGURES.register("figure_09")(toy_cosines)
FIGURES.register("figure_10")(gap)
FIGURES.register("figure_11")(cosines)


def gather_figure(target: str, sources: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """All numbers that a figure draws, one tidy table.

    Parameters
    ----------
    target : str
        A key of ``FIGURES``.
    sources : sequence of mapping
        One per panel, in the order drawn: ``model``, for SAEs ``sae``, and the paths of the
        module's ``TABLE`` and ``METRICS``.

    Returns
    -------
    DataFrame
        ``model``, ``sae``, ``panel`` (the label drawn) and what the module gathers.

    Raises
    ------
    InputError
        If the target is unknown, there is no source, a panel is there twice, or a source is
        missing, broken, empty or lacks a column.
    """
    import pandas as pd

    figure = FIGURES[target]
    if not sources:
        raise InputError(f"{target} has no model to draw; name one under models in the config")
    gathered, seen = [], set()
    for source in sources:
        lacking = [key for key in ("model", figure.TABLE, *figure.METRICS) if key not in source]
        if lacking:
            raise InputError(
                f"a source of {target} lacks {', '.join(lacking)}; it takes model, sae (for SAEs) "
                f"and the paths {', '.join((figure.TABLE, *figure.METRICS))}"
            )
        model, sae = source["model"], source.get("sae", "")
        if (model, sae) in seen:
            raise InputError(f"{target} has two sources for {model} {sae}; name each once")
        seen.add((model, sae))
        panel = _read_table(source[figure.TABLE], figure.COLUMNS)
        for metric in figure.METRICS:
            panel[metric] = read_metric(source[metric]).value
        panel = figure.gather(panel)
        panel.insert(0, "model", model)
        panel.insert(1, "sae", sae)
        panel.insert(2, "panel", f"{model}, {sae}" if sae else model)
        gathered.append(panel)
    return pd.concat(gathered, ignore_index=True)


def _read_table(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    table = read_parquet(path)
    lacking = [name for name in columns if name not in table]
    if lacking:
        raise InputError(f"{path} lacks the columns {', '.join(lacking)}; measure again")
    if table.empty:
        raise InputError(f"{path} has no rows; measure again")
    return table[list(columns)].copy()


def render_figure(
    target: str,
    sources: Sequence[Mapping[str, Any]],
    template: str,
    words: Mapping[str, str],
    sizes: Mapping[str, tuple[str, str]],
    data: str | Path,
    png: str | Path,
    pdf: str | Path,
    text: str | Path,
) -> None:
    """Make one figure: store the numbers drawn, then draw what was stored.

    Parameters
    ----------
    target, sources
        As :func:`gather_figure`.
    template, words, sizes
        The caption, see :func:`isoenergy.render.captions.fill_caption`.
    data : path
        Parquet to write: every number in the figure.
    png, pdf : path
        The figure, to write; the same data give the same bytes.
    text : path
        Where the caption goes.

    Raises
    ------
    InputError
        As :func:`gather_figure`.
    """
    caption = fill_caption(template, words, sizes)
    write_parquet(data, gather_figure(target, sources))
    save_figure(FIGURES[target].draw(read_parquet(data)), png, pdf)
    write_text(text, caption + "\n")
