"""What a job asks for, and what its arrays and computations take by their sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from isoenergy.estimate import CPU_PAIRS_PER_SECOND, PAIRS_PER_SECOND

MB = 1e6
# Requests over what is expected: of memory, of disk, of time.
MEMORY_MARGIN, DISK_MARGIN, TIME_MARGIN = 1.4, 1.2, 3.0
# Minutes that no job asks less than: a cluster's file system may be slow to start Python from.
LEAST_MINUTES = 10
# A job that would take one core longer than this asks for more of them.
ONE_CORE_SECONDS, THREADS = 200.0, 8
# Interpreter and libraries, MB: without torch, and with it.
PLAIN, TORCH = 450.0, 600.0


@dataclass(frozen=True)
class Asked:
    """What one job asks for; the names are those of Snakemake's resources.

    Attributes
    ----------
    threads : int
    mem_mb : int
        Megabytes of memory.
    runtime : int
        Minutes.
    disk_mb : int
        Megabytes read and written: both lie on its node where no file system is shared.
    gpu : int
    """

    threads: int
    mem_mb: int
    runtime: int
    disk_mb: int
    gpu: int = 0


def ask(
    memory: float, seconds: float, disk: float = 0.0, gpu: int = 0, shared: bool = False
) -> Asked:
    """Turn what a job is expected to take into what it asks for.

    Parameters
    ----------
    memory : float
        Peak, in MB.
    seconds : float
        On one core, or with ``gpu`` beside it.
    disk : float
        MB read and written.
    gpu : int
    shared : bool
        Whether most of the work is shared out among cores where there are several.
    """
    threads = THREADS if shared and seconds > ONE_CORE_SECONDS else 1
    # Cores that share work wait for each other.
    seconds /= 1 + 0.7 * (threads - 1)
    return Asked(
        threads=THREADS if gpu else threads,
        mem_mb=_up(MEMORY_MARGIN * memory, 100),
        runtime=max(LEAST_MINUTES, math.ceil(TIME_MARGIN * seconds / 60)),
        disk_mb=_up(DISK_MARGIN * disk, 100),
        gpu=gpu,
    )


def training_memory(
    pairs: float, dim: float, n_atoms: float, l0: float, batch_size: float, vector_bytes: int
) -> float:
    """Peak memory of training an SAE, in MB.

    The dictionary with gradient, Adam's two moments and a copy on its way to disk; the rows of the
    Gram matrix that a step's atoms may touch; correlations of a step's rows with every atom, and
    their gradient; the order of the pairs; and the store, which is mapped and stays in memory
    where there is room.
    """
    rows = 2 * batch_size
    floats = 10 * n_atoms * dim + min(rows * l0, n_atoms) * n_atoms + 4 * rows * n_atoms
    return TORCH + (4 * floats + 8 * pairs + 2 * pairs * dim * vector_bytes) / MB


def encoding_memory(
    pairs: float, dim: float, n_atoms: float, l0: float, block: float, vector_bytes: int
) -> float:
    """Peak memory of encoding a store block by block, in MB; as :func:`training_memory`."""
    floats = 2 * n_atoms * dim + min(block * l0, n_atoms) * n_atoms + 3 * block * n_atoms
    return TORCH + (4 * floats + 2 * pairs * (dim * vector_bytes + 8 * l0)) / MB


def vectors_memory(pairs: float, dim: float, copies: float) -> float:
    """So many float32 copies of a store's images and texts, in MB."""
    return 2 * pairs * dim * 4 * copies / MB


def codes_memory(pairs: float, l0: float) -> float:
    """Codes of a store as they lie on disk, and a copy in float64 and its transpose, in MB."""
    return 2 * pairs * l0 * (8 + 2 * 12) / MB


def transport_memory(n: float) -> float:
    """An exact transport plan between n and n vectors, in MB: 1.1 GB were measured at 32,768."""
    return 64 + n**2 / MB


def transport_seconds(n: float) -> float:
    """The same in seconds: 400 were measured at 32,768."""
    return 400 * (n / 32_768) ** 2


def pursuit_seconds(pairs: float, dim: float, n_atoms: float, l0: float) -> float:
    """One pass of training over the pairs, in seconds of one core; see isoenergy.estimate."""
    return pairs * dim * n_atoms * l0 / (256 * 2048 * 20) / CPU_PAIRS_PER_SECOND


def gpu_pursuit_seconds(pairs: float, expansion: float, l0: float) -> float:
    """The same on a GPU: three times what isoenergy.estimate guesses, which is not measured."""
    return 3 * pairs * expansion * l0 / (8 * 20) / PAIRS_PER_SECOND


def _up(number: float, step: int) -> int:
    return max(1, math.ceil(number / step)) * step
