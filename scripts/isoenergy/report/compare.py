"""Ours beside the paper's numbers: which agree, which differ, which cannot be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoenergy.errors import InputError
from isoenergy.measure.metric import join_notes
from isoenergy.render.tidy import COLUMNS, MEAN_CHANGE, read_tidy

if TYPE_CHECKING:
    import pandas as pd

AGREES, DIFFERS, APART = "agrees", "differs", "not comparable"
VERDICTS = (AGREES, DIFFERS, APART)
# Flags of numbers that are not compared, and why.
REASONS = {
    "swapped": "printed in another's place",
    "conflict": "the authors state another number elsewhere",
    "unconverged": "the authors' transport had not converged",
    "protocol": "the authors' protocol is another",
}
# The row of Tables 9 to 11 that changes are counted from.
REFERENCE = "reconstruction"
# Settings that have to be the paper's for our number to be the same quantity.
_SIZES = ("sae.expansion", "sae.l0")
_TAU = ("measure.tau",)
_TOY = tuple(
    f"toy.{key}"
    for key in (
        "dim",
        *(
            f"toy-{i}.{part}"
            for i in (1, 2)
            for part in ("k", "active", "tau_1", "tau_2", "n_atoms", "l0")
        ),
    )
)
_ON_SAES = (1, 2, 3, 7, 8, 9, 10, 11, 12)
SETTINGS = {
    **{f"table_{number:02d}": (*_SIZES, *_TAU) for number in _ON_SAES},
    "table_summary": (*_SIZES, *_TAU),
    "table_04": _TAU,
    "table_05": _TOY,
}
KEYS = ("table", "metric", "variant", "model", "dataset")
COMPARED = (*KEYS, "source", "paper", "paper_sd", "ours", "sd", "seeds", "n", "protocol")
COMPARED += ("difference", "tolerance", "verdict", "why", "note")


def read_tables(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Read tidy tables into one, with a further column ``table``, the name of the file.

    Mean changes over the run's models are left out; :func:`mean_changes` is over the paper's.

    Raises
    ------
    InputError
        If one is missing or has other columns.
    """
    import pandas as pd

    frames = []
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"{path} does not exist; run its target before the comparison")
        frame = read_tidy(path)
        frame = frame[frame.model != MEAN_CHANGE]
        frames.append(frame.assign(table=path.stem))
    if not frames:
        return pd.DataFrame(columns=[*COLUMNS, "table"])
    return pd.concat(frames, ignore_index=True)


def mean_changes(tidy: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Mean over the paper's models of each number's change from the reconstruction's.

    Parameters
    ----------
    tidy : DataFrame
        See :func:`read_tables`.
    models : sequence of str
        All of them have to be there, else there is no row.

    Returns
    -------
    DataFrame
        Rows of model ``MEAN_CHANGE``. ``sd`` is the mean over models of the sum of both numbers'
        standard deviations, an upper bound of the mean's own.
    """
    import pandas as pd

    keys = ["table", "metric", "dataset", "model", "variant"]
    wanted = tidy[tidy.model.isin(models)].drop_duplicates(keys)
    rows = []
    for (table, metric, dataset), group in wanted.groupby(keys[:3], sort=False):
        value = group.pivot(index="model", columns="variant", values="value")
        sd = group.pivot(index="model", columns="variant", values="sd")
        if REFERENCE not in value or not models or set(value.index) != set(models):
            continue
        for variant in value.columns.drop(REFERENCE):
            change = value[variant] - value[REFERENCE]
            of_variant = group[group.variant == variant]
            first, noted = of_variant.iloc[0], of_variant[of_variant.note != ""]
            rows.append(
                {
                    "table": table,
                    "metric": metric,
                    "dataset": dataset,
                    "model": MEAN_CHANGE,
                    "variant": variant,
                    "value": change.mean(skipna=False),
                    "sd": (sd[variant] + sd[REFERENCE]).mean(skipna=False),
                    "seeds": first.seeds,
                    "n": first.n,
                    "protocol": first.protocol,
                    "note": join_notes(*(f"{r.model}: {r.note}" for r in noted.itertuples())),
                }
            )
    return pd.DataFrame(rows, columns=[*COLUMNS, "table"])


def unlike(config: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, str]:
    """Tables that measure another quantity than the paper's, because a setting differs.

    Parameters
    ----------
    config, reference : mapping
        This run's config and that of the paper.

    Returns
    -------
    dict of str to str
        Tables, and the first setting of each that differs.
    """
    found = {}
    for table, keys in SETTINGS.items():
        for key in keys:
            ours, theirs = _setting(config, key), _setting(reference, key)
            if ours != theirs:
                found[table] = f"{key} is {ours}, not {theirs}"
                break
    return found


def _setting(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value[part] if value is not None else None
    return value


def compare(
    tidy: pd.DataFrame, values: Sequence[Mapping[str, Any]], settings: Mapping[str, str]
) -> pd.DataFrame:
    """Join ours to the paper's numbers and judge each.

    Ours agrees where it differs by no more than the number's ``tolerance`` plus twice our standard
    deviation over seeds plus twice theirs, as far as they are known.

    Parameters
    ----------
    tidy : DataFrame
        See :func:`read_tables`.
    values : sequence of mapping
        Rows of ``config/paper_values.tsv``.
    settings : mapping of str to str
        See :func:`unlike`.

    Returns
    -------
    DataFrame with columns ``COMPARED``
        A row for each of ``values``, in their order. ``note`` has theirs, and then what the table
        notes of ours: why it is not finite, and how many reconstructions are zero.
    """
    import pandas as pd

    six = {row["model"] for row in values if row["table"] == "table_09"} - {MEAN_CHANGE}
    changes = mean_changes(tidy, sorted(six))
    if len(changes):
        tidy = pd.concat([tidy, changes], ignore_index=True)
    ours: dict[tuple, list] = {}
    for row in tidy.itertuples():
        ours.setdefault(tuple(getattr(row, key) for key in KEYS), []).append(row)
    seen = {key: set(tidy[key]) for key in KEYS}
    rows = [_judge(row, ours, seen, settings) for row in values]
    return pd.DataFrame(rows, columns=list(COMPARED))


def _judge(
    row: Mapping[str, Any],
    ours: Mapping[tuple, Sequence[Any]],
    seen: Mapping[str, set],
    settings: Mapping[str, str],
) -> dict[str, Any]:
    key = tuple(row[name] for name in KEYS)
    result = {name: row[name] for name in (*KEYS, "source", "protocol")}
    result |= {"paper": row["value"], "paper_sd": _number(row["sd"]), "note": row["note"] or ""}
    result |= {"ours": math.nan, "sd": math.nan, "difference": math.nan}
    result |= {"tolerance": row["tolerance"], "seeds": None, "n": "", "verdict": APART}
    readings = ours.get(key, [])
    # Without a protocol of its own, the one that the table shows.
    number = next((r for r in readings if row["protocol"] in (None, r.protocol)), None)
    if number is None:
        why = f"not under protocol {row['protocol']}" if readings else _absence(row, seen)
        return result | {"why": why}
    tolerance = row["tolerance"]
    tolerance += 2 * sum(sd for sd in (number.sd, result["paper_sd"]) if not math.isnan(sd))
    difference = number.value - row["value"]
    result |= {"ours": number.value, "sd": number.sd, "seeds": number.seeds, "n": number.n}
    result |= {"protocol": number.protocol, "difference": difference, "tolerance": tolerance}
    result |= {"note": join_notes(result["note"], number.note and f"ours: {number.note}")}
    if row["table"] in settings:
        return result | {"why": f"other setting: {settings[row['table']]}"}
    if row["flag"] in REASONS:
        return result | {"why": REASONS[row["flag"]]}
    # Half a unit of the last digit is reached exactly; rounding must not decide.
    agrees = abs(difference) <= tolerance * (1 + 1e-9)
    return result | {"verdict": AGREES if agrees else DIFFERS, "why": ""}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _absence(row: Mapping[str, Any], seen: Mapping[str, set]) -> str:
    """Why a number of the paper has none of ours beside it, the widest reason first."""
    if row["model"] == MEAN_CHANGE and row["table"] in seen["table"]:
        return "not all six models are in this run"
    if row["model"] not in {*seen["model"], MEAN_CHANGE}:
        return f"model {row['model']} is not in this run"
    if row["dataset"] not in seen["dataset"]:
        return f"data set {row['dataset']} is not in this run"
    if row["table"] not in seen["table"]:
        return f"this run has no {row['table']}"
    return "not measured in this run"


def without_counterpart(tidy: pd.DataFrame, values: Sequence[Mapping[str, Any]]) -> int:
    """How many of our numbers, in tables that the paper has too, it prints no number for."""
    tables = {row["table"] for row in values if row["source"] == "paper"}
    printed = {tuple(row[key] for key in KEYS) for row in values}
    own = set(tidy[tidy.table.isin(tables)][list(KEYS)].itertuples(index=False, name=None))
    return len(own - printed)
