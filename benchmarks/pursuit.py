"""Training steps of matching pursuit: this library against overcomplete's `MpSAE` in its own loop.

Both start from the same dictionary and take the same pairs, with the masked cosine of SAE-A, Adam
and gradient clipping. Pairs are isotropic and the dictionary is as training starts with it: every
atom is as likely as every other, which asks for the most rows of the Gram matrix. Each library
runs in a process of its own, on two threads; they take steps by turns, so that whatever else the
machine does slows both. Where the reference would need too much memory it gets fewer rows; time is
per row. Of several steps the fastest counts; ours takes one more before, which compiles. Memory is
the process's peak.

Ends with an error where a ratio or the memory misses its bound, or atoms differ: none may in
float64, at most 1 row in 10,000 in float32.

    python benchmarks/pursuit.py
"""

import argparse
import contextlib
import io
import multiprocessing
import os
import resource
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from threads import told_threads

THREADS = 2
os.environ |= told_threads(THREADS)
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import numpy as np
import torch
from bounds import Bound, settle

DIM, BETA, RATE, CLIP = 512, 1e-4, 1e-4, 1.0
LARGEST_SHARE = 1e-4


@dataclass(frozen=True)
class Case:
    """One size.

    Attributes
    ----------
    atoms, l0 : int
    rows, their_rows : int
        Rows of a step, images and texts together, here and of the reference.
    steps : int
        Timed steps of each.
    double_rows, single_rows : int
        Rows whose atoms are compared in float64 and in float32.
    ratio : float
        The least allowed.
    memory : float
        The most allowed, in GB.
    """

    atoms: int
    l0: int
    rows: int
    their_rows: int
    steps: int
    double_rows: int
    single_rows: int
    ratio: float
    memory: float


CASES = (
    Case(1024, 20, 1024, 1024, 5, 1024, 102_400, 6, 8),
    Case(4096, 20, 1024, 1024, 5, 1024, 20_480, 10, 8),
    Case(32_768, 50, 1024, 128, 2, 128, 1024, 15, 8),
)


def pairs(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit-norm images and texts that share half of their variance, ``rows`` together."""
    rng = np.random.default_rng(seed)
    shared, *own = rng.standard_normal((3, rows // 2, DIM))
    sides = [(shared + part).astype(np.float32) for part in own]
    return tuple(side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)


def own_sae(case: Case):
    """The SAE of this library."""
    from isoenergy.train.checkpoint import build_sae

    return build_sae("matching_pursuit", DIM, case.atoms, case.l0, 0).train()


def their_sae(case: Case):
    """Overcomplete's of the same dictionary, without the vision models its top level imports."""
    if "overcomplete" not in sys.modules:
        package = ModuleType("overcomplete")
        package.__path__ = list(find_spec("overcomplete").submodule_search_locations)
        sys.modules["overcomplete"] = package
    from overcomplete.sae import MpSAE

    sae = MpSAE(DIM, case.atoms, k=case.l0)
    with torch.no_grad():
        sae.dictionary._weights.copy_(own_sae(case).dictionary)
    return sae.train()


def own_step(case: Case):
    """A function that takes one step of this library's trainer."""
    from isoenergy.train.fit import Objective, Training, take_step

    sae = own_sae(case)
    training = Training(1, case.rows // 2, RATE, CLIP, "masked_cosine", BETA)
    objective, optimiser = Objective(sae, training), torch.optim.Adam(sae.parameters(), lr=RATE)
    x = torch.from_numpy(np.concatenate(pairs(case.rows, 1)))
    return lambda: take_step(objective, sae, x, case.rows, training, optimiser)


def their_step(case: Case):
    """A function that takes one step of overcomplete's trainer, on the first of the rows."""
    sae = their_sae(case)
    from overcomplete.sae.train import train_sae

    half = case.their_rows // 2
    x = torch.from_numpy(np.concatenate([side[:half] for side in pairs(case.rows, 1)]))
    optimiser = torch.optim.Adam(sae.parameters(), lr=RATE)

    def loss(x, rebuilt, pre_codes, codes, dictionary):
        image, text = codes[:half], codes[half:]
        kept = torch.ones_like(image)
        for side in (image, text):
            kept.scatter_(1, side.argmax(1, keepdim=True), 0.0)
        cosines = torch.cosine_similarity(image * kept, text * kept, dim=1)
        return (x - rebuilt).square().mean() - BETA * cosines.mean()

    def step():
        with contextlib.redirect_stdout(io.StringIO()):
            train_sae(sae, [x], loss, optimiser, nb_epochs=1, clip_grad=CLIP)

    return step


_step = None


def prepare(own: bool, case: Case) -> None:
    """Make this process's step."""
    global _step
    torch.set_num_threads(THREADS)
    _step = (own_step if own else their_step)(case)


def timed() -> tuple[float, float]:
    """Seconds of one step, and processor seconds of all threads together."""
    start, used = time.perf_counter(), time.process_time()
    _step()
    return time.perf_counter() - start, time.process_time() - used


def peak() -> float:
    """Peak memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def differing(case: Case, rows: int, dtype: torch.dtype) -> float:
    """Share of rows for which the two libraries choose other atoms."""
    torch.set_num_threads(THREADS)
    own, theirs = own_sae(case).to(dtype), their_sae(case).to(dtype)
    differ = 0
    with torch.no_grad():
        own.dictionary.copy_(theirs.get_dictionary())
        for start in range(0, rows, case.rows):
            size = min(case.rows, rows - start)
            x = torch.from_numpy(np.concatenate(pairs(size, 2 + start))).to(dtype)
            found = own.encode(x).dense() != 0
            differ += int((found != (theirs.encode(x)[1] != 0)).any(dim=1).sum())
    return differ / rows


def run(case: Case) -> list[Bound]:
    """Print the row of a case; returns what it must not miss."""
    context = multiprocessing.get_context("spawn")
    with (
        context.Pool(1, prepare, (True, case)) as own,
        context.Pool(1, prepare, (False, case)) as theirs,
    ):
        own.apply(timed)
        seconds, their_seconds = [], []
        for _ in range(case.steps):
            seconds.append(own.apply(timed))
            their_seconds.append(theirs.apply(timed))
        memory, their_memory = own.apply(peak), theirs.apply(peak)
    with context.Pool(1) as pool:
        double = pool.apply(differing, (case, case.double_rows, torch.float64))
        single = pool.apply(differing, (case, case.single_rows, torch.float32))
    # The least of each is what the rest of the machine disturbed least.
    each, used = 1000 * np.min(seconds, axis=0) / case.rows
    their_each, their_used = 1000 * np.min(their_seconds, axis=0) / case.their_rows
    ratio, processor = their_each / each, their_used / used
    print(
        f"| {case.atoms:,} | {case.l0} | {case.rows:,} | {each:.2f} | {memory:.1f} | "
        f"{case.their_rows:,} | {their_each:.2f} | {their_memory:.1f} | {ratio:.1f} | "
        f"{processor:.1f} | {case.ratio:g} | {double:.0e} of {case.double_rows:,} | "
        f"{single:.0e} of {case.single_rows:,} |",
        flush=True,
    )
    at = f"at K = {case.atoms:,}"
    return [
        Bound(f"times faster than overcomplete's step, {at}", ratio, case.ratio, at_least=True),
        Bound(f"memory of a step, GB, {at}", memory, case.memory),
        Bound(f"share of rows with other atoms in float64, {at}", double, 0),
        Bound(f"share of rows with other atoms in float32, {at}", single, LARGEST_SHARE),
    ]


def main() -> None:
    """Print a markdown table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--atoms", type=int, nargs="*", default=[case.atoms for case in CASES])
    arguments = parser.parse_args()
    print(f"d = {DIM}, {THREADS} threads; ours | the reference; ms are per row of a training step")
    print(
        "| K | l0 | rows | ms | GB | rows | ms | GB | ratio | of CPU time | at least | "
        "differ, float64 | differ, float32 |"
    )
    print("|" + "---:|" * 13)
    cases = [case for case in CASES if case.atoms in arguments.atoms]
    settle([bound for case in cases for bound in run(case)])


if __name__ == "__main__":
    main()
