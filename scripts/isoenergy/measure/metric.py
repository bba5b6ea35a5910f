"""One measured number on disk: its value under every protocol, sample sizes, seed, settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isoenergy.errors import InputError
from isoenergy.files import read_json, write_json

CODE, PAPER = "code", "paper"


@dataclass(frozen=True)
class Metric:
    """One number.

    Attributes
    ----------
    name : str
    protocols : mapping of str to float
        The value under each reading; ``"code"`` is what the authors' code does and what the
        printed tables used, ``"paper"`` what the paper's text says (SPEC section 0). May be
        infinite (a ratio with nothing below) or NaN (undefined); the note then says why.
    protocol : str
        The default one, a key of ``protocols``.
    n : mapping of str to int
        Sample sizes.
    seed : int or None
        Seed of what was sampled; None where nothing was.
    sd : float or None
        Standard deviation over repeated samples, where there are several.
    note : str
        What a reader has to know; not empty where a value is not finite.
    settings : mapping of str to float or str
        What the job that measured it was told of the config's section ``measure``.
    zero_share : mapping of str to float, in [0, 1]
        Of each side (``"image"``, ``"text"``; of composed queries their parts), the share of codes
        without any entry of the atoms that count, whose reconstruction is 0. Empty where a metric
        is not of codes.
    """

    name: str
    protocols: Mapping[str, float]
    n: Mapping[str, int]
    protocol: str = CODE
    seed: int | None = None
    sd: float | None = None
    note: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    zero_share: Mapping[str, float] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The value under the default protocol."""
        return self.protocols[self.protocol]


def why_not_finite(values: Mapping[str, float], undefined: str, infinite: str = "") -> str:
    """Why values are not finite, for the note of a metric; empty where all are.

    Parameters
    ----------
    values : mapping of str to float
        By protocol.
    undefined, infinite : str
        Why a value is NaN, and why one is infinite.

    Examples
    --------
    >>> why_not_finite({"code": float("inf"), "paper": 2.0}, "no mass", "nothing below")
    'code: nothing below'
    """
    reasons: dict[str, list[str]] = {}
    for protocol, value in values.items():
        if not math.isfinite(value):
            reasons.setdefault(undefined if math.isnan(value) else infinite, []).append(protocol)
    if any(len(protocols) == len(values) for protocols in reasons.values()):
        return next(iter(reasons))
    return "; ".join(f"{', '.join(told)}: {reason}" for reason, told in reasons.items())


def join_notes(*notes: str) -> str:
    """Notes as one, empty ones and repetitions left out."""
    return "; ".join(dict.fromkeys(filter(None, notes)))


def check_explained(metric: Metric) -> None:
    """Refuse a metric that is not finite and does not say why.

    Raises
    ------
    InputError
        If its note is empty.
    """
    silent = [name for name, value in metric.protocols.items() if not math.isfinite(value)]
    if silent and not metric.note.strip():
        raise InputError(
            f"the metric {metric.name} is {metric.protocols[silent[0]]} under {silent[0]} and its "
            "note is empty; say there why it is not finite"
        )


def write_metric(folder: str | Path, metric: Metric) -> None:
    """Write ``{name}.json`` into a folder.

    Raises
    ------
    InputError
        If a value is not finite and the note does not say why.
    """
    check_explained(metric)
    content: dict[str, Any] = {
        "metric": metric.name,
        "value": _told(metric.value),
        "protocol": metric.protocol,
        "protocols": {name: _told(value) for name, value in metric.protocols.items()},
        "n": dict(metric.n),
        "seed": metric.seed,
        # Of values one of which is undefined or infinite there is no spread.
        "sd": metric.sd if metric.sd is not None and math.isfinite(metric.sd) else None,
        "note": metric.note,
        "settings": dict(metric.settings),
        "zero_share": dict(metric.zero_share),
    }
    write_json(Path(folder) / f"{metric.name}.json", content)


def read_metric(path: str | Path) -> Metric:
    """Read a metric.

    Raises
    ------
    InputError
        If the file is missing or is no metric.
    """
    content = read_json(path)
    try:
        protocols = {name: _value(value) for name, value in content["protocols"].items()}
        if content["protocol"] not in protocols:
            raise KeyError(content["protocol"])
        return Metric(
            name=content["metric"],
            protocols=protocols,
            n=dict(content["n"]),
            protocol=content["protocol"],
            seed=content["seed"],
            sd=content["sd"],
            note=content["note"],
            settings=dict(content["settings"]),
            zero_share=dict(content["zero_share"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(
            f"{path} is not a metric file of this version; delete it and run again"
        ) from None


def _told(value: float) -> float | str | None:
    """JSON has no infinity or NaN: they are written as "inf", "-inf" and null."""
    value = float(value)
    if math.isnan(value):
        return None
    return str(value) if math.isinf(value) else value


def _value(told: float | str | None) -> float:
    return math.nan if told is None else float(told)
