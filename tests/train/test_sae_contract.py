import pickle

import pytest
import torch

from isoenergy.errors import InputError
from isoenergy.schema import load_schema
from isoenergy.train.alignment import ALIGNMENTS
from isoenergy.train.checkpoint import build_sae, load_sae, save_sae
from isoenergy.train.sae import ARCHITECTURES

DIM, ATOMS, L0 = 12, 30, 4
# What each architecture promises of l0: of every row, of a batch in training, or in the long run.
PER_ROW = ("matching_pursuit", "matryoshka", "orthogonal_matching_pursuit", "topk")
PER_BATCH = ("batch_topk",)
APPROACHED = ("jump_relu", "relu")
# Architectures whose loss is the squared error alone.
PLAIN_LOSS = ("matching_pursuit", "orthogonal_matching_pursuit")


@pytest.fixture(params=sorted(ARCHITECTURES))
def architecture(request):
    return request.param


@pytest.fixture
def sae(architecture):
    return build_sae(architecture, DIM, ATOMS, L0, seed=3)


def rows(n, seed=0, dtype=torch.float32):
    x = torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return x / x.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("n", [1, 2, 17])
def test_shapes_and_l0_are_as_promised(sae, architecture, n):
    codes, reconstruction = sae(rows(n))
    assert reconstruction.shape == (n, DIM)
    assert codes.dense().shape == (n, ATOMS)
    assert codes.n_atoms == ATOMS
    assert ((codes.indices >= 0) & (codes.indices < ATOMS)).all()
    found = (codes.dense() != 0).sum(dim=1)
    if architecture in PER_ROW:
        assert (found <= L0).all()
    if architecture in PER_BATCH:
        assert found.sum() == L0 * n
    assert found.any()


def test_every_architecture_promises_something_of_l0():
    assert sorted(PER_ROW + PER_BATCH + APPROACHED) == sorted(ARCHITECTURES)


def test_the_schema_allows_every_architecture_and_alignment_and_no_other(root):
    schema = load_schema(root / "workflow/schemas/saes.schema.yaml")["properties"]
    assert sorted(schema["architecture"]["enum"]) == list(ARCHITECTURES)
    assert sorted(set(schema["alignment"]["enum"]) - {"none"}) == list(ALIGNMENTS)


def test_reconstruction_is_codes_times_dictionary(sae):
    codes, reconstruction = sae(rows(8))
    assert torch.allclose(codes.dense() @ sae.dictionary, reconstruction, atol=1e-6)


def test_atoms_begin_with_unit_norm(sae):
    assert torch.allclose(sae.dictionary.norm(dim=1), torch.ones(ATOMS), atol=1e-6)


def test_gradients_are_finite_and_not_zero(sae):
    x = rows(9)
    codes, reconstruction = sae(x)
    sae.loss(x, reconstruction, codes).backward()
    for parameter in sae.parameters():
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().sum() > 0


def test_equal_rows_get_equal_codes_and_finite_gradients(sae):
    x = rows(1).repeat(6, 1)
    codes, reconstruction = sae(x)
    sae.loss(x, reconstruction, codes).backward()
    assert (codes.dense() == codes.dense()[:1]).all()
    assert all(torch.isfinite(p.grad).all() for p in sae.parameters())


def test_row_alone_gets_the_codes_it_gets_in_a_batch(sae):
    x = rows(13)
    sae(x)  # batch top-k learns its threshold
    sae.eval()
    whole = sae.encode(x).dense()
    alone = torch.cat([sae.encode(x[i : i + 1]).dense() for i in range(len(x))])
    assert torch.allclose(whole, alone, atol=1e-6)


def test_float32_agrees_with_float64(architecture):
    single, double = (build_sae(architecture, DIM, ATOMS, L0, seed=3) for _ in range(2))
    double.double()
    x = rows(25, dtype=torch.float64)
    found, expected = single(x.float()), double(x)
    assert torch.allclose(found[0].dense().double(), expected[0].dense(), atol=1e-5)
    assert torch.allclose(found[1].double(), expected[1], atol=1e-5)


@pytest.mark.parametrize("architecture", PLAIN_LOSS, indirect=True)
def test_loss_is_the_mean_over_rows_and_dimensions(sae):
    x = torch.zeros(2, DIM)
    reconstruction = torch.zeros(2, DIM)
    reconstruction[0, 0] = 3.0
    codes, _ = sae(rows(2))
    assert sae.loss(x, reconstruction, codes).item() == pytest.approx(9 / (2 * DIM))


def test_more_training_lowers_the_loss(sae):
    x = rows(64)
    optimiser = torch.optim.Adam(sae.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        sae.normalise_atoms()
        codes, reconstruction = sae(x)
        loss = sae.loss(x, reconstruction, codes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert min(losses[20:]) < 0.9 * losses[0]
    assert losses[-1] < losses[10] < losses[0]


def save(sae, architecture, folder):
    save_sae(sae, architecture, folder / "sae.safetensors", folder / "config.json", {"epochs": 1})
    return folder / "sae.safetensors"


def test_saved_and_loaded_is_the_same_bit_for_bit(sae, architecture, tmp_path):
    sae(rows(20))  # what training changes besides parameters is saved too
    sae.eval()
    loaded = load_sae(save(sae, architecture, tmp_path))
    assert type(loaded) is type(sae)
    assert loaded.config() == sae.config()
    assert not loaded.training
    state = loaded.state_dict()
    assert state.keys() == sae.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in sae.state_dict().items())
    x = rows(7)
    assert torch.equal(loaded.encode(x).dense(), sae.encode(x).dense())


def test_same_seed_same_bytes_and_other_seed_other_bytes(architecture, tmp_path):
    files = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        (tmp_path / name).mkdir()
        built = build_sae(architecture, DIM, ATOMS, L0, seed=seed)
        files.append(save(built, architecture, tmp_path / name).read_bytes())
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_building_leaves_the_global_generator_alone(architecture):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    build_sae(architecture, DIM, ATOMS, L0, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_pickle_is_written_or_read(sae, architecture, tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("pickle was used")

    for module, names in ((torch, ("save", "load")), (pickle, ("load", "loads", "dump", "dumps"))):
        for name in names:
            monkeypatch.setattr(module, name, refuse)
    loaded = load_sae(save(sae, architecture, tmp_path))
    assert torch.equal(loaded.dictionary, sae.dictionary)


@pytest.mark.parametrize("l0", [0, -1, ATOMS + 1])
def test_l0_outside_the_dictionary_is_refused(architecture, l0):
    with pytest.raises(InputError, match=f"l0 is {l0}.*1..K"):
        build_sae(architecture, DIM, ATOMS, l0, seed=0)
