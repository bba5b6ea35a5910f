"""Metrics of a store four times larger than the memory that the process may take."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
from threadpoolctl import threadpool_limits

import isoenergy
from isoenergy.embed.rows import Rows
from isoenergy.embed.store import EmbeddingStore, open_store, write_store
from isoenergy.encode.codes import Codes, open_codes
from isoenergy.encode.encode import encode_store
from isoenergy.measure.energy import atom_energies
from isoenergy.measure.metric import read_metric
from isoenergy.measure.opened import Measured

PAIRS, DIM, SMALL, ATOMS, L0 = 120_000, 128, 600, 160, 4
LIMIT = 2 * PAIRS * DIM * 4 // 4  # bytes: a quarter of the store
DRAWN = 200

# As for training: RLIMIT_DATA bounds what a process allocates, and not the files that it maps. The
# first, small run loads every library that is needed.
CHILD = """
import resource, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_memory import LIMIT, run

folder = Path(sys.argv[2])
run(folder / "small", folder / "weights/sae.safetensors", folder / "warm")
before = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (before + LIMIT,) * 2)
run(folder / "large", folder / "weights/sae.safetensors", folder / "limited")
try:
    np.load(folder / "large/img_emb/img_emb_0000.npy").copy()
except MemoryError:
    print("one side does not fit")
"""


def run(store, weights, out):
    """Every streamed metric."""

    from isoenergy.measure.baselines import measure_baselines
    from isoenergy.measure.embeddings import Samples, measure_embeddings
    from isoenergy.measure.intervened import InterventionSettings, measure_interventions
    from isoenergy.measure.quality import measure_quality
    from isoenergy.measure.removal import measure_ranking
    from isoenergy.measure.sae import SaeSettings, measure_sae
    from isoenergy.measure.sweep import measure_sweep

    torch.set_num_threads(1)
    codes = store / "codes/codes.json"
    measured, settings = (
        (store, weights, codes),
        InterventionSettings(0.05, "own", DRAWN, DRAWN, DRAWN, 10 * DRAWN),
    )
    figures = out / "raw/pca.parquet", out / "raw/cosines.parquet"
    measure_embeddings(store, out / "raw", *figures, Samples(DRAWN, DRAWN, 10**9), 0)
    measure_sae(
        *measured, out / "sae", out / "sae/atoms.parquet", SaeSettings(0.05, 1000, DRAWN, 10**9), 0
    )
    measure_quality(*measured, out / "quality", 4, 0)
    measure_interventions(
        *measured, codes, out / "closed", out / "closed/neighbours.parquet", settings, 0
    )
    measure_baselines(store, out / "baselines", out / "baselines/curve.parquet", settings, 0)
    tables = out / "ranking/margins.parquet", out / "ranking/spreads.parquet"
    # Its samples are the same whatever the store's size, and here take more than the limit.
    with patch.multiple("isoenergy.measure.removal", _QUERIES=100, _PAIRS=50):
        measure_ranking(store, [weights], [codes], out / "ranking", *tables, 0.05, 0)
    measure_sweep(
        store, [weights, weights], [0, 1], out / "sweep/t.parquet", out / "sweep", 512, 0.05, "s"
    )


def make(folder, weights, n):
    rng = np.random.default_rng(0)
    shared, *own = rng.standard_normal((3, n, DIM), dtype=np.float32)
    sides = [shared + part + 2 * part.mean(axis=1, keepdims=True) for part in own]
    sides = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides]
    ids = [str(i) for i in range(n)]
    arrays = dict(zip(("image", "text"), sides, strict=True))
    write_store(folder, arrays, pd.DataFrame({"id": ids}), dict.fromkeys(arrays, ids), {})
    encode_store(weights, folder, folder / "codes/codes.json", 4096, "store")


def in_memory(path):
    """A store whose rows are read already."""
    opened = open_store(path)
    sides = [Rows([side[:]]) for side in (opened.image, opened.text)]
    return EmbeddingStore(opened.path, *sides, None, None, opened.description)


def codes_in_memory(path):
    """Codes that are read already, as a csr_matrix."""
    opened = open_codes(path)
    return Codes(opened.image[:], opened.text[:], opened.ids, opened.checkpoint)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_store_larger_than_memory_gives_what_memory_gives(tmp_path, save_dictionary, monkeypatch):
    dictionary = np.random.default_rng(1).standard_normal((ATOMS, DIM), dtype=np.float32)
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    weights = save_dictionary("weights", dictionary, L0)
    for name, n in (("small", SMALL), ("large", PAIRS)):
        make(tmp_path / name, weights, n)
    here, library = Path(__file__).parent, Path(isoenergy.__file__).parents[1]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(here), str(tmp_path)],
        env={**os.environ, **threads, "PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "one side does not fit\n", done.stderr

    def open_measured(store, weights, codes):
        found = codes_in_memory(codes)
        return Measured(in_memory(store), found, dictionary, atom_energies(found.image, found.text))

    for module in ("sae", "quality", "intervened", "removal"):
        monkeypatch.setattr(f"isoenergy.measure.{module}.open_measured", open_measured)
    for module in ("baselines", "embeddings", "sweep"):
        monkeypatch.setattr(f"isoenergy.measure.{module}.open_store", in_memory)
    monkeypatch.setattr("isoenergy.measure.intervened.open_codes", codes_in_memory)
    before = torch.get_num_threads()
    try:
        with threadpool_limits(1):
            run(tmp_path / "large", weights, tmp_path / "memory")
    finally:
        torch.set_num_threads(before)
    written = [path for path in (tmp_path / "memory").rglob("*") if path.is_file()]
    assert len(written) > 100
    for path in written:
        limited = tmp_path / "limited" / path.relative_to(tmp_path / "memory")
        assert path.read_bytes() == limited.read_bytes(), path
    assert read_metric(tmp_path / "limited/sae/l0.json").n == {"pairs": PAIRS}
