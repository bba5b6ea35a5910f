"""One seed per job, derived from the run's seed and what the job is."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *parts: str | int) -> int:
    """A seed for one job.

    Parameters
    ----------
    seed : int
        The run's seed.
    *parts : str or int
        What tells the job from the others: its stage and wildcards.

    Returns
    -------
    int
        In [0, 2**63); equal arguments give equal seeds on every machine.
    """
    text = "\0".join([str(seed), *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *parts: str | int) -> np.random.Generator:
    """A numpy generator seeded with :func:`derive_seed`."""
    return np.random.default_rng(derive_seed(seed, *parts))
