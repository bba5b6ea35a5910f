import numpy as np
import pandas as pd
import pytest

from isoenergy.embed.store import write_store
from isoenergy.train.checkpoint import build_sae, save_sae


@pytest.fixture
def make_store(tmp_path):
    def make(name="store", n=53, dim=10, seed=0, **description):
        rng = np.random.default_rng(seed)
        arrays = {side: rng.standard_normal((n, dim)) for side in ("image", "text")}
        arrays = {
            side: (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
            for side, x in arrays.items()
        }
        ids = [f"{name}-{i}" for i in range(n)]
        write_store(
            tmp_path / name,
            arrays,
            pd.DataFrame({"id": ids}),
            dict.fromkeys(arrays, ids),
            {"dataset": name, **description},
        )
        return tmp_path / name

    return make


@pytest.fixture
def make_checkpoint(tmp_path):
    def make(name="sae", dim=10, n_atoms=30, l0=4, seed=0, **trained):
        weights = tmp_path / name / "sae.safetensors"
        sae = build_sae("matching_pursuit", dim, n_atoms, l0, seed)
        save_sae(sae, "matching_pursuit", weights, weights.parent / "config.json", trained)
        return weights

    return make
