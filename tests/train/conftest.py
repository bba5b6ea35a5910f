from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from isoenergy.embed.store import write_store
from isoenergy.train.fit import Training, train_sae

TRAINING = Training(
    epochs=3, batch_size=16, peak_rate=1e-2, clip_norm=1.0, alignment=None, beta=0.0
)


def planted_pairs(n, dim, seed, n_shared=6):
    """Unit rows: a bias atom of the modality, a strong shared atom and a weak shared atom."""
    rng = np.random.default_rng(seed)
    atoms = np.linalg.qr(rng.standard_normal((dim, dim)))[0][: n_shared + 2]
    strong = rng.integers(n_shared, size=n)
    weak = (strong + rng.integers(1, n_shared, size=n)) % n_shared
    shared = atoms[2 + strong] + 0.5 * atoms[2 + weak]
    sides = [0.7 * atoms[side] + shared for side in (0, 1)]
    sides = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in sides]
    return atoms, *(x.astype(np.float32) for x in sides)


@pytest.fixture
def planted():
    return planted_pairs


@pytest.fixture
def make_store(tmp_path):
    def make(name="store", n=72, dim=12, seed=0):
        _, image, text = planted_pairs(n, dim, seed)
        ids = [f"{name}-{i}" for i in range(n)]
        write_store(
            tmp_path / name,
            {"image": image, "text": text},
            pd.DataFrame({"id": ids}),
            {"image": ids, "text": ids},
            {"dataset": name},
        )
        return tmp_path / name

    return make


@pytest.fixture
def train(tmp_path, make_store):
    """Train on a small planted store; returns the folder of the checkpoint."""
    store = make_store()

    def run(name, seed=0, store=store, l0=3, expansion=2, selected_beta=None, **changed):
        folder = tmp_path / name
        train_sae(
            store,
            folder / "sae.safetensors",
            folder / "config.json",
            folder / "history.parquet",
            folder / "state.safetensors",
            architecture="matching_pursuit",
            expansion=expansion,
            l0=l0,
            training=replace(TRAINING, **changed),
            seed=seed,
            what=name,
            selected_beta=selected_beta,
        )
        return folder

    return run
