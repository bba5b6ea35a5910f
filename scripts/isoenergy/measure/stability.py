"""Stability: how far apart are dictionaries that differ by seed alone? (SPEC 4, X17)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isoenergy.errors import InputError
from isoenergy.files import read_parquet
from isoenergy.measure.metric import Metric, why_not_finite
from isoenergy.measure.opened import read_dictionary
from isoenergy.measure.record import write_metrics
from isoenergy.measure.transport import transport_vectors
from isoenergy.seeds import generator

STABILITY_METRICS = ("stability", "stability_null")


def dictionary_distance(
    a: np.ndarray, energy_a: np.ndarray, b: np.ndarray, energy_b: np.ndarray
) -> float:
    """Exact transport cost between two dictionaries, weighted by energy, cost 1 - cosine.

    Parameters
    ----------
    a, b : ndarray of shape (K, dim), (L, dim)
        Unit-norm rows.
    energy_a, energy_b : ndarray of shape (K,), (L,)

    Returns
    -------
    float
        In [0, 2]; 0 for the same atoms in another order. NaN where a dictionary has no energy.

    Raises
    ------
    TransportError
        If the plan is not shown to be optimal.
    """
    if not (energy_a.any() and energy_b.any()):
        return float("nan")
    return transport_vectors(energy_a, a, energy_b, b).cost


def measure_stability(
    weights: Sequence[str | Path],
    atoms: Sequence[str | Path],
    folder: str | Path,
    seed: int,
) -> None:
    """Measure the distance of each dictionary to the next, and write ``STABILITY_METRICS``.

    Parameters
    ----------
    weights : sequence of path
        ``sae.safetensors`` of SAEs that differ by seed.
    atoms : sequence of path
        Their per-atom tables, for the energies.
    folder : path
        Where ``stability.json`` and ``stability_null.json`` go: mean and standard deviation of
        the distances, and the same with the second dictionary's energies permuted. NaN for a
        single dictionary, and where one of them is dead.
    seed : int
        Permutes the energies.

    Raises
    ------
    InputError
        If a file is broken or lacks a column.
    """
    rng = generator(seed, "stability")
    learned = [_read(*paths) for paths in zip(weights, atoms, strict=True)]
    found: dict[str, list[float]] = {"stability": [], "stability_null": []}
    for (a, energy_a), (b, energy_b) in itertools.pairwise(learned):
        found["stability"].append(dictionary_distance(a, energy_a, b, energy_b))
        shuffled = rng.permutation(energy_b)
        found["stability_null"].append(dictionary_distance(a, energy_a, b, shuffled))
    metrics = []
    for name, values in found.items():
        mean = {"code": float(np.mean(values)) if values else float("nan")}
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
        told = {"dictionaries": len(learned)}
        why = (
            "a dictionary has no energy" if values else "there is a single dictionary, of one seed"
        )
        note = why_not_finite(mean, why)
        metrics.append(Metric(name, mean, told, seed=seed, sd=spread, note=note))
    write_metrics(folder, metrics, STABILITY_METRICS, f"{__name__}.STABILITY_METRICS")


def _read(weights: str | Path, atoms: str | Path) -> tuple[np.ndarray, np.ndarray]:
    dictionary = read_dictionary(weights)
    energy = read_parquet(atoms, columns=["energy"])["energy"].to_numpy()
    if len(energy) != len(dictionary):
        raise InputError(
            f"{atoms} is not of {weights}: {len(energy)} and {len(dictionary)} atoms; delete "
            f"{atoms} and run again"
        )
    return dictionary, energy
