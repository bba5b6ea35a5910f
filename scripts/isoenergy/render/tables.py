"""Every table: which numbers it shows, and how it is written as csv, markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from isoenergy.files import write_text
from isoenergy.measure.accounting import DROPPED, FAILED
from isoenergy.measure.baselines import BASELINES
from isoenergy.measure.energy import GROUPS
from isoenergy.measure.factors import KINDS, NONE
from isoenergy.measure.intervened import FORMS, MASKED
from isoenergy.measure.toy import PRINTED
from isoenergy.registry import Registry
from isoenergy.render.arrange import lay_out
from isoenergy.render.captions import fill_caption
from isoenergy.render.grid import write_latex, write_markdown
from isoenergy.render.tidy import add_mean_changes, gather_tidy


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
        What is measured; see ``arrange.VARIANT_HEADINGS`` for what its variants are.
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
