"""Which settings are behind Table 5? Ranks what the search trained by the printed numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isoenergy.files import write_text
from isoenergy.measure.metric import read_metric
from isoenergy.measure.toy import PRINTED, TOY_METRICS

if TYPE_CHECKING:
    import pandas as pd

# The paper's condition, and how far apart two SAEs may lie to be called equal.
R2_LEAST = 0.99
MARGIN = 0.05
SAES = ("SAE", "SAE-A")
_READ = ("distance_to_truth", "matching_accuracy")


def rank_toy(
    settings: Sequence[Mapping[str, Any]],
    folders: Mapping[str, Sequence[str]],
    numbers: str | Path,
    ranking: str | Path,
) -> None:
    """Gather what the search measured and rank it by its distance from the paper's Table 5.

    Parameters
    ----------
    settings : sequence of mapping
        Rows of ``toy_search.tsv``.
    folders : mapping of str to sequence of str
        Metric folders of every setting, by seed.
    numbers : path
        CSV to write: a row per setting, metric and reading, with mean and standard deviation.
    ranking : path
        CSV to write, see :func:`rank_pairs`.

    Raises
    ------
    InputError
        If a metric file is missing or broken.
    """
    table = gather_numbers(settings, folders)
    write_text(numbers, table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    ranked = rank_pairs(settings, table)
    write_text(ranking, ranked.to_csv(index=False, lineterminator="\n", float_format="%.6g"))


def gather_numbers(
    settings: Sequence[Mapping[str, Any]], folders: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Mean and sample standard deviation over seeds of every metric under every reading.

    Returns
    -------
    DataFrame
        The columns of the settings, then metric, reading, value, sd (NaN for one seed).
    """
    import pandas as pd

    rows = []
    for setting in settings:
        for name in TOY_METRICS:
            found = [
                read_metric(Path(folder, f"{name}.json")) for folder in folders[setting["setting"]]
            ]
            for reading in sorted(found[0].protocols):
                values = np.array([metric.protocols[reading] for metric in found])
                spread = values.std(ddof=1) if len(values) > 1 else np.nan
                told = {"value": values.mean(), "sd": spread}
                rows.append({**setting, "metric": name, "reading": reading, **told})
    return pd.DataFrame(rows)


def rank_pairs(settings: Sequence[Mapping[str, Any]], numbers: pd.DataFrame) -> pd.DataFrame:
    """Every plain SAE with every aligned one of its design, under every pair of readings.

    Returns
    -------
    DataFrame
        toy (``both`` for the first pairs of a design in both experiments), design, the two
        settings, the two readings, the values of the four numbers, r2 (the lower one),
        ``allowed`` (R2 of at least 0.99 for both), ``claim`` (experiment 1: both numbers equal
        within 0.05; experiment 2: SAE-A better by more than that in both), and ``distance``, the
        root mean square difference from the printed numbers. Pairs for which the claim holds come
        first, then those that are allowed, then the nearest.
    """
    import pandas as pd

    values = {
        (row.setting, row.metric, row.reading): row.value for row in numbers.itertuples(index=False)
    }
    rows = [row for pair in _pairs(settings) for row in _readings(*pair, values)]
    ranked = _sorted(pd.DataFrame(rows))
    best = ranked.drop_duplicates(["toy", "design"])
    both = []
    for design, group in best.groupby("design", sort=False):
        if len(group) == 2:
            both.append(
                {
                    "toy": "both",
                    "design": design,
                    "r2": group["r2"].min(),
                    "allowed": bool(group["allowed"].all()),
                    "claim": bool(group["claim"].all()),
                    "distance": float(np.sqrt(np.mean(np.square(group["distance"])))),
                }
            )
    return pd.concat([_sorted(pd.DataFrame(both, columns=ranked.columns)), ranked])


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(
        ["toy", "claim", "allowed", "distance"], ascending=[True, False, False, True], kind="stable"
    )


def _pairs(settings: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping, Mapping]]:
    for plain, aligned in itertools.product(settings, settings):
        same = all(plain[key] == aligned[key] for key in ("design", "toy"))
        if same and plain["alignment"] == "none" != aligned["alignment"]:
            yield plain, aligned


def _readings(
    plain: Mapping[str, Any], aligned: Mapping[str, Any], values: Mapping[tuple, float]
) -> Iterator[dict[str, Any]]:
    names = dict(zip(SAES, (plain["setting"], aligned["setting"]), strict=True))
    r2 = min(values[name, "r2", "code"] for name in names.values())
    known = [
        sorted({reading for name, metric, reading in values if metric == wanted})
        for wanted in _READ
    ]
    for readings in itertools.product(*known):
        found = {
            (sae, metric): values[name, metric, reading]
            for sae, name in names.items()
            for metric, reading in zip(_READ, readings, strict=True)
        }
        wrong = [
            found[sae, metric] - PRINTED[plain["toy"], sae][metric]
            for sae, metric in itertools.product(SAES, _READ)
        ]
        yield {
            "toy": plain["toy"],
            "design": plain["design"],
            "sae": names["SAE"],
            "sae_a": names["SAE-A"],
            "distance_reading": readings[0],
            "matching_reading": readings[1],
            **{f"{metric} {sae}": value for (sae, metric), value in found.items()},
            "r2": r2,
            "allowed": r2 >= R2_LEAST,
            "claim": _claim(plain["toy"], found),
            "distance": float(np.sqrt(np.mean(np.square(wrong)))),
        }


def _claim(toy: str, found: Mapping[tuple[str, str], float]) -> bool:
    """Whether the two SAEs differ as the paper says that they do in this experiment."""
    nearer = found["SAE", _READ[0]] - found["SAE-A", _READ[0]]
    better = found["SAE-A", _READ[1]] - found["SAE", _READ[1]]
    if toy == "toy-1":
        return abs(nearer) <= MARGIN and abs(better) <= MARGIN
    return nearer > MARGIN and better > MARGIN
