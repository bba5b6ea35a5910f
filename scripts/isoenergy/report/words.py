"""How a page tells numbers, claims, targets, their costs and the commands that make them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from isoenergy.command_line import typed
from isoenergy.render.tables import TABLES

# Significant digits on the page; the csv files hold all.
_DIGITS, _MOST_DECIMALS = 4, 6
# Cost of a target that the paper's config does not have (config/targets.tsv).
_NO_TARGET = "–"


def short(value: float, sd: float = math.nan) -> str:
    """A number for readers, e.g. ``0.1234``; with a spread both end at its second digit.

    Examples
    --------
    >>> short(0.98977, 0.00057)
    '0.98977 ± 0.00057'
    >>> short(43.21, 5.17)
    '43.2 ± 5.2'
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if math.isfinite(sd) and sd > 0:
        decimals = min(max(1 - math.floor(math.log10(sd)), 0), _MOST_DECIMALS)
        text = f"{value:.{decimals}f} ± {sd:.{decimals}f}"
    else:
        text = f"{value:.{_DIGITS}g}" + (f" ± {sd:g}" if math.isfinite(sd) else "")
    return text.replace("-", "−")


def metric_labels(table: str) -> dict[str, str]:
    """What readers know the metrics of a table by, the headings of its columns."""
    return {c.metric: c.label for c in TABLES[table].columns} if table in TABLES else {}


def rule_of(claim: Mapping[str, Any]) -> str:
    """A claim as a formula, e.g. ``R² (SAE-A) − R² (SAE) > −0.05``."""
    labels = metric_labels(claim["table"])

    def number(metric: str, variant: str) -> str:
        return f"{labels.get(metric, metric)} ({variant})"

    left = number(claim["metric"], claim["variant"])
    bound = short(claim["bound"])
    if claim["against"] is not None:
        factor = "" if claim["factor"] == 1 else f"{short(claim['factor'])} × "
        left += f" − {factor}{number(claim['against'], claim['against_variant'])}"
    if claim["relation"] == "within":
        return f"|{left}| < {bound}"
    return f"{left} {'>' if claim['relation'] == 'above' else '<'} {bound}"


def label_of(table: str) -> str:
    """``Table 1`` for ``table_01``, ``Summary`` for ``table_summary``."""
    number = table.removeprefix("table_")
    return f"Table {int(number)}" if number.isdigit() else number.capitalize()


def heading_of(target: str, title: str) -> str:
    """What stands above a part: "Table 1: TITLE" for ``table_01``, the title alone for others."""
    kind, _, number = target.partition("_")
    return f"{kind.capitalize()} {int(number)}: {title}" if number.isdigit() else title


def command_options(config_files: Sequence[str], changes: Mapping[str, Any]) -> str:
    """What follows ``snakemake TARGET`` to run with the same config.

    Parameters
    ----------
    config_files : sequence of str
        Those named on the command line; none for the defaults.
    changes : mapping
        Keys changed on the command line.

    Examples
    --------
    >>> command_options(["config/demo.yaml"], {"seed": 1})
    ' --configfile config/demo.yaml --config seed=1'
    """
    words = ["--configfile", *config_files] if config_files else []
    words += (
        ["--config", *(f"{key}={typed(value)}" for key, value in changes.items())]
        if changes
        else []
    )
    return "".join(f" {shlex.quote(word)}" for word in words)


def cost_of(costs: Mapping[str, str], config_file: str) -> str:
    """What a target costs from nothing with this config, as far as it is told.

    Parameters
    ----------
    costs : mapping
        ``cost_demo`` and ``cost_paper`` of ``config/targets.tsv``.
    config_file : str
        Another one than these two is told both, to be judged by.
    """
    demo, paper = costs["cost_demo"], costs["cost_paper"]
    told = {
        "config/demo.yaml": f"about {demo} from nothing on two CPU cores",
        "config/config.yaml": f"about {paper} from nothing, a guess",
    }
    both = f"about {demo} from nothing with the demo's config"
    if paper != _NO_TARGET:
        both += f", {paper} with the paper's"
    return told.get(config_file, both)
