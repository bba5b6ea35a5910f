from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from isoenergy.embed.store import write_store
from isoenergy.progress import Progress
from isoenergy.train import fit as fitting
from isoenergy.train.fit import Training
from isoenergy.train.saes import Recipe, train_saes

TRAINING = Training(
    epochs=3, batch_size=16, peak_rate=1e-2, clip_norm=1.0, alignment=None, beta=0.0
)


class KilledError(Exception):
    pass


@pytest.fixture
def killed_after(monkeypatch):
    """Run something that is killed after so many steps, its state saved after every step."""

    def run(steps, work):
        step, count = Progress.step, iter(range(10**6))

        def counted(self, *args, **kwargs):
            step(self, *args, **kwargs)
            if next(count) == steps:
                raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(fitting, "_SAVE_SECONDS", -1.0)
            patch.setattr(Progress, "step", counted)
            with pytest.raises(KilledError):
                work()

    return run


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
    def make(name="store", n=72, dim=12, seed=0, **description):
        _, image, text = planted_pairs(n, dim, seed)
        ids = [f"{name}-{i}" for i in range(n)]
        write_store(
            tmp_path / name,
            {"image": image, "text": text},
            pd.DataFrame({"id": ids}),
            {"image": ids, "text": ids},
            {"dataset": name, **description},
        )
        return tmp_path / name

    return make


@pytest.fixture
def recipe(tmp_path):
    """How a small SAE is trained into the folder of its name."""

    def make(name, seed=0, l0=3, expansion=2, selected_beta=None, architecture=None, **changed):
        names = ("sae.safetensors", "config.json", "history.parquet", "state.safetensors")
        return Recipe(
            *(tmp_path / name / file for file in names),
            architecture=architecture or "matching_pursuit",
            expansion=expansion,
            l0=l0,
            training=replace(TRAINING, **changed),
            seed=seed,
            what=name,
            selected_beta=selected_beta,
        )

    return make


@pytest.fixture
def train(tmp_path, make_store, recipe):
    """Train on a small planted store; returns the folder of the checkpoint."""
    small = make_store()

    def run(name, store=small, **changed):
        train_saes(store, [recipe(name, **changed)])
        return tmp_path / name

    return run
