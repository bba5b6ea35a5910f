"""Whether any machine, or this one, holds what a run computes with, before it is computed.

Counted is what a job cannot do without: not stores, which are mapped and may be larger than memory,
nor margins, nor what several SAEs share.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isoenergy.demand import (
    MB,
    PLAIN,
    TORCH,
    encoding_memory,
    training_memory,
    transport_memory,
    vectors_memory,
)
from isoenergy.run import Run
from isoenergy.sizes import Sizes

# Keys that memory grows with, each with the smallest value that it can have.
_KEYS = {
    "sae.expansion": 1,
    "sae.l0": 1,
    "sae_training.batch_size": 1,
    "encode.block": 1,
    "measure.wasserstein": 2,
    "measure.gap": 2,
    "toy.rows": 1,
    "toy.dim": 1,
    "toy.toy-1.n_atoms": 1,
    "toy.toy-2.n_atoms": 1,
}
_CGROUP = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Job:
    """A kind of job, and the megabytes that it cannot do without."""

    what: str
    memory: float


@dataclass(frozen=True)
class Memory:
    """So many megabytes, and what has them."""

    size: float
    where: str


# The largest machines that there are; of the nodes of a cluster nothing else is known.
LARGEST = Memory(32e6, "the largest machine")


def machine_memory() -> Memory:
    """Memory of this machine, or of the container that this process runs in."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in map(Path, _CGROUP):
        if path.is_file() and (told := path.read_text().strip()).isdigit():
            sizes.append(int(told))
    return Memory(min(sizes) / MB, "this machine")


def job_memory(queued: bool, told: Any) -> Memory:
    """The memory that a job can have at most.

    Parameters
    ----------
    queued : bool
        Whether jobs go to the queue of a cluster, whose nodes this machine does not know.
    told : object
        What a profile or the command line says of ``mem_mb``; Snakemake has None, or a resource
        without a value, where nothing is said.
    """
    if not queued:
        return machine_memory()
    size = getattr(told, "value", told)
    return Memory(float(size), "the profile") if isinstance(size, int | float) else LARGEST


def largest_job(run: Run, saes: bool, toys: bool) -> Job | None:
    """The job that takes the most memory, of those whose memory settings decide.

    Parameters
    ----------
    run : Run
    saes, toys : bool
        Whether SAEs of the run, and those on toy data, are made.

    Returns
    -------
    Job or None
        None without SAEs, or where their store is broken.
    """
    return max(_jobs(run, saes, toys), key=lambda job: job.memory, default=None)


def too_large(run: Run, saes: bool, toys: bool, memory: Memory) -> str | None:
    """A sentence with the key to lower, where the largest job does not fit; None where all do.

    Parameters
    ----------
    run, saes, toys
        See :func:`largest_job`.
    memory : Memory
        What a job can have.
    """
    largest = largest_job(run, saes, toys)
    if largest is None or largest.memory <= memory.size:
        return None
    number = list(_jobs(run, saes, toys)).index(largest)

    def left(**changes: Any) -> float:
        """What the same job takes in a run of other settings."""
        return list(_jobs(replace(run, **changes), saes, toys))[number].memory

    lower = {
        f"key {key} is {told}": left(config=_changed(run.config, key.split("."), least))
        for key, least in _KEYS.items()
        if (told := _value(run.config, key)) is not None
    }
    for sae in dict.fromkeys(name for _, name in run.trained()):
        row = run.saes[sae]
        if row["expansion"]:
            told = f"config/saes.tsv: {sae} has expansion {row['expansion']}"
            lower[told] = left(saes={**run.saes, sae: {**row, "expansion": 1}})
    key = min(lower, key=lower.__getitem__)
    way_out = "lower it"
    if lower[key] > memory.size:
        way_out = (
            f"at its lowest it leaves {gigabytes(lower[key])}, so lower others too, or take "
            "narrower embeddings or a larger machine"
        )
    return (
        f"{key}, so that {largest.what} takes at least {gigabytes(largest.memory)} of memory, and "
        f"{memory.where} has {gigabytes(memory.size)}; {way_out}"
    )


def _jobs(run: Run, saes: bool, toys: bool) -> Iterator[Job]:
    """What jobs take by their atoms and samples, in an order that keys do not change."""
    if saes:
        yield from _SizesOfSaes(run).jobs()
    for toy in run.toys() if toys else ():
        block = run.config["toy"]
        own, dim, rows = block[toy], block["dim"], block["rows"]
        batch = min(block["training"]["batch_size"], rows)
        memory = training_memory(rows, dim, own["n_atoms"], own["l0"], batch, 4)
        yield Job(f"training on {toy}", memory + vectors_memory(rows, dim, 1))


class _SizesOfSaes(Sizes):
    """SAEs and what is measured of them."""

    def jobs(self) -> Iterator[Job]:
        train, settings = self._run.train, self._config["measure"]
        pairs = self._pairs(train)
        batch = min(self._config["sae_training"]["batch_size"], pairs)
        block = min(self._config["encode"]["block"], pairs)
        for model, sae in self._run.trained():
            if not self._dim(model):
                continue  # a store that is broken, which is told elsewhere
            sizes = dim, n_atoms, _ = self._sizes(model, sae)
            yield Job(f"training {sae}", training_memory(0, *sizes, batch, 4))
            yield Job(f"encoding with {sae}", encoding_memory(0, *sizes, block, 4))
            yield Job(f"measuring {sae}", PLAIN + transport_memory(n_atoms))
            few, sample = (min(settings[name], pairs) for name in ("wasserstein", "gap"))
            yield Job("measuring Wasserstein distances", PLAIN + transport_memory(few))
            yield Job("measuring the gap", TORCH + vectors_memory(sample, dim, 2))


def _value(config: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config


def _changed(config: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    first, *rest = path
    return {**config, first: _changed(config[first], rest, value) if rest else value}


def gigabytes(memory: float) -> str:
    """Megabytes as gigabytes, for readers."""
    return f"{memory / 1000:,.0f} GB" if memory >= 1e4 else f"{memory / 1000:.1f} GB"
