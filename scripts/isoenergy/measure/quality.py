"""Everything that Table 3 adds on one SAE: faithfulness, ranks, coherence, structure of codes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from isoenergy.measure.faithfulness import faithfulness_scores
from isoenergy.measure.metric import Metric, write_metric
from isoenergy.measure.opened import Measured, open_measured
from isoenergy.measure.structure import code_gram, code_structure, coherence, dictionary_ranks

QUALITY_METRICS = (
    "c_insertion",
    "c_deletion",
    "dictionary_stable_rank",
    "dictionary_effective_rank",
    "dictionary_stable_rank_weighted",
    "dictionary_effective_rank_weighted",
    "coherence",
    "codes_stable_rank",
    "codes_effective_rank",
    "connectivity",
    "negative_interference",
)


def measure_quality(
    store: str | Path, weights: str | Path, codes: str | Path, folder: str | Path, insertion: int
) -> None:
    """Measure one SAE on one store and write a metric file for each of ``QUALITY_METRICS``.

    Parameters
    ----------
    store, weights, codes : path
        As :func:`isoenergy.measure.sae.measure_sae`.
    folder : path
        Where ``{metric}.json`` go.
    insertion : int
        Steps of C-insertion and C-deletion.

    C-insertion and C-deletion are means over both modalities, and NaN where one of them has no
    codes; ranks are NaN where they are of nothing.

    Raises
    ------
    InputError
        If the files do not belong together.
    """
    measured = open_measured(store, weights, codes)
    for metrics in (
        _faithfulness_metrics(measured, insertion),
        _dictionary_metrics(measured),
        _code_metrics(measured),
    ):
        for metric in metrics:
            write_metric(folder, metric)


def _faithfulness_metrics(measured: Measured, steps: int) -> Iterator[Metric]:
    scores = [
        faithfulness_scores(rows, codes, measured.dictionary, steps)
        for rows, codes in measured.sides()
    ]
    n = {"pairs": len(measured.store), "steps": steps}
    for name in ("insertion", "deletion"):
        value = float(np.mean([side[name] for side in scores]))
        yield Metric(f"c_{name}", {"code": value}, n)


def _dictionary_metrics(measured: Measured) -> Iterator[Metric]:
    n = {"atoms": measured.codes.n_atoms}
    ranks = dictionary_ranks(measured.dictionary, measured.energies.both)
    for name, value in ranks.items():
        kind, _, weighted = name.partition("_")
        suffix = f"_{weighted}" if weighted else ""
        yield Metric(f"dictionary_{kind}_rank{suffix}", {"code": value}, n)
    yield Metric("coherence", {"code": coherence(measured.dictionary)}, n)


def _code_metrics(measured: Measured) -> Iterator[Metric]:
    n = {"pairs": len(measured.store), "atoms": measured.codes.n_atoms}
    gram = code_gram(measured.codes.image, measured.codes.text)
    found = code_structure(gram, measured.dictionary)
    for name, key in (
        ("codes_stable_rank", "stable_rank"),
        ("codes_effective_rank", "effective_rank"),
        ("connectivity", "connectivity"),
        ("negative_interference", "interference"),
    ):
        yield Metric(name, {"code": found[key]}, n)
