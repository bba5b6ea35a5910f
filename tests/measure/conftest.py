import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from isoenergy.embed.store import write_store
from isoenergy.encode.encode import encode_store
from isoenergy.measure.energy import atom_energies
from isoenergy.measure.metric import read_metric
from isoenergy.measure.sae import SaeSettings, measure_sae
from isoenergy.train.checkpoint import build_sae, save_sae

DIM = 16
EVERY_ROW = 10**6


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture
def sparse():
    """CSR codes of a nested list, as the encode stage makes them."""
    return lambda rows: csr_matrix(np.asarray(rows, dtype=np.float32))


@pytest.fixture
def random_energies():
    """Codes and energies of ten atoms, one of them dead."""

    def draw(seed, n=40, n_atoms=10):
        rng = np.random.default_rng(seed)
        sides = []
        for _ in range(2):
            z = rng.random((n, n_atoms)) * (rng.random((n, n_atoms)) < rng.random(n_atoms))
            z[:, 3] = 0
            sides.append(csr_matrix(z.astype(np.float32)))
        return *sides, atom_energies(*sides)

    return draw


@pytest.fixture
def read_metrics():
    return lambda folder: {path.stem: read_metric(path) for path in folder.glob("*.json")}


@pytest.fixture
def save_store(tmp_path):
    """A store of given rows; returns its folder."""

    def save(name, image, text, classes=None, **columns):
        ids = [f"{name}-{i}" for i in range(len(image))]
        write_store(
            tmp_path / name,
            {"image": image.astype(np.float32), "text": text.astype(np.float32)},
            pd.DataFrame({"id": ids, **columns}),
            {"image": ids, "text": ids},
            {"dataset": name},
            classes,
        )
        return tmp_path / name

    return save


@pytest.fixture
def save_dictionary(tmp_path):
    """A matching-pursuit checkpoint of a given dictionary; returns its weights."""

    def save(name, dictionary, l0):
        sae = build_sae("matching_pursuit", dictionary.shape[1], len(dictionary), l0, seed=0)
        with torch.no_grad():
            sae.dictionary.copy_(torch.from_numpy(dictionary))
        weights = tmp_path / name / "sae.safetensors"
        save_sae(sae, "matching_pursuit", weights, weights.parent / "config.json", {})
        return weights

    return save


@pytest.fixture
def encoded(tmp_path):
    def encode(name, weights, store):
        path = tmp_path / name / "codes.json"
        encode_store(weights, store, path, 64, name)
        return path

    return encode


@pytest.fixture
def ideal(save_store, save_dictionary, encoded):
    """Pairs that an SAE with the 16 axes as atoms codes exactly, so that numbers are known.

    Axis 0 is in every image, axis 1 in every text, both with weight 1; each of the 182 ordered
    pairs (strong, weak) of the other axes is shared by one image and its text, with weights 1 and
    1/2. A row has squared norm 1 + 1 + 1/4 before it is scaled to 1.
    """
    strong, weak = (side.ravel() for side in np.meshgrid(np.arange(2, 16), np.arange(2, 16)))
    strong, weak = strong[strong != weak], weak[strong != weak]
    axes = np.eye(DIM)
    shared = axes[strong] + 0.5 * axes[weak]
    store = save_store(
        "ideal",
        unit(axes[0] + shared),
        unit(axes[1] + shared),
        factor_shape=strong.astype(str),
    )
    weights = save_dictionary("ideal-sae", axes, l0=3)
    return store, weights, encoded("ideal-codes", weights, store)


@pytest.fixture
def ordinary(save_store, save_dictionary, encoded):
    """Pairs without structure that could make a number trivial."""
    rng = np.random.default_rng(8)
    shared = rng.standard_normal((150, 6))
    image, text = (
        unit(side + 0.4 * shared @ rng.standard_normal((6, DIM)))
        for side in rng.standard_normal((2, 150, DIM)) * 0.3 + rng.standard_normal((2, 1, DIM))
    )
    store = save_store("ordinary", image, text)
    dictionary = unit(
        np.concatenate([rng.standard_normal((32, DIM)), image.mean(0)[None], text.mean(0)[None]])
    )
    weights = save_dictionary("ordinary-sae", dictionary, l0=5)
    return store, weights, encoded("ordinary-codes", weights, store)


@pytest.fixture
def measure(tmp_path, read_metrics):
    def run(
        store, weights, codes, tau=0.05, probe=EVERY_ROW, gap=EVERY_ROW, seed=0, name="metrics"
    ):
        folder = tmp_path / name
        settings = SaeSettings(tau, probe, gap, EVERY_ROW)
        measure_sae(store, weights, codes, folder, folder / "atoms.parquet", settings, seed)
        return read_metrics(folder), pd.read_parquet(folder / "atoms.parquet")

    return run
