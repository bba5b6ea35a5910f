"""Every table: which numbers it shows, and its csv, markdown and LaTeX forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from isoenergy.files import write_text
from isoenergy.measure.accounting import DROPPED, FAILED
from isoenergy.measure.baselines import BASELINES
from isoenergy.measure.energy import GROUPS
from isoenergy.measure.factors import KINDS, NONE
from isoenergy.measure.intervened import FORMS, MASKED
from isoenergy.measure.toy import PRINTED
from isoenergy.registry import Registry
from isoenergy.render.captions import fill_caption
from isoenergy.render.grid import Cell, Grid, format_number, write_latex, write_markdown
from isoenergy.render.rows import lay_out_rows
from isoenergy.render.tidy import add_mean_changes, gather_tidy

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Column:
    """One metric of a table.

    Attributes
    ----------
    metric : str
        Name of the metric; may hold ``{group}``.
    label : str
        Heading.
    better : {"higher", "lower"} or None
        Which of two SAEs' values is marked as the better one.
    digits : int
        Decimals.
    """

    metric: str
    label: str
    better: Literal["higher", "lower"] | None = None
    digits: int = 3


@dataclass(frozen=True)
class Table:
    """What a table shows: a row per data set, model and variant (and group of atoms).

    Attributes
    ----------
    of : {"saes", "embeddings", "toy", "interventions", "composed", "baselines", "data"}
        What is measured; see ``VARIANT_HEADINGS`` for what its variants are.
    columns : tuple of Column
    groups : tuple of str
        Groups of atoms, a row each; they fill ``{group}`` in the metrics' names.
    upright : bool
        A row per metric and a column per SAE instead.
    readings : bool
        Upright, for metrics with several protocols alone: a row per protocol, and one per
        difference from the default protocol.
    first_model : bool
        Of the run's first model alone.
    variants : tuple of str
        Interventions, queries or baselines shown, in order.
    on : {"train", "transfer", "classes", "edits"}
        Of interventions and queries, the data set: a key of the config's ``datasets``; of several
        the first.
    stores : bool
        Also on further stores made elsewhere, which no SAE is trained on.
    changes : bool
        With rows for what each variant changes against the first, as a mean over models.
    names : mapping of str to str
        Names of variants for readers, where they differ; the tidy table keeps the short ones.
    printed : mapping of (metric, variant, dataset) to float
        The paper's own numbers, shown in further columns; they are not part of the tidy table.
    """

    of: Literal["saes", "embeddings", "toy", "interventions", "composed", "baselines", "data"]
    columns: tuple[Column, ...]
    groups: tuple[str, ...] = ()
    upright: bool = False
    readings: bool = False
    first_model: bool = False
    variants: tuple[str, ...] = ()
    on: Literal["train", "transfer", "classes", "edits"] = "train"
    stores: bool = False
    changes: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    printed: Mapping[tuple[str, str, str], float] = field(default_factory=dict)

    def metrics(self) -> list[str]:
        """Every metric that the table reads."""
        return [
            column.metric.format(group=group)
            for group in self.groups or ("",)
            for column in self.columns
        ]


TABLES: Registry[Table] = Registry("table")
# Of what the variants of a table are; raw embeddings have one.
VARIANT_HEADINGS = {
    "saes": "SAE",
    "toy": "SAE",
    "interventions": "method",
    "composed": "query",
    "baselines": "method",
}

_SHARED = (
    Column("r2", "R²", "higher", 4),
    Column("p_acc", "p_acc", "higher"),
    Column("rho", "ρ", "higher", 2),
    Column("fda", "FDA", "higher", 2),
    Column("delta_r_at_1", "δ_r", "lower"),
)

TABLES.register("table_01")(Table("saes", (Column("mse", "MSE", "lower", 4), *_SHARED)))
_EVERY_METRIC = Table(
    "saes",
    (
        Column("mse", "MSE", "lower", 4),
        Column("r2", "R²", "higher", 4),
        Column("l0", "ℓ0", None, 2),
        Column("l1", "ℓ1", None, 2),
        Column("c_insertion", "C-insertion", "higher"),
        Column("c_deletion", "C-deletion", "lower"),
        Column("stability", "stability", "lower"),
        Column("stability_null", "stability, energies permuted"),
        Column("dictionary_stable_rank", "stable rank of D", None, 1),
        Column("dictionary_effective_rank", "effective rank of D", None, 1),
        Column("dictionary_stable_rank_weighted", "stable rank of D, weighted", None, 2),
        Column("dictionary_effective_rank_weighted", "effective rank of D, weighted", None, 1),
        Column("coherence", "coherence", "lower"),
        Column("codes_stable_rank", "stable rank of Z", None, 2),
        Column("codes_effective_rank", "effective rank of Z", None, 1),
        Column("connectivity", "connectivity"),
        Column("negative_interference", "negative interference", "lower", 4),
        Column("rho", "ρ", "higher", 2),
        Column("delta_r_at_1", "δ_r", "lower"),
        Column("fda", "FDA", "higher", 2),
        Column("p_acc", "p_acc", "higher"),
    ),
    upright=True,
)
TABLES.register("table_05")(
    Table(
        "toy",
        (
            Column("r2", "R²", "higher", 4),
            Column("distance_to_truth", "W", "lower"),
            Column("matching_accuracy", "mma", "higher"),
        ),
        printed={
            (metric, variant, toy): value
            for (toy, variant), values in PRINTED.items()
            for metric, value in values.items()
        },
    )
)
TABLES.register("table_03")(_EVERY_METRIC)
TABLES.register("table_04")(_EVERY_METRIC)
TABLES.register("table_06")(
    Table(
        "embeddings",
        (
            Column("difference_in_mean", "DiM"),
            Column("wasserstein", "W"),
            Column("separability", "separability"),
            Column("rmg", "RMG"),
            Column("recall_at_1", "recall@1"),
            Column("recall_at_5", "recall@5"),
            Column("zero_shot_at_1", "zero-shot@1"),
            Column("zero_shot_at_5", "zero-shot@5"),
            Column("classifier_at_1", "classifier@1"),
            Column("classifier_at_5", "classifier@5"),
        ),
    )
)
TABLES.register("table_summary")(
    Table(
        "saes",
        (
            Column("r2", "R²", "higher", 4),
            Column("rho", "ρ", "higher", 2),
            Column("fda", "FDA", "higher", 2),
            Column("delta_r_at_1", "δ_r", "lower"),
            Column("difference_in_mean_reconstruction", "DiM, all atoms"),
            Column("difference_in_mean_masked", "DiM, bimodal atoms", "lower"),
            Column("recall_at_1_reconstruction", "recall@1, all atoms"),
            Column("recall_at_1_masked", "recall@1, bimodal atoms", "higher"),
            Column("energy_share_bimodal", "energy of bimodal atoms", None),
        ),
        stores=True,
    )
)
TABLES.register("table_factors")(
    Table(
        "saes",
        (
            Column("energy_share_{group}", "energy of group"),
            *(Column(f"coefficient_{kind}_{{group}}", f"U {kind}") for kind in KINDS),
            *(Column(f"follows_{kind}_{{group}}", f"follows {kind}") for kind in (*KINDS, NONE)),
        ),
        groups=GROUPS,
    )
)

_METHODS = {
    "centered": "centered (less own mean)",
    MASKED: "masked (bimodal atoms alone)",
    "random": "random (centered, plus one random vector)",
    "shifted": "shifted (half the difference of means)",
    "A": "A (less own mean)",
    "B": "B (less direction of own mean)",
    "C": "C (less direction of difference)",
    "axes": "axes (Schrodi et al.)",
}
_GAP = (Column("difference_in_mean", "DiM"), Column("wasserstein", "W"))
_OUTLIERS = (Column("ood_score", "OOD score", "lower"),)
TABLES.register("table_02")(Table("composed", _OUTLIERS, variants=("Q", "Q_SAE"), on="edits"))
TABLES.register("table_07")(
    Table(
        "composed", _OUTLIERS, variants=("Q", "Q_SAE", "Q_SAE_text", "Q_SAE_appendix"), on="edits"
    )
)
TABLES.register("table_08")(
    Table(
        "composed",
        (
            Column("recall", "mean of @10, @50", "higher"),
            Column("recall_at_10", "recall@10", "higher"),
            Column("recall_at_50", "recall@50", "higher"),
            Column("gallery_recall_at_10", "gallery recall@10", "higher"),
            Column("gallery_recall_at_50", "gallery recall@50", "higher"),
        ),
        variants=("caption", "source", "Q", "Q_SAE"),
        on="edits",
    )
)
for _name, _on, _column in (
    ("table_09", "train", Column("recall_at_1", "recall@1")),
    ("table_10", "transfer", Column("recall_at_1", "recall@1")),
    ("table_11", "classes", Column("zero_shot_at_1", "zero-shot@1")),
):
    TABLES.register(_name)(
        Table(
            "interventions",
            (*_GAP, _column),
            variants=FORMS,
            on=_on,
            changes=True,
            names=_METHODS,
        )
    )
TABLES.register("table_12")(
    Table(
        "baselines",
        (
            Column("difference_in_mean", "DiM"),
            Column("separability", "separability"),
            Column("rmg", "RMG"),
            Column("ood_score", "OOD score"),
            Column("axes_dropped", "axes dropped", None, 0),
        ),
        first_model=True,
        variants=(*BASELINES, MASKED),
        names=_METHODS,
    )
)
TABLES.register("table_data")(
    Table(
        "data",
        (
            Column("asked", "asked for"),
            Column("usable", "with a picture"),
            Column(FAILED, "failed"),
            Column("duplicates", "picture as before"),
            Column("embedded", "embedded"),
            Column(DROPPED, "not embedded"),
            Column("paper_rows", "the paper's N"),
        ),
    )
)
TABLES.register("table_readings")(
    Table(
        "saes",
        (
            *(column for column in _SHARED if column.metric != "delta_r_at_1"),
            Column("selected_beta", "selected β", None, 4),
        ),
        readings=True,
        first_model=True,
    )
)


def lay_out(table: Table, tidy: pd.DataFrame) -> Grid:
    """Arrange a tidy table for readers; nothing is computed but which value is marked.

    A value is marked as better when it beats every other variant of the same model and data set
    by more than the sum of both standard deviations.

    Parameters
    ----------
    table : Table
    tidy : DataFrame
        See :func:`isoenergy.render.tidy.gather_tidy`; the first protocol of a number is shown,
        or for a table of readings all.
    """
    if table.readings:
        return _lay_out_readings(table, tidy)
    if table.of == "data":
        labels = {column.metric: column.label for column in table.columns}
        return lay_out_rows(labels, tidy)
    shown = tidy.drop_duplicates(["metric", "variant", "model", "dataset"])
    numbers = {
        (row.metric, row.variant, row.model, row.dataset): (row.value, row.sd)
        for row in shown.itertuples()
    }
    keys = list(dict.fromkeys(zip(shown.dataset, shown.model, shown.variant, strict=True)))
    grouped = bool(table.groups)
    columns = [column for column in table.columns if _is_shown(column, table, numbers)]
    with_dataset = len({dataset for dataset, _, _ in keys}) > 1
    with_model, with_sae = table.of != "toy", table.of != "embeddings"
    printed = [c for c in columns if any(metric == c.metric for metric, *_ in table.printed)]
    header = ["data set"] * with_dataset + ["model"] * with_model
    header += [VARIANT_HEADINGS.get(table.of, "")] * with_sae + ["atoms"] * grouped
    rows = []
    for dataset, model, variant in keys:
        for group in table.groups or ("",):
            cells = [Cell(dataset)] * with_dataset + [Cell(model)] * with_model
            cells += [Cell(table.names.get(variant, variant))] * with_sae + [Cell(group)] * grouped
            for column in columns:
                metric = column.metric.format(group=group)
                own = numbers.get((metric, variant, model, dataset))
                others = [
                    number
                    for (name, other, of_model, of_dataset), number in numbers.items()
                    if (name, of_model, of_dataset) == (metric, model, dataset) and other != variant
                ]
                text = "" if own is None else format_number(*own, column.digits)
                cells.append(Cell(text, _beats(own, others, column.better)))
            paper = [table.printed.get((c.metric, variant, dataset)) for c in printed]
            cells += [Cell("" if number is None else str(number)) for number in paper]
            rows.append(cells)
    labels = [column.label for column in columns]
    labels += [f"{column.label}, paper" for column in printed]
    grid = Grid(header + labels, rows, len(header))
    return grid.turned() if table.upright else grid


def _lay_out_readings(table: Table, tidy: pd.DataFrame) -> Grid:
    variants = list(dict.fromkeys(tidy.variant))
    rows = []
    for column in table.columns:
        of_metric = tidy[tidy.metric == column.metric]
        for protocol in dict.fromkeys(of_metric.protocol):
            shown = of_metric[of_metric.protocol == protocol].set_index("variant")
            texts = [
                format_number(*shown.loc[variant, ["value", "sd"]], column.digits)
                if variant in shown.index
                else ""
                for variant in variants
            ]
            rows.append([Cell(text) for text in (column.label, protocol, *texts)])
    return Grid(["", "reading", *variants], rows, 2)


def _is_shown(column: Column, table: Table, numbers: Mapping[tuple, Any]) -> bool:
    names = {column.metric.format(group=group) for group in table.groups or ("",)}
    return any(metric in names for metric, *_ in numbers)


def _beats(own: tuple | None, others: Sequence[tuple], better: str | None) -> bool:
    if better is None or own is None or not others or own[1] != own[1]:
        return False
    sign = 1 if better == "higher" else -1
    return all(sign * (own[0] - value) > own[1] + sd for value, sd in others)


def render_table(
    target: str,
    sources: Sequence[Mapping[str, Any]],
    template: str,
    words: Mapping[str, str],
    sizes: Mapping[str, tuple[str, str]],
    settings: Mapping[str, Any],
    csv: str | Path,
    markdown: str | Path,
    latex: str | Path,
    text: str | Path,
) -> None:
    """Gather one table's numbers and write its four files.

    Parameters
    ----------
    target : str
        A key of ``TABLES``.
    sources : sequence of mapping
        See :func:`isoenergy.render.tidy.gather_tidy`.
    template, words, sizes
        The caption, see :func:`isoenergy.render.captions.fill_caption`.
    settings : mapping of str to float or str
        The config's section ``measure``.
    csv : path
        The tidy table to write, every protocol.
    markdown, latex, text : path
        Its readable forms, and the caption alone.

    Raises
    ------
    InputError
        If the table is unknown, or a metric file is missing, broken or measured with other
        settings.
    """
    table = TABLES[target]
    caption = fill_caption(template, words, sizes, settings)
    tidy = gather_tidy(sources, table.metrics(), table.readings, settings)
    tidy = add_mean_changes(tidy) if table.changes else tidy
    grid = lay_out(table, tidy)
    write_text(csv, tidy.to_csv(index=False, lineterminator="\n"))
    write_text(markdown, write_markdown(grid, caption))
    write_text(latex, write_latex(grid, caption, f"tab:{target}"))
    write_text(text, caption + "\n")
