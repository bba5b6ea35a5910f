"""Refuse numbers that were measured with other settings than the config asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isoenergy.errors import InputError
from isoenergy.measure.metric import Metric, read_metric


def read_asked(path: str | Path, asked: Mapping[str, Any] | None) -> Metric:
    """Read a metric, refused if it was measured otherwise; see :func:`check_settings`."""
    metric = read_metric(path)
    check_settings(path, metric.settings, asked)
    return metric


def check_settings(
    path: str | Path, told: Mapping[str, Any], asked: Mapping[str, Any] | None
) -> None:
    """Compare the settings that a file was measured with with those that are asked for.

    Snakemake measures again when a setting changes, unless it is told to look at times alone
    (``--rerun-triggers mtime``), or the file comes from elsewhere; a table or figure would then
    show numbers of several settings under one caption.

    Parameters
    ----------
    path : path
        The file, for the message.
    told : mapping of str to float or str
        What it was measured with; empty where its job takes nothing of that section.
    asked : mapping of str to float or str, or None
        The config's section ``measure``; a setting that is not in it is not compared.

    Raises
    ------
    InputError
        Names the file, the settings that differ, and how to measure again.
    """
    asked = asked or {}
    other = [name for name in told if name in asked and told[name] != asked[name]]
    if other:
        found = ", ".join(f"{name} {told[name]}" for name in other)
        wanted = ", ".join(f"measure.{name} {asked[name]}" for name in other)
        raise InputError(
            f"{path} was measured with {found}, but the config asks for {wanted}; delete the "
            "file to measure again, or run without --rerun-triggers mtime"
        )
