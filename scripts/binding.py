"""Bind a script to one library function: a rule's named files and params, or the command line.

Under Snakemake every named input, output and param of the rule becomes the argument of that name.
From a shell, ``python scripts/train/train_sae.py --help`` lists the same arguments. Bad input ends
either way with one sentence and exit status 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import logging
import os
import sys
import traceback
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from isoenergy.errors import InputError

LOG = logging.getLogger("isoenergy")


def run(function: Callable[..., None], job: Any = None) -> None:
    """Call ``function`` with the arguments of a Snakemake job, or of the command line without one.

    Parameters
    ----------
    function : callable
        Takes keyword arguments; a parameter annotated with a dataclass takes a mapping.
    job : object, optional
        The ``snakemake`` object of a ``script:`` job.

    Raises
    ------
    SystemExit
        With status 1 after bad input or any other failure, which is logged.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    LOG.setLevel(logging.INFO)
    try:
        if job is None:
            arguments = parse_arguments(function, sys.argv[1:])
        else:
            if job.log:
                Path(job.log[0]).parent.mkdir(parents=True, exist_ok=True)
                LOG.addHandler(logging.FileHandler(job.log[0], mode="w", encoding="utf-8"))
            # Jobs share the terminal, where bars would overwrite each other.
            os.environ["ISOENERGY_PROGRESS"] = "lines"
            arguments = job_arguments(job)
        function(**convert(function, arguments))
    except InputError as error:
        LOG.error("%s", error)
        raise SystemExit(1) from None
    except Exception:
        LOG.error("%s", traceback.format_exc())
        raise SystemExit(1) from None


def job_arguments(job: Any) -> dict[str, Any]:
    """The named inputs, outputs and params of a job; unnamed ones are for Snakemake alone."""
    return {
        name: list(value) if isinstance(value, list | tuple) else value
        for part in (job.input, job.output, job.params)
        for name, value in part.items()
    }


def convert(function: Callable[..., None], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Turn mappings into the dataclasses that the function's annotations ask for.

    Raises
    ------
    InputError
        If a mapping lacks a field or has one too many.
    """
    hints = typing.get_type_hints(function)
    converted = dict(arguments)
    for name, value in arguments.items():
        kind = hints.get(name)
        if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
            fields = [field.name for field in dataclasses.fields(kind)]
            try:
                converted[name] = kind(**value)
            except TypeError:
                raise InputError(
                    f"{name} is {dict(value)}; it takes the keys {', '.join(fields)}"
                ) from None
    return converted


def parse_arguments(function: Callable[..., None], words: list[str]) -> dict[str, Any]:
    """Read a function's arguments from the command line; values that are no paths are YAML."""
    told = inspect.getdoc(function) or ""
    parser = argparse.ArgumentParser(
        description=told, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    hints = typing.get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            required=parameter.default is parameter.empty,
            default=argparse.SUPPRESS,
            type=str if hints.get(name) in (str, str | Path, Path) else yaml.safe_load,
            metavar=name.upper(),
        )
    return vars(parser.parse_args(words))
