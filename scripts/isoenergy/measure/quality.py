"""Everything that Table 3 adds on one SAE: faithfulness, ranks, coherence, structure of codes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from isoenergy.measure.faithfulness import faithfulness_scores
from isoenergy.measure.metric import Metric, join_notes, why_not_finite
from isoenergy.measure.opened import Measured, open_measured
from isoenergy.measure.record import write_metrics
from isoenergy.measure.structure import code_structure, coherence, dictionary_ranks
from isoenergy.seeds import generator

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
    store: str | Path,
    weights: str | Path,
    codes: str | Path,
    folder: str | Path,
    insertion: int,
    seed: int,
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
    seed : int
        For the effective rank of the codes, which is estimated where the dictionary is large.

    C-insertion and C-deletion are means over both modalities, and NaN where one of them has no
    codes; ranks are NaN where they are of nothing.

    Raises
    ------
    InputError
        If the files do not belong together.
    """
    measured = open_measured(store, weights, codes)
    metrics = (
        *_faithfulness_metrics(measured, insertion),
        *_dictionary_metrics(measured),
        *_code_metrics(measured, seed),
    )
    settings = {"insertion": insertion}
    write_metrics(folder, metrics, QUALITY_METRICS, f"{__name__}.QUALITY_METRICS", settings)


def _faithfulness_metrics(measured: Measured, steps: int) -> Iterator[Metric]:
    scores = [
        faithfulness_scores(rows, codes, measured.dictionary, steps)
        for rows, codes in measured.sides()
    ]
    n = {"pairs": len(measured.store), "steps": steps}
    lost = "the codes of a modality are all empty, or all as far from what they code as 0 is"
    for name in ("insertion", "deletion"):
        value = {"code": float(np.mean([side[name] for side in scores]))}
        told = {"note": why_not_finite(value, lost), "zero_share": measured.zero_share()}
        yield Metric(f"c_{name}", value, n, **told)


def _dictionary_metrics(measured: Measured) -> Iterator[Metric]:
    n = {"atoms": measured.codes.n_atoms}
    ranks = dictionary_ranks(measured.dictionary, measured.energies.both)
    for name, value in ranks.items():
        kind, _, weighted = name.partition("_")
        suffix = f"_{weighted}" if weighted else ""
        nothing = "no atom has energy" if weighted else "all atoms are 0"
        note = why_not_finite({"code": value}, nothing)
        yield Metric(f"dictionary_{kind}_rank{suffix}", {"code": value}, n, note=note)
    largest = {"code": coherence(measured.cosines)}
    yield Metric("coherence", largest, n, note=why_not_finite(largest, "there is a single atom"))


def _code_metrics(measured: Measured, seed: int) -> Iterator[Metric]:
    n = {"pairs": len(measured.store), "atoms": measured.codes.n_atoms}
    rng = generator(seed, "structure")
    found = code_structure(measured.codes.image, measured.codes.text, measured.dictionary, rng)
    values = {
        "codes_stable_rank": found.stable_rank,
        "codes_effective_rank": found.effective_rank,
        "connectivity": found.connectivity,
        "negative_interference": found.interference,
    }
    zero = measured.zero_share()
    for name, value in values.items():
        told = {"note": why_not_finite({"code": value}, "all codes are empty"), "zero_share": zero}
        if name == "codes_effective_rank" and found.effective_rank_error > 0:
            how = "stochastic Lanczos quadrature; sd is its standard error"
            told |= {"seed": seed, "sd": found.effective_rank_error}
            told["note"] = join_notes(told["note"], how)
        yield Metric(name, {"code": value}, n, **told)
