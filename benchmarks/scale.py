"""Stores larger than memory, and one SAE in several processes.

The first table is of one epoch of SAE-A by matching pursuit and of encoding, with the functions
that the workflow calls, on a float16 store and on one of a quarter of its pairs: memory must not
grow with the store. The reference does the same with all pairs in memory in float32, as the
authors' loop has them, and the codes too. What comes out must be equal to the last bit. Memory is
the process's own at its highest, with Python and its libraries; files that are mapped are not
counted, as the system takes their pages back when it needs them. Each row is a process of its own.

The second is of one SAE-A at the sizes of config/config.yaml, trained by the workflow's script in
one process and in two under torchrun (gloo) that share its cores: seconds with start-up, and the
loss of the epoch, which may differ by rounding. Seconds have no bound: several processes are for
machines with more cores or GPUs, as each computes the rows of the Gram matrix that its own pairs
need.

Ends with an error where a bound is missed.

    python benchmarks/scale.py
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from bounds import Bound, settle
from threads import told_threads
from training import (
    BETA,
    DIM,
    FILES,
    REPOSITORY,
    THREADS,
    Peak,
    apart,
    training_of,
    write_pairs,
)

EXPANSION, L0, BLOCK = 2, 20, 4096
# Bounds: memory over that for a quarter of the pairs, of the reference over ours, and the relative
# difference between the losses of one process and of two.
GROWTH, SPARED, DIFFERENCE = 1.1, 3.0, 1e-3


def from_disk(store: Path, config: dict, folder: Path) -> tuple[float, float]:
    """Train and encode as the workflow does; GB and seconds."""
    import torch

    from isoenergy.encode.encode import encode_store
    from isoenergy.train.saes import Recipe, train_saes

    torch.set_num_threads(THREADS)
    peak, start = Peak(), time.perf_counter()
    paths = [folder / name for name in FILES]
    training = training_of(config, "masked_cosine", BETA)
    train_saes(store, [Recipe(*paths, "matching_pursuit", EXPANSION, L0, training, 0, "SAE-A")])
    encode_store(paths[0], store, folder / "codes.json", BLOCK, "codes")
    return peak.end(), time.perf_counter() - start


def from_memory(store: Path, config: dict, folder: Path) -> tuple[float, float, list[str]]:
    """The same with all pairs in memory; GB, seconds, and what differs from ``folder``."""
    import torch

    from isoenergy.embed.rows import Rows
    from isoenergy.encode.codes import open_codes
    from isoenergy.encode.encode import encode_rows
    from isoenergy.progress import Progress
    from isoenergy.train.checkpoint import load_sae
    from isoenergy.train.fit import fit_together, start

    torch.set_num_threads(THREADS)
    peak, began = Peak(), time.perf_counter()
    sides = [np.load(store / f"{name}.npy", mmap_mode="r") for name in ("image", "text")]
    image, text = (Rows([side.astype(np.float32)]) for side in sides)
    training = training_of(config, "masked_cosine", BETA)
    size = DIM, EXPANSION * DIM, L0
    fit = start("matching_pursuit", size, training, 0, None, "SAE-A")
    fit_together([fit], image, text, "")
    with Progress("codes", 2 * len(image), "rows") as bar:
        codes = [encode_rows(fit.sae.eval(), side, BLOCK, bar) for side in (image, text)]
    memory, seconds = peak.end(), time.perf_counter() - began
    written = open_codes(folder / "codes.json")
    found = {"atoms": torch.equal(load_sae(folder / FILES[0]).dictionary, fit.sae.dictionary)}
    for name, ours, theirs in zip(
        ("images", "texts"), (written.image, written.text), codes, strict=True
    ):
        for part in ("data", "indices", "indptr"):
            same = np.array_equal(getattr(ours, part), getattr(theirs, part))
            found[f"{part} of codes of {name}"] = same
    return memory, seconds, [name for name, same in found.items() if not same]


def larger_than_memory(config: dict, folder: Path, pairs: int) -> list[Bound]:
    """Print the first table."""
    print(
        f"d {DIM}, K {EXPANSION * DIM:,}, l0 {L0}, an epoch of SAE-A and codes, {THREADS} threads\n"
        "| pairs | read from | GB of pairs | GB of memory | s |\n|---:|---|---:|---:|---:|"
    )
    told = {}
    for n in (pairs // 4, pairs):
        store = folder / str(n)
        write_pairs(store, n)
        (memory, seconds), _ = apart(from_disk, store, config, folder / f"results-{n}")
        size = sum(path.stat().st_size for path in store.glob("*.npy")) / 1e9
        told[n] = memory
        print(f"| {n:,} | disk | {size:.2f} | {memory:.2f} | {seconds:.0f} |", flush=True)
    memory, seconds, differing = apart(from_memory, store, config, folder / f"results-{n}")[0]
    print(f"| {n:,} | memory | {2 * size:.2f} | {memory:.2f} | {seconds:.0f} |")
    print(
        f"differing from what was read from disk: {', '.join(differing) or 'nothing'}", flush=True
    )
    growth, spared = told[pairs] / told[pairs // 4], memory / told[pairs]
    return [
        Bound(f"memory over that for a quarter of {pairs:,} pairs", growth, GROWTH),
        Bound("times the memory with all pairs in it", spared, SPARED, at_least=True),
        Bound("arrays that differ from those made in memory", len(differing), 0),
    ]


def train(store: Path, config: dict, folder: Path, processes: int) -> tuple[float, float]:
    """Train one SAE-A by the workflow's script; seconds, and the loss of the epoch."""
    import pandas as pd

    told = config["sae_training"]
    training = {name: told[name] for name in ("batch_size", "peak_rate", "clip_norm")}
    paths = [str(folder / name) for name in FILES]
    sae = {
        **dict(zip(("weights", "config", "history", "state"), paths, strict=True)),
        **{"architecture": "matching_pursuit", "seed": 0, "what": f"{processes} processes"},
        **{"expansion": config["sae"]["expansion"], "l0": config["sae"]["l0"]},
        "training": {**training, "epochs": 1, "alignment": "masked_cosine", "beta": BETA},
    }
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [
        *(sys.executable, *(launcher if processes > 1 else [])),
        str(REPOSITORY / "scripts/train/train_saes.py"),
        *("--store", str(store), "--saes", json.dumps([sae])),
    ]
    threads = told_threads(max(THREADS // processes, 1))
    start = time.perf_counter()
    done = subprocess.run(command, env=os.environ | threads, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - start, pd.read_parquet(sae["history"])["loss"].iloc[-1]


def several_processes(config: dict, folder: Path, pairs: int) -> list[Bound]:
    """Print the second table."""
    store = folder / "small"
    write_pairs(store, pairs)
    (one, alone), (two, shared) = (train(store, config, folder / f"{n}", n) for n in (1, 2))
    difference = abs(shared / alone - 1)
    print(f"\none SAE-A, K {config['sae']['expansion'] * DIM:,}, {pairs:,} pairs, one epoch")
    print("| processes | threads of each | s, with start-up | loss |\n|---:|---:|---:|---:|")
    print(f"| 1 | {THREADS} | {one:.1f} | {alone:.9f} |")
    print(f"| 2 | {THREADS // 2} | {two:.1f} | {shared:.9f} |", flush=True)
    return [
        Bound("relative difference of the loss of two processes", difference, DIFFERENCE),
    ]


def main() -> None:
    """Print markdown tables, each row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=524_288, help="of the first table")
    parser.add_argument("--small", type=int, default=24_576, help="pairs of the second table")
    arguments = parser.parse_args()
    config = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    with tempfile.TemporaryDirectory() as name:
        bounds = larger_than_memory(config, Path(name), arguments.pairs)
        bounds += several_processes(config, Path(name), arguments.small)
    settle(bounds)


if __name__ == "__main__":
    main()
