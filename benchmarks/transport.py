"""Exact transport between two dictionaries: this library against POT's dense solver.

Both start from the same atoms and energies and end with a plan. Each case runs in a process of its
own, on one thread; memory is the process's peak, all libraries and both dictionaries included.
Ends with an error where a gap or the cost misses its bound, or the largest size that both solve
takes too much of POT's time.

    python benchmarks/transport.py --sizes 1024 4096 8192 --alone 16384 32768
"""

import argparse
import multiprocessing
import os
import resource
import sys
import time
from pathlib import Path

from threads import told_threads

os.environ |= told_threads(1)
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import numpy as np
from bounds import Bound, settle

DIM = 512
# Bounds: of the largest size that both solve, and of the proved gap.
FASTER, GAP = 1.5, 1e-6
# Atoms per cluster, their spread around its centre, and the spread of the logarithm of energies.
CLUSTER, SPREAD, LOG_ENERGY = 16, 0.7, 2.0


def dictionary(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit-norm atoms around centres that all seeds share, and their energies."""
    centres = np.random.default_rng(0).standard_normal((size // CLUSTER, DIM))
    rng = np.random.default_rng(seed)
    atoms = centres[rng.integers(0, len(centres), size)]
    atoms = atoms + SPREAD * rng.standard_normal((size, DIM))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    return atoms.astype(np.float32), np.exp(LOG_ENERGY * rng.standard_normal(size))


def ours(x: np.ndarray, a: np.ndarray, y: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Cost and proved relative gap, by column generation at every size."""
    from isoenergy.measure.transport import transport_vectors

    solved = transport_vectors(a, x, b, y, largest_dense=0)
    return solved.cost, solved.gap


def pot(x: np.ndarray, a: np.ndarray, y: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Cost by ``ot.emd`` on the matrix of all costs; it states no gap."""
    for backend in ("PYTORCH", "JAX", "CUPY", "TENSORFLOW"):
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{backend}", "1")
    import ot

    cost = 1 - x.astype(np.float64) @ y.T.astype(np.float64)
    plan = ot.emd(a / a.sum(), b / b.sum(), cost, numItermax=2**31)
    return float((plan * cost).sum()), float("nan")


def measure(solver: str, size: int) -> dict[str, float]:
    """Seconds, peak memory in GB, cost and gap of one solve."""
    solve = {"ours": ours, "pot": pot}[solver]
    solve(*dictionary(CLUSTER, 1), *dictionary(CLUSTER, 2))  # loads what is loaded once
    problem = *dictionary(size, 1), *dictionary(size, 2)
    start = time.perf_counter()
    cost, gap = solve(*problem)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"seconds": seconds, "memory": peak, "cost": cost, "gap": gap}


def main() -> None:
    """Print a markdown table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[1024, 4096, 8192])
    parser.add_argument("--alone", type=int, nargs="*", default=[16384, 32768])
    arguments = parser.parse_args()
    print("| K | ours, s | GB | gap | POT, s | GB | time ratio | memory ratio | cost, difference |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    bounds = []
    for size in [*arguments.sizes, *arguments.alone]:
        found = {}
        for solver in ("ours", "pot") if size in arguments.sizes else ("ours",):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found[solver] = pool.apply(measure, (solver, size))
        own, other = found["ours"], found.get("pot")
        row = f"| {size:,} | {own['seconds']:.1f} | {own['memory']:.2f} | {own['gap']:.1e} | "
        if other is None:
            row += "| | | | |"
        else:
            row += (
                f"{other['seconds']:.1f} | {other['memory']:.2f} | "
                f"{other['seconds'] / own['seconds']:.2f} | "
                f"{other['memory'] / own['memory']:.1f} | {own['cost'] - other['cost']:.1e} |"
            )
            at = f"at K = {size:,}"
            ratio, difference = other["seconds"] / own["seconds"], own["cost"] - other["cost"]
            if size == max(arguments.sizes):
                bounds.append(Bound(f"times faster than POT, {at}", ratio, FASTER, at_least=True))
            bounds.append(Bound(f"cost above POT's, {at}", difference / other["cost"], GAP))
        bounds.append(Bound(f"proved relative gap, at K = {size:,}", own["gap"], GAP))
        print(row, flush=True)
    settle(bounds)


if __name__ == "__main__":
    main()
