"""Training at the paper's size: time per epoch, memory, waiting for data, and reading pairs once.

Sizes and training are those of config/config.yaml, d is 512. A float16 store is made on disk: a
slice of what the paper has, as times are linear in pairs; pairs are isotropic, as in pursuit.py,
which is the least favourable. The first table is of SAE-A: the slice is opened, checked and
hashed, as by every training, and trained on for one epoch in another process, with its pages
dropped from the system's cache before, so that they come from disk. All times are extrapolated to
the paper's pairs and epochs in proportion. Memory is the process's own at its highest; files that
are mapped are not counted, as the system takes their pages back when it needs them. The share of
time spent waiting for data is what the training log tells.

The second table is of SAEs of one seed, of which each is trained in a process of its own, and then
all in one: pairs read count one for every pass over the pairs (checks, hash and epochs). The
checkpoints must be the same to the byte.

Ends with an error where a bound is missed.

    python benchmarks/training.py
"""

import argparse
import logging
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from threads import told_threads

THREADS = 2
os.environ |= told_threads(THREADS)
REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

import numpy as np
import yaml
from bounds import Bound, settle

DIM, BETA = 512, 1e-4
# SAEs of the second table: architecture, alignment, beta.
SEVERAL = (
    ("matching_pursuit", None, 0.0),
    ("matching_pursuit", "masked_cosine", 1e-4),
    ("matching_pursuit", "masked_cosine", 4e-4),
    ("topk", None, 0.0),
)
FILES = ("sae.safetensors", "config.json", "history.parquet", "state.safetensors")
# Bounds: hours of the whole training, GB, share of the time, and times faster than separate runs.
HOURS, MEMORY, WAITING, FASTER = 1.5, 2.0, 0.05, 1.0


def write_pairs(folder: Path, n: int) -> None:
    """Unit-norm images and texts that share half of their variance, in float16."""
    folder.mkdir()
    sides = [
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, (n, DIM))
        for name in ("image", "text")
    ]
    rng = np.random.default_rng(0)
    for start in range(0, n, 8192):
        shared, *own = rng.standard_normal((3, min(8192, n - start), DIM), dtype=np.float32)
        for side, part in zip(sides, own, strict=True):
            x = shared + part
            side[start : start + len(x)] = x / np.linalg.norm(x, axis=1, keepdims=True)
    for side in sides:
        side.flush()


def drop_from_cache(folder: Path) -> None:
    """Have the system forget the pages of a store's files, which no process has open."""
    for path in folder.glob("*.npy"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def training_of(config: dict, alignment: str | None, beta: float):
    """The config's training, for one epoch."""
    from isoenergy.train.fit import Training

    told = config["sae_training"]
    keys = ("batch_size", "peak_rate", "clip_norm")
    return Training(1, **{key: told[key] for key in keys}, alignment=alignment, beta=beta)


class Peak:
    """The most memory of its own that this process has had while it was watched, in GB."""

    def __init__(self) -> None:
        self.bytes, self._ended = 0, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            told = Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]
            self.bytes = max(self.bytes, int(told) * 1024)

    def end(self) -> float:
        """Stop watching; the peak."""
        self._ended.set()
        return self.bytes / 1e9


def check(store: Path) -> float:
    """Seconds of what precedes the first step: a store is opened and checked, pairs are hashed."""
    from isoenergy.embed.store import open_store
    from isoenergy.train.pairs import identify

    start = time.perf_counter()
    opened = open_store(store)
    identify(opened.image, opened.text)
    return time.perf_counter() - start


def train_epoch(store: Path, config: dict, folder: Path) -> tuple[float, float, float, float]:
    """Seconds and CPU seconds of an epoch, its share spent waiting for pairs, and peak memory."""
    import torch

    from isoenergy.embed.store import open_store
    from isoenergy.train.checkpoint import build_sae
    from isoenergy.train.fit import Fit, fit_together
    from isoenergy.train.sae import SAE

    torch.set_num_threads(THREADS)
    told = []
    log = logging.getLogger("isoenergy")
    log.setLevel(logging.INFO)
    keep = logging.Handler()
    keep.emit = lambda record: told.append(record.args)
    log.addHandler(keep)

    def new() -> SAE:
        size = (DIM, config["sae"]["expansion"] * DIM, config["sae"]["l0"])
        return build_sae("matching_pursuit", *size, 0).train()

    training = training_of(config, "masked_cosine", BETA)
    opened = open_store(store, check_values=False)
    # The first step loads what was compiled, or compiles it.
    few = type(opened.image)([opened.image[: training.batch_size]])
    fit_together([Fit(new(), training, 0, folder / "warm", "first step")], few, few, "")
    peak = Peak()
    start, used = time.perf_counter(), time.process_time()
    one = Fit(new(), training, 0, folder / "state", "epoch")
    fit_together([one], opened.image, opened.text, "")
    seconds, used = time.perf_counter() - start, time.process_time() - used
    return seconds, used, told[-1][1] / 100, peak.end()


def train_some(store: Path, config: dict, folder: Path, which: list[int]) -> tuple[float, int]:
    """Train these of the SAEs in one call; processor seconds and the number of pairs read."""
    import torch

    from isoenergy.embed.rows import Rows
    from isoenergy.train.saes import Recipe, train_saes

    torch.set_num_threads(THREADS)
    rows, read = 0, Rows.__getitem__

    def counted(self, wanted):
        nonlocal rows
        values = read(self, wanted)
        rows += len(values)
        return values

    Rows.__getitem__ = counted
    recipes = []
    for index in which:
        architecture, alignment, beta = SEVERAL[index]
        recipes.append(
            Recipe(
                *(folder / str(index) / name for name in FILES),
                architecture=architecture,
                expansion=config["sae"]["expansion"],
                l0=config["sae"]["l0"],
                training=training_of(config, alignment, beta),
                seed=0,
                what=str(index),
            )
        )
    train_saes(store, recipes, config["sae_training"]["memory"])
    return time.process_time(), rows // 2


def apart(function, *arguments):
    """The result of a function in a process of its own, and the seconds of that process."""
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result = pool.apply(function, arguments)
    return result, time.perf_counter() - start


def one_sae(config: dict, folder: Path, pairs: int) -> list[Bound]:
    """Print the first table."""
    n, epochs = config["rows"]["laion"], config["sae_training"]["epochs"]
    store = folder / "slice"
    write_pairs(store, pairs)
    drop_from_cache(store)
    checking, _ = apart(check, store)
    drop_from_cache(store)
    (seconds, used, waiting, memory), _ = apart(train_epoch, store, config, folder)
    before, epoch = checking * n / pairs, seconds * n / pairs
    hours = (before + epochs * epoch) / 3600
    print(
        f"d {DIM}, K {config['sae']['expansion'] * DIM:,}, l0 {config['sae']['l0']}, batches of "
        f"{config['sae_training']['batch_size']} pairs, {THREADS} threads; measured on {pairs:,} "
        f"pairs, extrapolated to {n:,} pairs and {epochs} epochs"
    )
    print(
        "| s, check | s, epoch | CPU s | min, check | min, epoch | h, all | at most | "
        "waiting for data | at most | GB | at most |"
    )
    print("|" + "---:|" * 11)
    print(
        f"| {checking:.1f} | {seconds:.1f} | {used:.1f} | {before / 60:.1f} | {epoch / 60:.1f} | "
        f"{hours:.2f} | {HOURS:g} | {waiting:.1%} | {WAITING:.0%} | {memory:.2f} | {MEMORY:g} |",
        flush=True,
    )
    return [
        Bound(f"hours of {epochs} epochs of {n:,} pairs", hours, HOURS),
        Bound("share of the time spent waiting for data", waiting, WAITING),
        Bound("memory of the training process, GB", memory, MEMORY),
    ]


def several_saes(config: dict, folder: Path, pairs: int) -> list[Bound]:
    """Print the second table."""
    store, every = folder / "small", list(range(len(SEVERAL)))
    write_pairs(store, pairs)
    apart_, together = folder / "apart", folder / "together"
    single = [apart(train_some, store, config, apart_, [index]) for index in every]
    (processor, read), seconds = apart(train_some, store, config, together, every)
    their_seconds = sum(one for _, one in single)
    their_processor, their_read = np.sum([told for told, _ in single], axis=0)
    differing = sum(
        (apart_ / str(index) / name).read_bytes() != (together / str(index) / name).read_bytes()
        for index in every
        for name in FILES[:3]
    )
    print(
        f"\n{len(every)} SAEs of one seed on {pairs:,} pairs, one epoch; each apart | in one call"
    )
    print(
        "| s | CPU s | pairs read | s | CPU s | pairs read | times faster | at least | "
        "files that differ |"
    )
    print("|" + "---:|" * 9)
    print(
        f"| {their_seconds:.0f} | {their_processor:.0f} | {int(their_read):,} | {seconds:.0f} | "
        f"{processor:.0f} | {read:,} | {their_seconds / seconds:.2f} | {FASTER:g} | "
        f"{differing} of {3 * len(every)} |",
        flush=True,
    )
    return [
        Bound(
            f"times faster, {len(every)} SAEs in one call",
            their_seconds / seconds,
            FASTER,
            at_least=True,
        ),
        Bound("checkpoint files that differ", differing, 0),
    ]


def main() -> None:
    """Print markdown tables, each as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=131_072, help="of the slice")
    parser.add_argument("--small", type=int, default=12_288, help="pairs of the second table")
    arguments = parser.parse_args()
    config = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    with tempfile.TemporaryDirectory() as name:
        bounds = one_sae(config, Path(name), arguments.pairs)
        bounds += several_saes(config, Path(name), arguments.small)
    settle(bounds)


if __name__ == "__main__":
    main()
