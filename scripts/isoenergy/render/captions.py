"""Captions with the run's own numbers filled in."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isoenergy.errors import InputError
from isoenergy.render.asked import read_asked


def fields(template: str) -> list[str]:
    """Names in braces in a caption template, in order, each once."""
    named = [name for _, name, _, _ in string.Formatter().parse(template) if name]
    return list(dict.fromkeys(named))


def fill_caption(
    template: str,
    words: Mapping[str, str],
    sizes: Mapping[str, tuple[str | Path, str]],
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Fill a caption template.

    Parameters
    ----------
    template : str
        Text with fields such as ``{train}``.
    words : mapping of str to str
        Fields that are known from the config.
    sizes : mapping of str to (path, str)
        Fields that are sample sizes: a metric file, and which of its sizes.
    settings : mapping of str to float or str, optional
        The config's section ``measure``.

    Raises
    ------
    InputError
        If a field is in neither mapping, or a metric was measured with other settings.
    """
    values = dict(words)
    for name in fields(template):
        if name in sizes:
            path, which = sizes[name]
            values[name] = f"{read_asked(path, settings).n[which]:,}"
        elif name not in values:
            known = ", ".join(sorted({*words, *sizes}))
            raise InputError(
                f"config/targets.tsv: a caption has the field {{{name}}}; allowed are {known}"
            )
    return template.format(**values)
