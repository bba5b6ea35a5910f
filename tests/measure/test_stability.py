import numpy as np
import ot
import pandas as pd
import pytest
from safetensors.numpy import save_file

from isoenergy.errors import InputError
from isoenergy.measure.metric import read_metric
from isoenergy.measure.stability import dictionary_distance, measure_stability


def unit_rows(n, dim, seed):
    x = np.random.default_rng(seed).standard_normal((n, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_distance_by_hand():
    # Half of the mass stays on its atom, the other half moves to an orthogonal one.
    eye = np.eye(3)
    distance = dictionary_distance(eye[:2], np.array([1.0, 1.0]), eye, np.array([1.0, 0, 1.0]))
    assert distance == pytest.approx(0.5)


def test_distance_is_zero_for_the_same_atoms_in_another_order_and_symmetric():
    a, b = unit_rows(12, 5, 0), unit_rows(9, 5, 1)
    e, f = np.random.default_rng(2).random(12), np.random.default_rng(3).random(9)
    order = np.random.default_rng(4).permutation(12)
    assert dictionary_distance(a, e, a[order], 7 * e[order]) == pytest.approx(0, abs=1e-6)
    assert dictionary_distance(a, e, b, f) == pytest.approx(dictionary_distance(b, f, a, e))


@pytest.fixture
def learned(tmp_path):
    def make(name, dictionary, energy):
        weights, atoms = tmp_path / f"{name}.safetensors", tmp_path / f"{name}.parquet"
        save_file({"dictionary": dictionary}, weights)
        pd.DataFrame({"energy": energy}).to_parquet(atoms)
        return weights, atoms

    return make


def test_consecutive_dictionaries_are_compared(learned, tmp_path):
    energies = np.random.default_rng(5).random((3, 10))
    dictionaries = [unit_rows(10, 6, seed) for seed in range(3)]
    pairs = [
        learned(str(i), d, e) for i, (d, e) in enumerate(zip(dictionaries, energies, strict=True))
    ]
    measure_stability(*zip(*pairs, strict=True), tmp_path / "m", seed=0)
    found = read_metric(tmp_path / "m/stability.json")
    expected = [
        dictionary_distance(dictionaries[i], energies[i], dictionaries[i + 1], energies[i + 1])
        for i in range(2)
    ]
    assert found.value == pytest.approx(np.mean(expected))
    assert found.sd == pytest.approx(np.std(expected, ddof=1))
    assert found.n == {"dictionaries": 3}


def test_permuted_energies_are_further_apart(learned, tmp_path):
    dictionary, energy = unit_rows(30, 6, 0), np.random.default_rng(1).random(30) ** 6
    pairs = [learned(name, dictionary, energy) for name in "ab"]
    measure_stability(*zip(*pairs, strict=True), tmp_path / "m", seed=0)
    assert read_metric(tmp_path / "m/stability.json").value == pytest.approx(0, abs=1e-6)
    assert read_metric(tmp_path / "m/stability_null.json").value > 0.05


def test_a_single_dictionary_has_no_stability(learned, tmp_path):
    weights, atoms = learned("a", unit_rows(4, 3, 0), np.ones(4))
    measure_stability([weights], [atoms], tmp_path / "m", seed=0)
    found = read_metric(tmp_path / "m/stability.json")
    assert np.isnan(found.value)
    assert found.note == "there is a single dictionary, of one seed"


def test_energies_of_another_dictionary_are_refused(learned, tmp_path):
    pair = learned("a", unit_rows(4, 3, 0), np.ones(5))
    with pytest.raises(InputError, match="5 and 4 atoms"):
        measure_stability([pair[0]], [pair[1]], tmp_path / "m", seed=0)


def test_distance_is_that_of_pot_and_ignores_scale_and_rotation():
    a, b = unit_rows(12, 5, 0), unit_rows(9, 5, 1)
    e, f = np.random.default_rng(2).random(12), np.random.default_rng(3).random(9)
    expected = ot.emd2(e / e.sum(), f / f.sum(), ot.dist(a, b, metric="cosine"))
    assert dictionary_distance(a, e, b, f) == pytest.approx(expected, abs=1e-6)
    turn = np.linalg.qr(np.random.default_rng(4).standard_normal((5, 5)))[0]
    moved = dictionary_distance(a @ turn, 3 * e, b @ turn, f / 9)
    assert moved == pytest.approx(expected, abs=1e-6)
    assert 0 <= expected <= 2


def test_distance_to_a_dictionary_without_energy_is_undefined():
    a, energy = unit_rows(4, 3, 0), np.ones(4)
    assert np.isnan(dictionary_distance(a, energy, a, 0 * energy))
    assert np.isnan(dictionary_distance(a, 0 * energy, a, energy))
