import json
import os

import pytest
import torch
from safetensors.torch import save_file

from isoenergy.errors import InputError
from isoenergy.measure.opened import read_dictionary
from isoenergy.train.checkpoint import build_sae, load_sae, save_sae
from isoenergy.train.sae import ARCHITECTURES


@pytest.fixture
def weights(tmp_path):
    sae = build_sae("matching_pursuit", 6, 12, 3, seed=0)
    save_sae(
        sae, "matching_pursuit", tmp_path / "sae.safetensors", tmp_path / "config.json", {"seed": 0}
    )
    return tmp_path / "sae.safetensors"


def change(weights, **changed):
    path = weights.parent / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_config_says_what_the_sae_is_and_how_it_was_trained(weights):
    assert json.loads((weights.parent / "config.json").read_text()) == {
        "architecture": "matching_pursuit",
        "dim": 6,
        "n_atoms": 12,
        "l0": 3,
        "trained": {"seed": 0},
    }


def test_config_says_which_encoder_the_store_is_by(train, make_store):
    told = {"checkpoint": "who/model", "revision": "f00"}
    store = make_store("told", encoder={**told, "torch": "2"})
    for name, kept in (("by", {"store": store}), ("untold", {})):
        trained = json.loads((train(name, **kept) / "config.json").read_text())["trained"]
        assert trained.get("encoder") == (told if kept else None)


def test_weights_of_another_seed_are_refused(weights, tmp_path):
    other = tmp_path / "seed1/sae.safetensors"
    sae = build_sae("matching_pursuit", 6, 12, 3, seed=1)
    other.parent.mkdir()
    save_sae(sae, "matching_pursuit", other, other.parent / "config.json", {"seed": 1})
    assert load_sae(other).n_atoms == 12
    weights.write_bytes(other.read_bytes())
    with pytest.raises(
        InputError, match=r"no checkpoint of its config\.json \(it was written with another"
    ):
        load_sae(weights)


@pytest.mark.parametrize("changed", [{"n_atoms": 13}, {"dim": 7}])
def test_weights_of_another_size_are_refused(weights, changed):
    change(weights, **changed)
    with pytest.raises(InputError, match=r"no checkpoint of its config\.json"):
        load_sae(weights)


def test_weights_of_other_names_are_refused(weights):
    save_file({"encoder": torch.zeros(12, 6)}, weights)
    with pytest.raises(InputError, match=r"no checkpoint of its config\.json"):
        load_sae(weights)


@pytest.mark.parametrize("kept", [0, 7, 60, -40])
def test_truncated_weights_are_refused(weights, kept):
    weights.write_bytes(weights.read_bytes()[:kept])
    for read in (load_sae, read_dictionary):
        with pytest.raises(InputError, match=r"sae\.safetensors .*; delete it and run again"):
            read(weights)


def test_weights_that_are_no_file_are_refused_before_they_are_opened(weights):
    weights.unlink()
    os.mkfifo(weights)
    for read in (load_sae, read_dictionary):
        with pytest.raises(InputError, match=r"sae\.safetensors is a named pipe"):
            read(weights)
    weights.unlink()
    weights.mkdir()
    for read in (load_sae, read_dictionary):
        with pytest.raises(InputError, match=r"sae\.safetensors is a folder"):
            read(weights)


def test_weights_without_atoms_hold_no_dictionary(weights):
    save_file({"encoder": torch.zeros(12, 6)}, weights)
    with pytest.raises(InputError, match=r"holds no dictionary .*; delete it and run again"):
        read_dictionary(weights)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"x"', '{"dim": 6}'])
def test_a_config_that_is_cut_or_of_another_form_is_refused(weights, content):
    (weights.parent / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json .* delete it and run again"):
        load_sae(weights)


@pytest.mark.parametrize(
    "changed", [{"dim": "six"}, {"n_atoms": None}, {"l0": [3]}, {"l0": 99}, {"dim": -6}]
)
def test_a_config_of_no_sae_is_refused(weights, changed):
    change(weights, **changed)
    with pytest.raises(InputError, match=r"config\.json.* delete it and run again") as told:
        load_sae(weights)
    assert "\n" not in str(told.value)


def test_missing_weights_are_refused(weights):
    weights.unlink()
    with pytest.raises(InputError, match=r"sae\.safetensors"):
        load_sae(weights)


def test_missing_config_is_refused(weights):
    (weights.parent / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json does not exist"):
        load_sae(weights)


def test_what_a_class_takes_beside_the_sizes_is_kept(tmp_path, monkeypatch):
    class Powered(ARCHITECTURES["topk"]):
        def __init__(self, *, power=1.0, **sizes):
            super().__init__(**sizes)
            self.power = power

        def config(self):
            return super().config() | {"power": self.power}

    monkeypatch.setitem(ARCHITECTURES._entries, "powered", Powered)
    sae = build_sae("powered", 6, 12, 3, seed=0, power=2.0)
    paths = (tmp_path / "sae.safetensors", tmp_path / "config.json")
    save_sae(sae, "powered", *paths, {"seed": 0})
    assert load_sae(paths[0]).power == 2.0


def test_a_setting_that_the_class_does_not_take_is_refused(weights):
    change(weights, power=2.0)
    with pytest.raises(
        InputError, match=r"config\.json: .*'matching_pursuit' has no setting power"
    ):
        load_sae(weights)


def test_config_without_a_needed_key_is_refused(weights):
    (weights.parent / "config.json").write_text('{"architecture": "matching_pursuit"}')
    with pytest.raises(InputError, match=r"config\.json"):
        load_sae(weights)


def test_unknown_architecture_is_refused(weights):
    change(weights, architecture="oracle")
    with pytest.raises(InputError, match=r"SAE architecture 'oracle'.*matching_pursuit"):
        load_sae(weights)
