"""Interventions on raw embeddings (Table 12), and the curve over dropped axes (SPEC 5)."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from isoenergy.embed.store import open_store
from isoenergy.measure.gap import difference_in_mean, relative_modality_gap
from isoenergy.measure.intervened import GAP_METRICS, InterventionSettings, measure_gap
from isoenergy.measure.interventions import (
    Means,
    axes_to_drop,
    changed,
    without_axes,
    without_difference,
    without_mean_directions,
    without_means,
)
from isoenergy.measure.metric import Metric
from isoenergy.measure.record import write_metrics, write_table
from isoenergy.measure.retrieval import recall_at, unit_rows
from isoenergy.measure.vectors import Vectors, draw_rows
from isoenergy.seeds import generator

# In the order of Table 12; the paper's own row is the mask of its SAE-A.
BASELINES = ("unchanged", "A", "B", "C", "axes")
BASELINE_METRICS = (*GAP_METRICS, "axes_dropped")
# Schrodi et al. look at up to 20 axes; the paper stops where the distance of means is 0.22 / 0.72
# of what it was.
MOST_AXES = 20
AXES_SHARE = 0.22 / 0.72


def measure_baselines(
    store: str | Path,
    folder: str | Path,
    curve: str | Path,
    settings: InterventionSettings,
    seed: int,
) -> None:
    """Measure the gap of raw embeddings after each baseline of Table 12.

    Rows are normalised for RMG, OOD score and W; DiM and the probe take them as they are. All
    means are those of the whole store.

    Parameters
    ----------
    store : path
    folder : path
        ``{baseline}/{metric}.json`` go here: ``GAP_METRICS`` for each of ``BASELINES``, for the
        axes also ``axes_dropped``: the fewest, up to 20, that bring DiM to 0.22 / 0.72 of what it
        was, as in the paper.
    curve : path
        Table to write: ``axes`` dropped, from 0 to 20, with DiM, RMG and recall@1.
    settings : InterventionSettings
    seed : int
    """
    opened = open_store(store)
    image, text = opened.image, opened.text
    means = Means.of(image, text)
    most = min(MOST_AXES, image.shape[1])
    target = AXES_SHARE * float(np.linalg.norm(means.difference))
    dropped = axes_to_drop(means, target, most)
    acts = {
        "A": partial(without_means, means=means),
        "B": partial(without_mean_directions, means=means),
        "C": partial(without_difference, means=means),
        "axes": partial(without_axes, means=means, n=dropped),
    }
    pairs = {name: changed(image, text, act) for name, act in acts.items()}
    count = Metric("axes_dropped", {"here": dropped}, {"axes": image.shape[1]}, "here")
    for name, pair in {"unchanged": (image, text), **pairs}.items():
        metrics = [*measure_gap(*pair, settings, seed), *([count] if name == "axes" else [])]
        asked = BASELINE_METRICS if name == "axes" else GAP_METRICS
        named = f"{__name__}.BASELINE_METRICS"
        write_metrics(Path(folder) / name, metrics, asked, named, asdict(settings))
    _write_curve(curve, image, text, means, most, settings, seed)


def _write_curve(
    path: str | Path,
    image: Vectors,
    text: Vectors,
    means: Means,
    most: int,
    settings: InterventionSettings,
    seed: int,
) -> None:
    import pandas as pd

    rng = generator(seed, "curve")
    rows = draw_rows(len(image), settings.gap, rng)
    drawn = image[rows], text[rows]
    points = []
    for n in range(most + 1):
        cut = without_axes(*drawn, means, n)
        unit = tuple(unit_rows(side) for side in cut)
        recall = recall_at(*unit, (1,), generator(seed, "recall"))[1]
        points.append(
            {
                "axes": n,
                "difference_in_mean": difference_in_mean(*cut),
                "rmg": relative_modality_gap(*unit),
                "recall_at_1": recall,
            }
        )
    write_table(path, pd.DataFrame(points), asdict(settings))
