"""Every figure by name, and how one is made: gather the numbers, store them, draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from matplotlib.figure import Figure

from isoenergy.errors import InputError
from isoenergy.files import read_parquet, write_parquet, write_text
from isoenergy.measure.record import settings_of
from isoenergy.registry import Registry
from isoenergy.render import (
    arithmetic,
    atom_map,
    beta_energy,
    beta_error,
    bridges,
    closing,
    cosines,
    energies,
    gap,
    last_queries,
    neighbours,
    probing,
    process,
    queries,
    ranking,
    ranks,
    scores,
    sketch,
    toy_cosines,
    transport,
    unimodal,
)
from isoenergy.render.asked import check_settings, read_asked
from isoenergy.render.captions import fill_caption
from isoenergy.render.examples import Examples
from isoenergy.render.galleries import Gallery
from isoenergy.render.style import save_figure

if TYPE_CHECKING:
    import pandas as pd


class FigureModule(Protocol):
    """What a module, or an object in its place, must hold to draw one figure.

    Attributes
    ----------
    OF : str
        What it shows, which says where its sources lie: ``"embeddings"`` or ``"sweep"`` (a panel
        per model), ``"saes"`` (a panel per model and SAE), ``"aligned"`` (the same, of SAEs
        trained with an alignment loss alone, where the run has any), ``"toy"`` (a panel per toy
        experiment, then one per model), ``"interventions"``, ``"composed"`` or ``"ranking"`` (a
        panel per model, of its first such SAE), ``"gallery"`` (of the gallery's model, its first
        aligned SAE), ``"examples"`` or ``"edits"`` (a panel per data set of pairs or classes, or
        of edits, which stands in the place of the model), ``"sketch"`` (a panel that needs
        neither) or ``"schematic"`` (one drawing without any source).
    MODELS, SAES : int or None
        At most so many models and SAEs of the run, the first ones, or the last ones where it is
        negative; None shows all.
    TABLES : mapping of str to tuple of str
        Which entries of a source name tables, and the columns of each that are drawn; a source
        may have more.
    METRICS : tuple of str
        Which entries of a source name metric files, by their path below its folder; their values
        become columns.
    """

    OF: str
    MODELS: int | None
    SAES: int | None
    TABLES: Mapping[str, tuple[str, ...]]
    METRICS: tuple[str, ...]

    def gather(self, panel: pd.DataFrame) -> pd.DataFrame:
        """The rows drawn in one panel, from ``TABLES`` and ``METRICS`` of one source.

        The rows of several tables stand one below the other, with a column ``table`` that names
        theirs.
        """

    def draw(self, data: pd.DataFrame) -> Figure:
        """The figure, from the gathered rows of all panels and nothing else."""


FIGURES: Registry[FigureModule] = Registry("figure")
FIGURES.register("figure_01")(process)
FIGURES.register("figure_02")(energies)
FIGURES.register("figure_03")(atom_map)
FIGURES.register("figure_04")(closing)
FIGURES.register("figure_05")(arithmetic)
FIGURES.register("figure_06")(last_queries)
FIGURES.register("figure_07")(beta_error)
FIGURES.register("figure_08")(beta_energy)
FIGURES.register("figure_09")(toy_cosines)
FIGURES.register("figure_10")(gap)
FIGURES.register("figure_11")(cosines)
FIGURES.register("figure_12")(bridges)
FIGURES.register("figure_13")(transport)
FIGURES.register("figure_14")(probing)
FIGURES.register("figure_15")(scores)
FIGURES.register("figure_16")(unimodal)
FIGURES.register("figure_17")(ranks)
FIGURES.register("figure_18")(Gallery("gallery_bimodal", texts=10))
FIGURES.register("figure_19")(Gallery("gallery_image", texts=5))
FIGURES.register("figure_20")(Gallery("gallery_image_more", texts=5))
FIGURES.register("figure_21")(Gallery("gallery_text", texts=10))
FIGURES.register("figure_22")(Gallery("gallery_text_more", texts=10))
FIGURES.register("figure_23")(queries)
FIGURES.register("figure_24")(sketch)
FIGURES.register("figure_25")(neighbours)
FIGURES.register("figure_26")(Examples("examples", across=5, side=1.2))
FIGURES.register("figure_27")(Examples("edits", across=3, side=1.0))
FIGURES.register("figure_ranking")(ranking)


def gather_figure(
    target: str,
    sources: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """All numbers that a figure draws, one tidy table.

    Parameters
    ----------
    target : str
        A key of ``FIGURES``.
    sources : sequence of mapping
        One per panel, in the order drawn: ``model``, for SAEs ``sae``, and the paths of the
        module's ``TABLES`` and ``METRICS``.
    settings : mapping of str to float or str, optional
        The config's section ``measure``.

    Returns
    -------
    DataFrame
        ``model``, ``sae``, ``panel`` (the label drawn) and what the module gathers.

    Raises
    ------
    InputError
        If the target is unknown, there is no source, a panel is there twice, or a source is
        missing, broken, empty, lacks a column or was measured with other settings.
    """
    import pandas as pd

    figure = FIGURES[target]
    files = (*figure.TABLES, *figure.METRICS)
    if not sources:
        raise InputError(f"{target} has no model to draw; name one under models in the config")
    gathered, seen = [], set()
    for source in sources:
        lacking = [key for key in ("model", *files) if key not in source]
        if lacking:
            raise InputError(
                f"a source of {target} lacks {', '.join(lacking)}; it takes model, sae (for SAEs) "
                f"and the paths {', '.join(files)}"
            )
        model, sae = source["model"], source.get("sae", "")
        if (model, sae) in seen:
            raise InputError(f"{target} has two sources for {model} {sae}; name each once")
        seen.add((model, sae))
        panel = _read_tables(source, figure.TABLES, settings)
        for metric in figure.METRICS:
            panel[metric] = read_asked(source[metric], settings).value
        panel = figure.gather(panel)
        panel.insert(0, "model", model)
        panel.insert(1, "sae", sae)
        panel.insert(2, "panel", f"{model}, {sae}" if sae else model)
        gathered.append(panel)
    return pd.concat(gathered, ignore_index=True)


def _read_tables(
    source: Mapping[str, Any],
    tables: Mapping[str, Sequence[str]],
    settings: Mapping[str, Any] | None,
) -> pd.DataFrame:
    """The rows of all tables, none without a table; the first one must have some."""
    import pandas as pd

    read = []
    for name, columns in tables.items():
        path = source[name]
        table = read_parquet(path)
        check_settings(path, settings_of(table), settings)
        table.attrs = {}
        lacking = [column for column in columns if column not in table]
        if lacking:
            raise InputError(
                f"{path} lacks the columns {', '.join(lacking)}; delete it and run again"
            )
        if table.empty and not read:
            raise InputError(f"{path} has no rows; delete it and run again")
        table = table[list(columns)]
        read.append(table.assign(table=name) if len(tables) > 1 else table.copy())
    if not read:
        return pd.DataFrame()
    # An empty table would only blur the types of the others.
    return pd.concat([table for table in read if len(table)], ignore_index=True)


def render_figure(
    target: str,
    sources: Sequence[Mapping[str, Any]],
    template: str,
    words: Mapping[str, str],
    sizes: Mapping[str, tuple[str, str]],
    settings: Mapping[str, Any],
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
    settings : mapping of str to float or str
        The config's section ``measure``.
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
    caption = fill_caption(template, words, sizes, settings)
    write_parquet(data, gather_figure(target, sources, settings))
    save_figure(FIGURES[target].draw(read_parquet(data)), png, pdf)
    write_text(text, caption + "\n")
