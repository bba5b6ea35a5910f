"""Time and memory of everything measured over pairs of atoms, on synthetic codes.

Frequencies of atoms fall as a power of their rank and values are log-normal. Each quantity is
measured in a process of its own, on one thread; memory is the process's peak, codes included. Ends
with an error where it misses its bound.

    python benchmarks/atoms.py --atoms 32768 --pairs 100000 --l0 50
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
from scipy.sparse import csr_matrix
from transport import DIM, dictionary

POWER = 0.7
MEMORY = 8.0


def codes(size: int, n: int, l0: int, seed: int) -> csr_matrix:
    """Codes with at most ``l0`` non-zeros a row, about nine tenths of that."""
    rng = np.random.default_rng(seed)
    weights = rng.permutation(np.arange(1.0, size + 1)) ** -POWER
    drawn = np.searchsorted(np.cumsum(weights / weights.sum()), rng.random((n, l0)))
    drawn = np.sort(np.minimum(drawn, size - 1), axis=1)
    kept = np.diff(drawn, axis=1, prepend=-1) > 0
    values = rng.lognormal(-2, 1, kept.sum()).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return csr_matrix((values, drawn[kept].astype(np.int32), indptr), shape=(n, size))


def coherence(atoms, image, text):
    """Largest cosine."""
    from isoenergy.measure import blockwise, structure

    return structure.coherence(blockwise.atom_cosines(atoms))


def ranks(atoms, image, text):
    """Ranks of the dictionary."""
    from isoenergy.measure import energy, structure

    both = energy.atom_energies(image, text).both
    return structure.dictionary_ranks(atoms, both)["effective_weighted"]


def rho(atoms, image, text):
    """Both limits and both protocols of the functional alignment."""
    from isoenergy.measure import blockwise, bridge, energy

    bimodal = energy.atom_energies(image, text).groups(0.05) == "bimodal"
    covariance = blockwise.cross_covariance(image, text)
    return bridge.functional_alignment(covariance, blockwise.atom_cosines(atoms), bimodal)["code"]


def structure_of_codes(atoms, image, text):
    """Ranks of the codes, connectivity and negative interference."""
    from isoenergy.measure import structure

    found = structure.code_structure(image, text, atoms, np.random.default_rng(0))
    print(f"  {found}", file=sys.stderr)
    return found.effective_rank


def faithfulness(atoms, image, text):
    """C-insertion and C-deletion of one modality, 20 steps."""
    from isoenergy.embed.rows import Rows
    from isoenergy.measure.faithfulness import faithfulness_scores
    from isoenergy.measure.reconstruction import reconstruct

    rows = reconstruct(image, atoms)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return faithfulness_scores(Rows([rows]), image, atoms, 20)["insertion"]


QUANTITIES = (coherence, ranks, rho, structure_of_codes, faithfulness)


def measure(which: int, size: int, pairs: int, l0: int) -> tuple[float, float, float]:
    """Seconds, peak memory in GB before and after, and the number itself."""
    problem = dictionary(size, 1)[0], *(codes(size, pairs, l0, seed) for seed in (1, 2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    start = time.perf_counter()
    value = float(QUANTITIES[which](*problem))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return seconds, before, peak, value


def main() -> None:
    """Print a markdown table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--atoms", type=int, default=32768)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--l0", type=int, default=50)
    parser.add_argument("--only", nargs="*", default=[found.__name__ for found in QUANTITIES])
    arguments = parser.parse_args()
    print(f"{arguments.atoms:,} atoms of {DIM} dimensions, {arguments.pairs:,} pairs")
    print("| quantity | s | GB, inputs made | GB, peak | value |")
    print("|---|---:|---:|---:|---:|")
    bounds = []
    for which, quantity in enumerate(QUANTITIES):
        if quantity.__name__ in arguments.only:
            case = (which, arguments.atoms, arguments.pairs, arguments.l0)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, before, peak, value = pool.apply(measure, case)
            name = quantity.__name__.replace("_", " ")
            print(
                f"| {name} | {seconds:.1f} | {before:.2f} | {peak:.2f} | {value:.6g} |", flush=True
            )
            bounds.append(Bound(f"memory of {name}, GB", peak, MEMORY))
    settle(bounds)


if __name__ == "__main__":
    main()
