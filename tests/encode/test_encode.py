import numpy as np
import pytest
import torch

from isoenergy.embed.store import open_store
from isoenergy.encode.codes import FILES, open_codes
from isoenergy.encode.encode import encode_store
from isoenergy.errors import InputError
from isoenergy.train.checkpoint import build_sae, load_sae, save_sae


@pytest.fixture
def encode(tmp_path, make_store, make_checkpoint):
    def run(name="codes", block=16, **changed):
        weights = changed.get("weights") or make_checkpoint()
        store = changed.get("store") or make_store()
        path = tmp_path / name / "codes.json"
        encode_store(weights, store, path, block, name)
        return path

    return run


def test_codes_are_those_of_the_sae(encode, make_store, make_checkpoint):
    store, weights = make_store(), make_checkpoint()
    codes = open_codes(encode(store=store, weights=weights))
    sae, opened = load_sae(weights), open_store(store)
    for matrix, rows in ((codes.image, opened.image), (codes.text, opened.text)):
        with torch.no_grad():
            expected, rebuilt = sae(torch.from_numpy(rows[:]))
        assert np.allclose(matrix[:].toarray(), expected.dense().numpy(), atol=1e-6)
        assert np.array_equal(matrix[:].toarray() != 0, expected.dense().numpy() != 0)
        assert np.allclose(matrix[:] @ sae.dictionary.detach().numpy(), rebuilt.numpy(), atol=1e-6)


def test_repeated_atoms_are_stored_once(encode, make_checkpoint):
    weights = make_checkpoint("few", n_atoms=12, l0=12)
    codes = open_codes(encode(weights=weights))
    for matrix in (codes.image, codes.text):
        sizes = np.diff(matrix.indptr)
        assert sizes.min() < 12
        for row in range(matrix.shape[0]):
            inside = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
            assert (np.diff(inside) > 0).all()


def test_indices_are_sorted_and_no_zero_is_stored(encode):
    codes = open_codes(encode())
    for matrix in (codes.image, codes.text):
        assert (matrix.data != 0).all()
        for row in range(len(codes)):
            inside = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
            assert (np.diff(inside) > 0).all()
            assert len(inside) <= 4


def test_files_have_the_promised_types(encode):
    folder = encode().parent
    types = {"values": np.float32, "indices": np.int32, "indptr": np.int64}
    for name in FILES:
        array = np.load(folder / name, allow_pickle=False)
        assert array.dtype == types[name.removesuffix(".npy").split("_")[1]]


def test_block_size_changes_no_atom_and_no_value_beyond_rounding(encode):
    whole = open_codes(encode("whole", 1000))
    for block in (1, 7, 53):
        cut = open_codes(encode(str(block), block))
        for one, other in ((whole.image, cut.image), (whole.text, cut.text)):
            assert np.array_equal(one.indices, other.indices)
            assert np.array_equal(one.indptr, other.indptr)
            assert np.allclose(one.data, other.data, rtol=0, atol=1e-6)


def test_same_block_size_same_bytes(encode):
    one, two = encode("one").parent, encode("two").parent
    for name in (*FILES, "codes.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_ids_are_those_of_the_store(encode, make_store):
    store = make_store()
    codes = open_codes(encode(store=store))
    assert codes.ids == open_store(store).description["ids"]["image"]
    assert len(codes) == 53
    assert codes.n_atoms == 30


def test_one_pair_is_encoded(encode, make_store):
    codes = open_codes(encode(store=make_store(n=1)))
    assert len(codes) == 1
    assert codes.image.nnz == codes.text.nnz == 4


def test_dead_sae_gives_codes_without_values(encode, tmp_path):
    sae = build_sae("jump_relu", 10, 30, 4, seed=0)
    with torch.no_grad():
        sae.log_threshold.fill_(9.0)  # above every pre-code
    weights = tmp_path / "dead" / "sae.safetensors"
    save_sae(sae, "jump_relu", weights, weights.parent / "config.json", {})
    codes = open_codes(encode(weights=weights))
    assert (len(codes), codes.n_atoms) == (53, 30)
    assert codes.image.nnz == codes.text.nnz == 0


def test_store_of_another_width_is_refused(encode, make_store):
    with pytest.raises(InputError, match=r"is 8 wide and .* was trained on 10"):
        encode(store=make_store("narrow", dim=8))


OLD = {"checkpoint": "sha256:" + "0123456789ab" + 52 * "c", "revision": None}
NEW = {"checkpoint": "who/model", "revision": "f00"}


def test_store_of_another_encoder_is_refused(encode, make_store, make_checkpoint):
    # What else a store tells of its encoder, versions for example, may differ.
    store = make_store(encoder={**NEW, "torch": "2"})
    with pytest.raises(InputError) as told:
        encode(store=store, weights=make_checkpoint(encoder=OLD))
    assert "was embedded by who/model at f00 and " in str(told.value)
    assert "was trained on embeddings by sha256:0123456789ab...; a check" in str(told.value)
    assert encode(store=store, weights=make_checkpoint(encoder=NEW)).exists()


@pytest.mark.parametrize(("trained", "embedded"), [({}, NEW), ({"encoder": OLD}, {}), ({}, {})])
def test_an_encoder_that_is_not_told_is_accepted(
    encode, make_store, make_checkpoint, trained, embedded
):
    store = make_store(encoder=embedded)
    assert encode(store=store, weights=make_checkpoint(**trained)).exists()


def test_missing_checkpoint_is_refused(encode, tmp_path):
    with pytest.raises(InputError, match=r"config\.json does not exist"):
        encode(weights=tmp_path / "none" / "sae.safetensors")
