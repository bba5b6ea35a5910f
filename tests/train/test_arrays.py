import inspect

import numpy as np
import pytest
import torch
import yaml

from isoenergy.arrays import encode_arrays, train_on_arrays
from isoenergy.embed.store import open_store
from isoenergy.encode.codes import open_codes
from isoenergy.encode.encode import encode_store
from isoenergy.errors import InputError
from isoenergy.measure.energy import atom_energies
from isoenergy.measure.gap import difference_in_mean
from isoenergy.measure.reconstruction import reconstruct
from isoenergy.measure.retrieval import recall_at
from isoenergy.train.checkpoint import build_sae, load_sae

WEIGHTS = "sae.safetensors"
ALIGNED = {"alignment": "masked_cosine", "beta": 1e-3}
# What the fixture `train` takes, said as train_on_arrays wants it.
SMALL = {"n_atoms": 24, "l0": 3, "epochs": 3, "batch_size": 16, "peak_rate": 1e-2}


@pytest.fixture
def pairs(planted):
    return planted(72, 12, 0)[1:]


def arrays_of(store, dtype=np.float32):
    opened = open_store(store)
    return opened.image[:].astype(dtype), opened.text[:].astype(dtype)


def same(one, other):
    """Whether two SAEs have the same weights, bit for bit."""
    found, expected = one.state_dict(), other.state_dict()
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], value) for name, value in expected.items()
    )


@pytest.mark.parametrize("architecture", ["matching_pursuit", "topk", "batch_topk"])
@pytest.mark.parametrize("aligned", [{}, ALIGNED], ids=["SAE", "SAE-A"])
def test_weights_are_those_that_the_workflow_trains_on_a_store(
    train, make_store, architecture, aligned
):
    store = make_store("own", seed=3)
    folder = train("one", store=store, seed=7, architecture=architecture, **aligned)
    image, text = arrays_of(store)
    found = train_on_arrays(image, text, architecture=architecture, seed=7, **SMALL, **aligned)
    assert same(found, load_sae(folder / WEIGHTS))
    assert not found.training
    other = train_on_arrays(image, text, architecture=architecture, seed=8, **SMALL, **aligned)
    assert not same(found, other)


def test_float16_arrays_give_the_weights_of_a_float16_store(train, make_store):
    store = make_store("half")
    for path in store.glob("*_emb/*.npy"):
        np.save(path, np.load(path).astype(np.float16))
    image, text = (np.load(store / f"{s}_emb/{s}_emb_0000.npy") for s in ("img", "text"))
    assert image.dtype == np.float16
    expected = load_sae(train("one", store=store, **ALIGNED) / WEIGHTS)
    assert same(train_on_arrays(image, text, **SMALL, **ALIGNED), expected)


def test_arrays_on_disk_are_trained_on_and_no_file_is_written(pairs, tmp_path, monkeypatch):
    for name, side in zip(("image", "text"), pairs, strict=True):
        np.save(tmp_path / f"{name}.npy", side)
    monkeypatch.chdir(tmp_path)
    mapped = (np.load(f"{name}.npy", mmap_mode="r") for name in ("image", "text"))
    assert same(train_on_arrays(*mapped, **SMALL), train_on_arrays(*pairs, **SMALL))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.npy", "text.npy"]


def test_defaults_are_those_of_own_embeddings(root, pairs):
    config = yaml.safe_load((root / "config/store.yaml").read_text())
    told = inspect.signature(train_on_arrays).parameters
    for name in ("epochs", "batch_size", "peak_rate", "clip_norm"):
        assert told[name].default == float(config["sae_training"][name])
    assert told["l0"].default == config["sae"]["l0"]
    assert f"beta is {config['sae']['beta']:.0e}".replace("e-0", "e-") in " ".join(
        train_on_arrays.__doc__.split()
    )
    assert inspect.signature(encode_arrays).parameters["block"].default == config["encode"]["block"]
    sae = train_on_arrays(*pairs, batch_size=72, epochs=1)
    assert sae.n_atoms == config["sae"]["expansion"] * 12


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_codes_are_those_of_the_workflow(train, make_store, tmp_path, dtype):
    store = make_store("own")
    for path in store.glob("*_emb/*.npy"):
        np.save(path, np.load(path).astype(dtype))
    weights = train("one", store=store) / WEIGHTS
    encode_store(weights, store, tmp_path / "codes.json", 16, "one")
    expected = open_codes(tmp_path / "codes.json")
    found = encode_arrays(load_sae(weights), *arrays_of(store, dtype), block=16)
    for side in ("image", "text"):
        one, other = getattr(found, side), getattr(expected, side)
        assert one.shape == other.shape == (72, 24)
        for part in ("data", "indices", "indptr"):
            assert np.array_equal(getattr(one, part), getattr(other, part))


def test_encoding_does_not_go_on_training(pairs):
    # In training mode every batch moves this SAE's threshold.
    sae = train_on_arrays(*pairs, architecture="batch_topk", **SMALL).train()
    threshold = sae.threshold.clone()
    encode_arrays(sae, *pairs)
    assert torch.equal(sae.threshold, threshold)


def with_value(row, value):
    def change(x):
        x = x.copy()
        x[row] = value
        return x

    return change


BROKEN = [
    (lambda x: x.tolist(), r"text is a list; allowed is a numpy array of shape \(pairs, width\)"),
    (torch.from_numpy, "text is a Tensor; allowed is a numpy array"),
    (np.ma.masked_array, "text is a MaskedArray; allowed is a numpy array"),
    (lambda x: x.astype(np.int32), "text has .* type int32; .* whole numbers are no embeddings"),
    (lambda x: x.astype(object), "text has .* type object; .* objects are no embeddings"),
    (lambda x: x[0], r"text has shape \(12,\)"),
    (lambda x: x[:-1], "text has 71 rows of 12 and image 72 of 12; row i of each is one pair"),
    (lambda x: np.eye(72, 8, dtype=x.dtype), "text has 72 rows of 8 and image 72 of 12"),
    (with_value(5, np.nan), "text: row 5 holds NaN or infinity"),
    (with_value(4, 0), "text: row 4 is all zero"),
    (lambda x: 7 * x, r"text: row \d+ has norm 7; rows have unit norm; .* np\.linalg\.norm"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_arrays_that_are_no_pairs_are_refused(pairs, change, message):
    image, text = pairs
    with pytest.raises(InputError, match=message):
        train_on_arrays(image, change(text), **SMALL)
    sae = build_sae("matching_pursuit", 12, 24, 3, seed=0)
    with pytest.raises(InputError, match=message):
        encode_arrays(sae, image, change(text))


def test_types_that_are_cast_train_the_same_and_say_so(pairs):
    image, text = pairs
    expected = train_on_arrays(image, text, **SMALL)
    with pytest.warns(UserWarning, match=r"^text is float64, read as float32$"):
        wide = train_on_arrays(image, text.astype(np.float64), **SMALL)
    with pytest.warns(UserWarning, match=r"^image is float32 \(big-endian\), read as float32$"):
        swapped = train_on_arrays(image.astype(">f4"), text, **SMALL)
    for sae in (wide, swapped):
        assert torch.equal(sae.dictionary, expected.dictionary)


def test_pairs_that_say_nothing_are_not_trained_on(pairs):
    image, text = pairs
    with pytest.raises(InputError, match="text holds the same rows as image"):
        train_on_arrays(image, image, **SMALL)
    with pytest.raises(InputError, match="image: all 72 rows are equal"):
        train_on_arrays(np.repeat(image[:1], 72, axis=0), text, **SMALL)


def test_one_pair_is_not_trained_on(pairs):
    with pytest.raises(InputError, match="there is 1 pair; an SAE is trained on many"):
        train_on_arrays(*(side[:1] for side in pairs), **{**SMALL, "batch_size": 1})


def test_arrays_without_rows_are_refused(pairs):
    sae = build_sae("matching_pursuit", 12, 24, 3, seed=0)
    with pytest.raises(InputError, match="the input has no rows"):
        encode_arrays(sae, *(side[:0] for side in pairs))


def test_arrays_of_another_width_are_not_encoded(pairs):
    sae = build_sae("matching_pursuit", 8, 24, 3, seed=0)
    with pytest.raises(InputError, match=r"rows of shape \(72, 12\) .* an SAE of width 8"):
        encode_arrays(sae, *pairs)


REFUSED = [
    ({"batch_size": 73}, "there are 72 pairs and batch_size is 73"),
    ({"l0": 0}, "l0 is 0; allowed are whole numbers from 1"),
    ({"l0": 25}, r"l0 is 25 and the dictionary has 24 atoms; allowed is 1\.\.K"),
    ({"n_atoms": 0}, "n_atoms is 0; allowed are whole"),
    ({"epochs": 2.5}, r"epochs is 2\.5; allowed are whole"),
    ({"peak_rate": 0}, "peak_rate is 0; allowed are numbers above 0"),
    ({"clip_norm": "1"}, "clip_norm is '1'; allowed are numbers above 0"),
    ({"alignment": "masked_cosine"}, "alignment is 'masked_cosine' and beta is None; give beta"),
    ({"beta": 1e-3}, r"beta is 0\.001 and alignment is None; give alignment='masked_cosine'"),
    ({"alignment": "cosine", "beta": -1}, "beta is -1; allowed are numbers from 0"),
    ({"alignment": "cosine", "beta": np.nan}, "beta is nan; allowed are numbers from 0"),
    ({"alignment": "oracle", "beta": 1}, "no alignment loss 'oracle'; known are cosine,"),
    ({"n_atoms": 10**12}, "n_atoms is 1000000000000, so that training takes at least .* GB"),
    ({"seed": "0"}, "seed is '0'; allowed are whole numbers"),
    ({"architecture": "oracle"}, "no SAE architecture 'oracle'; known are batch_topk,"),
]


@pytest.mark.parametrize(("changed", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_settings_that_are_not_allowed_are_refused(pairs, changed, message):
    with pytest.raises(InputError, match=message):
        train_on_arrays(*pairs, **{**SMALL, **changed})


@pytest.mark.parametrize("aligned", [{}, ALIGNED], ids=["SAE", "SAE-A"])
def test_atoms_of_planted_pairs_are_told_apart_and_the_gap_is_that_of_the_unimodal(
    planted, aligned
):
    atoms, image, text = planted(1000, 12, 0)
    settings = {**SMALL, **aligned, "n_atoms": 8, "epochs": 20, "batch_size": 64}
    sae = train_on_arrays(image, text, **settings)
    codes = encode_arrays(sae, image, text)
    energies = atom_energies(codes.image, codes.text)
    groups, dictionary = energies.groups(0.05), sae.dictionary.detach().numpy()
    # Every image has the first planted atom, every text the second; the other six are shared.
    nearest = (dictionary @ atoms.T).argmax(axis=1)
    assert sorted(nearest) == list(range(8))
    assert groups[np.argsort(nearest)].tolist() == ["image", "text", *["bimodal"] * 6]
    gap, recall = {}, {}
    for name, kept in (("all", None), ("bimodal", groups == "bimodal")):
        sides = [reconstruct(side, dictionary, kept) for side in (codes.image, codes.text)]
        gap[name] = difference_in_mean(*sides)
        recall[name] = recall_at(*sides, (5,), np.random.default_rng(0))[5]
    assert gap["all"] == pytest.approx(difference_in_mean(image, text), rel=0.05)
    assert gap["bimodal"] < 0.2 * gap["all"]
    # Pairs are told apart by what they share.
    assert recall["bimodal"] > 0.9 * recall["all"]
