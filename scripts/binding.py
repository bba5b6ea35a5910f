"""Bind a script to one library function: a rule's named files and params, or the command line.

Under Snakemake every named input, output and param of the rule becomes the argument of that name;
a param ``each``, a list of mappings, makes one call of each, with what the mapping adds;
a param ``processes`` above 1 has torchrun start so many, which do the work of the job together.
From a shell, ``python scripts/train/train_saes.py --help`` lists the same arguments. Bad input, a
full disk and want of memory end either way with one sentence and exit status 1. That of a job is
the last line of its log, for the run to print (isoenergy.ending).
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import logging
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from isoenergy.devices import claim_gpus
from isoenergy.ending import INTERRUPTED, MARK
from isoenergy.errors import InputError
from isoenergy.system_errors import explain

LOG = logging.getLogger("isoenergy")
# Host and process id of the workflow that started this job, set in rules/common.smk.
RUN_VARIABLE = "ISOENERGY_RUN"
# Of these torch takes MKL's before OpenMP's; Snakemake sets all.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# The param of a job that calls its function several times: what each call adds to the arguments.
CALLS = "each"
# The param of a job whose function several processes run together.
PROCESSES = "processes"
# What torchrun sets in the processes that it starts.
SEVERAL = "TORCHELASTIC_RUN_ID"


def run(function: Callable[..., None], job: Any = None, script: str | Path | None = None) -> None:
    """Call ``function`` with the arguments of a Snakemake job, or of the command line without one.

    Parameters
    ----------
    function : callable
        Takes keyword arguments; a parameter annotated with a dataclass takes a mapping.
    job : object, optional
        The ``snakemake`` object of a ``script:`` job.
    script : path, optional
        The script itself, which torchrun starts where a job asks for several processes.

    Raises
    ------
    SystemExit
        With status 1 after bad input or any other failure, which is logged; 130 after Ctrl-C.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    LOG.setLevel(logging.INFO)
    try:
        if job is None:
            if SEVERAL in os.environ:
                _be_one_of_several()
            arguments = parse_arguments(function, sys.argv[1:])
        else:
            if job.log:
                Path(job.log[0]).parent.mkdir(parents=True, exist_ok=True)
                LOG.addHandler(logging.FileHandler(job.log[0], mode="w", encoding="utf-8"))
            end_with_the_run()
            claim_gpus(job.resources.get("gpu", 0))
            # Jobs share the terminal, where bars would overwrite each other.
            os.environ["ISOENERGY_PROGRESS"] = "lines"
            arguments = job_arguments(job)
            if "threads" in inspect.signature(function).parameters:
                # No param: it changes nothing that is written, and would have the job run again.
                arguments["threads"] = job.threads
        processes = int(arguments.pop(PROCESSES, 1))
        if processes > 1:
            run_by_several(script, arguments, processes)
            return
        for own in arguments.pop(CALLS, [{}]):
            function(**convert(function, {**arguments, **own}))
    except KeyboardInterrupt:
        LOG.error("%s", INTERRUPTED)
        raise SystemExit(128 + signal.SIGINT) from None
    except Exception as error:
        _tell(error, job)
        raise SystemExit(1) from None


def _tell(error: Exception, job: Any) -> None:
    """Say why this process ends: in the log of a job, which the run reads, else on the screen."""
    sentence = explain(error) or (str(error) if isinstance(error, InputError) else "")
    marked = job is not None or SEVERAL in os.environ
    told = (MARK * marked + " ".join(sentence.split())) if sentence else traceback.format_exc()
    logs = [one for one in LOG.handlers if isinstance(one, logging.FileHandler)]
    try:
        for log in logs:
            log.stream.write(f"{told}\n")
            log.flush()
    except OSError:
        logs = []
    if not (logs and _run_is_here()):
        print(told, file=sys.stderr, flush=True)


def _run_is_here() -> bool:
    """Whether the run that started this job is on this machine, and reads its log."""
    return os.environ.get(RUN_VARIABLE, "").rpartition(":")[0] == socket.gethostname()


def end_with_the_run() -> None:
    """End this process as soon as the local run that started it is gone, killed for example.

    Else a run started again would find the jobs of the first one still at work. A job on another
    machine of a cluster is left to its queue.
    """
    if not _run_is_here() or not hasattr(os, "pidfd_open"):
        return
    process = os.environ[RUN_VARIABLE].rpartition(":")[2]

    def watch() -> None:
        try:
            run = os.pidfd_open(int(process))
        except ProcessLookupError:
            pass
        else:
            select.select([run], [], [])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def run_by_several(script: str | Path, arguments: Mapping[str, Any], processes: int) -> None:
    """Have torchrun start a script in several processes of this machine; its messages are ours.

    Raises
    ------
    InputError
        If a process gives a sentence; the same.
    SystemExit
        With status 1 if a process fails otherwise.
    """
    words = [
        word
        for name, value in arguments.items()
        for word in (
            f"--{name.replace('_', '-')}",
            value if isinstance(value, str) else json.dumps(value),
        )
    ]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*launcher, "--nproc-per-node", str(processes), str(script), *words]
    # Cores are shared out, and the processes end with this one.
    cores = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    changes = {
        **dict.fromkeys(THREAD_VARIABLES, str(max(cores // processes, 1))),
        RUN_VARIABLE: f"{socket.gethostname()}:{os.getpid()}",
    }
    with subprocess.Popen(
        command, env={**os.environ, **changes}, stderr=subprocess.PIPE, text=True
    ) as started:
        refused = ""
        for line in started.stderr:
            LOG.info("%s", line.rstrip("\n"))
            if line.startswith(MARK):
                refused = line.removeprefix(MARK).strip()
    if started.returncode and refused:
        raise InputError(refused)
    if started.returncode:
        raise SystemExit(1)


def _be_one_of_several() -> None:
    """End with who had torchrun start this process; the first one alone tells of progress."""
    end_with_the_run()
    os.environ["ISOENERGY_PROGRESS"] = "lines"
    if os.environ["RANK"] != "0":
        LOG.setLevel(logging.WARNING)


def job_arguments(job: Any) -> dict[str, Any]:
    """The named inputs, outputs and params of a job; unnamed ones are for Snakemake alone."""
    arguments = {
        name: list(value) if isinstance(value, list | tuple) else value
        for part in (job.input, job.output, job.params)
        for name, value in part.items()
    }
    results = getattr(job, "config", {}).get("results")
    if not results:
        return arguments
    root = f"{results}/"
    copies = _copies_folder(root, job.output)
    return _in_copies(arguments, root, copies) if copies else arguments


def _copies_folder(root: str, paths: Iterable[str]) -> str:
    """Where results lie while a job runs: empty, or in a run with a storage its local copies."""
    return next((p[: p.index(f"/{root}") + 1] for p in map(str, paths) if f"/{root}" in p), "")


def _in_copies(value: Any, root: str, copies: str) -> Any:
    """Paths of results, which Snakemake leaves as they are in params, among the local copies."""
    if isinstance(value, Mapping):
        return {key: _in_copies(inner, root, copies) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_in_copies(inner, root, copies) for inner in value]
    return copies + value if isinstance(value, str) and value.startswith(root) else value


def convert(function: Callable[..., None], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Turn arguments into the numbers and dataclasses that the function's annotations ask for.

    Raises
    ------
    InputError
        If a number is none, or a mapping lacks a field or has one too many.
    """
    hints = typing.get_type_hints(function)
    return {name: _converted(name, value, hints.get(name)) for name, value in arguments.items()}


def _converted(name: str, value: Any, kind: Any) -> Any:
    if dataclasses.is_dataclass(of := _element(kind)):
        if not isinstance(value, list):
            raise InputError(f"{name} is {value!r}; a list is needed")
        return [_converted(f"{name}[{i}]", one, of) for i, one in enumerate(value)]
    if dataclasses.is_dataclass(kind) and not isinstance(value, kind):
        fields = [field.name for field in dataclasses.fields(kind)]
        told = f"it takes the keys {', '.join(fields)}"
        if not isinstance(value, Mapping):
            raise InputError(f"{name} is {value!r}; {told}")
        hints = typing.get_type_hints(kind)
        values = {key: _converted(f"{name}.{key}", v, hints.get(key)) for key, v in value.items()}
        try:
            return kind(**values)
        except TypeError:
            raise InputError(f"{name} is {dict(value)}; {told}") from None
    allowed = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None and type(None) in allowed:
        return None
    numbers = [number for number in (int, float) if number in allowed]
    if len(numbers) == 1 and str not in allowed:
        return _number(name, value, numbers[0])
    return value


def _element(kind: Any) -> Any:
    """What a list is of, by its annotation; None for what is no list."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is list else None


def _number(name: str, value: Any, kind: type) -> int | float:
    """A number, also where YAML reads one such as 1e-3 as text."""
    try:
        found = float(value)
        if isinstance(value, bool) or (kind is int and not found.is_integer()):
            raise ValueError
    except (TypeError, ValueError):
        wanted = "a whole number" if kind is int else "a number"
        raise InputError(f"{name} is {value!r}; {wanted} is needed") from None
    return kind(value) if isinstance(value, int | float) else kind(found)


def parse_arguments(function: Callable[..., None], words: list[str]) -> dict[str, Any]:
    """Read a function's arguments from the command line; values that are no paths are YAML."""
    told = inspect.getdoc(function) or ""
    parser = argparse.ArgumentParser(
        description=re.split(r"\n(?:Parameters|Returns|Raises)\n-+\n", told)[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hints = typing.get_type_hints(function)
    described = describe_parameters(told)
    for name, parameter in inspect.signature(function).parameters.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            required=parameter.default is parameter.empty,
            default=argparse.SUPPRESS,
            type=str if hints.get(name) in (str, str | Path, Path) else yaml.safe_load,
            metavar=name.upper(),
            help=_help(described.get(name, ""), hints.get(name)),
        )
    return vars(parser.parse_args(words))


def describe_parameters(docstring: str) -> dict[str, str]:
    """What a numpy-style docstring says of each parameter, on one line each."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-+$|\Z)", docstring, re.M | re.S)
    described: dict[str, str] = {}
    names: list[str] = []
    for line in section[1].splitlines() if section else ():
        if line and not line.startswith(" "):
            names = re.split(r", ", line.partition(" : ")[0])
            described |= {name: line.partition(" : ")[2] + "." for name in names}
        elif line.strip():
            described |= {name: f"{described[name]} {line.strip()}" for name in names}
    return described


def _help(described: str, kind: Any) -> str:
    several = _element(kind) is not None
    kind = _element(kind) or kind
    if dataclasses.is_dataclass(kind):
        fields = ", ".join(f"{field.name}: ..." for field in dataclasses.fields(kind))
        described += f" As YAML: {'[' * several}{{{fields}}}{', ...]' * several}"
    return described.replace("%", "%%")
