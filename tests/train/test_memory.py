"""Training and encoding of a store four times larger than the memory that the process may take."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import isoenergy
from isoenergy.embed.rows import Rows
from isoenergy.embed.store import write_store
from isoenergy.encode.codes import open_codes
from isoenergy.encode.encode import encode_rows
from isoenergy.progress import Progress
from isoenergy.seeds import derive_seed
from isoenergy.train import pairs
from isoenergy.train.checkpoint import build_sae, load_sae
from isoenergy.train.fit import Training, fit

PAIRS, DIM, SMALL = 64_000, 128, 700
LIMIT = 2 * PAIRS * DIM * 4 // 4  # bytes: a quarter of the store
EXPANSION, L0, BLOCK = 1, 16, 512
WINDOW = 512  # pairs that training reads at a time, fewer than it does with more memory
TRAINING = Training(1, 512, 1e-2, 1.0, "masked_cosine", 1e-3)

# RLIMIT_DATA bounds what a process allocates, and not the files that it maps: those the system
# takes back when it needs the memory. The first, small run loads every library that is needed.
CHILD = """
import resource, sys
from pathlib import Path
import numpy as np, torch
sys.path.insert(0, sys.argv[1])
from test_memory import BLOCK, LIMIT, WINDOW, run
from isoenergy.train import pairs

pairs.WINDOW = WINDOW
torch.set_num_threads(1)
folder = Path(sys.argv[2])
run(folder / "small", folder / "warm")
before = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (before + LIMIT,) * 2)
run(folder / "large", folder / "limited")
try:
    np.load(folder / "large/img_emb/img_emb_0000.npy").copy()
except MemoryError:
    print("one side does not fit")
"""


def run(store, results):
    from isoenergy.encode.encode import encode_store
    from isoenergy.train.saes import Recipe, train_saes

    names = ("sae.safetensors", "config.json", "history.parquet", "state.safetensors")
    paths = [results / name for name in names]
    recipe = Recipe(*paths, "matching_pursuit", EXPANSION, L0, TRAINING, 0, what="SAE")
    train_saes(store, [recipe], memory=0.0)
    encode_store(paths[0], store, results / "codes/codes.json", BLOCK, "store")


def make(folder, n):
    rng = np.random.default_rng(0)
    sides = [rng.standard_normal((n, DIM), dtype=np.float32) for _ in range(2)]
    sides = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides]
    ids = [str(i) for i in range(n)]
    arrays = dict(zip(("image", "text"), sides, strict=True))
    write_store(folder, arrays, pd.DataFrame({"id": ids}), dict.fromkeys(arrays, ids), {})
    return sides


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_store_larger_than_memory_gives_what_memory_gives(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "WINDOW", WINDOW)
    make(tmp_path / "small", SMALL)
    image, text = (Rows([side]) for side in make(tmp_path / "large", PAIRS))
    here, library = Path(__file__).parent, Path(isoenergy.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(here), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "one side does not fit\n", done.stderr
    limited = tmp_path / "limited"

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        sae = build_sae("matching_pursuit", DIM, EXPANSION * DIM, L0, derive_seed(0, "atoms"))
        order = derive_seed(0, "order")
        history = fit(sae.train(), image, text, TRAINING, order, tmp_path / "state", "SAE")
        with Progress("encode", 2 * PAIRS, "rows") as bar:
            codes = [encode_rows(sae, side, BLOCK, bar) for side in (image, text)]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(load_sae(limited / "sae.safetensors").dictionary, sae.dictionary)
    assert pd.read_parquet(limited / "history.parquet").equals(history)
    opened = open_codes(limited / "codes/codes.json")
    for found, expected in zip((opened.image, opened.text), codes, strict=True):
        assert found.nnz > PAIRS
        for part in ("data", "indices", "indptr"):
            assert np.array_equal(getattr(found, part), getattr(expected, part))
