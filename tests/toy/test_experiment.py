import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from isoenergy.embed.store import open_store
from isoenergy.encode.codes import open_codes
from isoenergy.encode.encode import encode_store
from isoenergy.errors import InputError
from isoenergy.measure.metric import read_metric
from isoenergy.measure.toy import TOY_METRICS, Explained, matching_accuracies
from isoenergy.toy.experiment import Readings, run_toy, true_explanations
from isoenergy.toy.process import ToySetting
from isoenergy.toy.store import draw_toy, write_toy
from isoenergy.train.fit import Training

SETTING = ToySetting(40, 2, 3, 0.6, 0.4)
TRAINING = Training(
    epochs=25, batch_size=64, peak_rate=3e-2, clip_norm=1.0, alignment=None, beta=0.0
)


def run(folder, training=TRAINING, rows=300, seed=1, n_atoms=20, l0=3):
    run_toy(
        folder / "metrics",
        folder / "sae.safetensors",
        folder / "config.json",
        folder / "history.parquet",
        folder / "state.safetensors",
        setting=SETTING,
        rows=rows,
        architecture="matching_pursuit",
        n_atoms=n_atoms,
        l0=l0,
        training=training,
        readings=Readings("merged", "live"),
        data_seed=3,
        seed=seed,
        what="toy",
    )
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return run(tmp_path_factory.mktemp("toy"))


def test_a_small_process_is_found_again(trained):
    metrics = {name: read_metric(trained / f"metrics/{name}.json") for name in TOY_METRICS}
    assert metrics["r2"].value > 0.95
    assert metrics["distance_to_truth"].protocol == "merged"
    assert metrics["distance_to_truth"].value < 0.3
    assert metrics["matching_accuracy"].protocol == "live"
    assert metrics["matching_accuracy"].protocols["merged"] > 0.5
    assert metrics["r2"].n == {"pairs": 300, "atoms": 20}
    assert not (trained / "state.safetensors").exists()


def test_the_same_numbers_come_out_of_store_checkpoint_and_codes(trained, tmp_path):
    write_toy(tmp_path / "s/store.json", tmp_path / "s/truth", "toy", 300, SETTING, 3)
    encode_store(trained / "sae.safetensors", tmp_path / "s", tmp_path / "c/codes.json", 512, "toy")
    codes = open_codes(tmp_path / "c/codes.json")
    dictionary = load_file(trained / "sae.safetensors")["dictionary"]
    learned = Explained(dictionary, codes.image[:], codes.text[:])
    truths, _ = true_explanations(*draw_toy(300, SETTING, 3), SETTING)
    told = read_metric(trained / "metrics/matching_accuracy.json").protocols
    assert matching_accuracies(learned, truths) == pytest.approx(told, abs=1e-9)
    assert len(open_store(tmp_path / "s")) == 300


def test_same_seed_same_bytes_and_another_seed_another_dictionary(trained, tmp_path):
    again, other = run(tmp_path / "again"), run(tmp_path / "other", seed=2)
    for path in (path for path in trained.rglob("*") if path.is_file()):
        assert path.read_bytes() == (again / path.relative_to(trained)).read_bytes(), path
    dictionaries = [load_file(f / "sae.safetensors")["dictionary"] for f in (trained, other)]
    assert not np.allclose(*dictionaries)


def test_the_checkpoint_says_what_it_was_trained_on(trained):
    told = json.loads((trained / "config.json").read_text())
    assert (told["n_atoms"], told["l0"], told["dim"]) == (20, 3, 40)
    assert told["trained"]["toy"]["tau_1"] == 0.6


@pytest.mark.parametrize(
    ("changes", "sentence"), [({"rows": 1}, "at least 2 pairs"), ({"l0": 21}, r"allowed is 1\.\.K")]
)
def test_what_is_not_allowed_is_refused(tmp_path, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        run(tmp_path, **changes)
    assert not (tmp_path / "metrics").exists()
