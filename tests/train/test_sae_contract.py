import pickle

import numpy as np
import pytest
import torch

from isoenergy.embed.rows import Rows
from isoenergy.errors import InputError
from isoenergy.schema import load_schema
from isoenergy.train.alignment import ALIGNMENTS
from isoenergy.train.checkpoint import build_sae, load_sae, save_sae
from isoenergy.train.fit import Training, fit
from isoenergy.train.sae import ARCHITECTURES

DIM, ATOMS, L0 = 12, 30, 4
# What each architecture promises of l0: at most so many or exactly so many in every row, so many a
# row in a training batch, or in the long run.
AT_MOST = ("matching_pursuit",)
PER_ROW = ("matryoshka", "orthogonal_matching_pursuit", "topk")
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
    if architecture in AT_MOST:
        assert (found <= L0).all()
        assert found.max() > L0 - 2
    if architecture in PER_ROW:
        assert (found == L0).all()
    if architecture in PER_BATCH:
        assert found.sum() == L0 * n
    assert found.any()


def test_every_architecture_promises_something_of_l0():
    assert sorted(AT_MOST + PER_ROW + PER_BATCH + APPROACHED) == sorted(ARCHITECTURES)


def test_the_schema_allows_every_architecture_and_alignment_and_no_other(root):
    schema = load_schema(root / "workflow/schemas/saes.schema.yaml")["properties"]
    assert sorted(schema["architecture"]["enum"]) == list(ARCHITECTURES)
    assert sorted(set(schema["alignment"]["enum"]) - {"none"}) == list(ALIGNMENTS)


def test_reconstruction_is_codes_times_dictionary(sae):
    codes, reconstruction = sae(rows(8))
    assert torch.allclose(codes.dense() @ sae.dictionary, reconstruction, atol=1e-6)


def test_atoms_begin_with_unit_norm(sae):
    assert torch.allclose(sae.dictionary.norm(dim=1), torch.ones(ATOMS), atol=1e-6)


@pytest.fixture(params=[None, *ALIGNMENTS])
def alignment(request):
    return request.param


def full_loss(sae, x, alignment):
    """The training loss, of images above and their texts below, with a weight that is felt."""
    codes, reconstruction = sae(x)
    loss = sae.loss(x, reconstruction, codes)
    if alignment is not None:
        half = len(x) // 2
        loss = loss + 0.1 * ALIGNMENTS[alignment](codes[:half], codes[half:])
    return loss


@pytest.mark.parametrize("n", [1, 9])
def test_gradients_are_finite_and_not_zero(sae, alignment, n):
    full_loss(sae, rows(2 * n), alignment).backward()
    for parameter in sae.parameters():
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().sum() > 0


def test_a_batch_of_one_row_has_finite_gradients(sae):
    full_loss(sae, rows(1), None).backward()
    assert all(torch.isfinite(p.grad).all() for p in sae.parameters())


def test_alignment_changes_the_gradient_but_not_the_codes(sae, alignment):
    x = rows(18)
    gradients = []
    for name in (None, alignment):
        sae.zero_grad()
        full_loss(sae, x, name).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in sae.parameters()]))
    assert torch.equal(*gradients) == (alignment is None)


def test_equal_rows_get_equal_codes_and_finite_gradients(sae, alignment):
    x = rows(1).repeat(6, 1)
    codes, _ = sae(x)
    # To rounding: which kernel multiplies a row can depend on where the batch lies in memory.
    assert torch.allclose(codes.dense(), codes.dense()[:1].expand(6, -1), atol=1e-6)
    full_loss(sae, x, alignment).backward()
    assert all(torch.isfinite(p.grad).all() for p in sae.parameters())


def test_row_alone_gets_the_codes_it_gets_in_a_batch(sae):
    x = rows(13)
    sae(x)  # batch top-k learns its threshold
    sae.eval()
    whole = sae.encode(x).dense()
    alone = torch.cat([sae.encode(x[i : i + 1]).dense() for i in range(len(x))])
    assert torch.allclose(whole, alone, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.float16, torch.float64, np.float16, np.float64])
def test_rows_of_any_float_type_get_the_codes_of_float32(sae, kind):
    x = rows(9).half().float()  # the same in every type
    given = x.to(kind) if isinstance(kind, torch.dtype) else x.numpy().astype(kind)
    assert torch.equal(sae.eval().encode(given).dense(), sae.encode(x).dense())


@pytest.mark.parametrize("shape", [(5, DIM - 1), (DIM,), (2, 5, DIM)])
def test_rows_of_another_shape_are_not_encoded(sae, shape):
    with pytest.raises(InputError, match=rf"given to an SAE of width {DIM}; .* \(rows, {DIM}\)"):
        sae.encode(torch.zeros(shape))


def test_float32_agrees_with_float64(architecture, alignment):
    single, double = (build_sae(architecture, DIM, ATOMS, L0, seed=3) for _ in range(2))
    double.double()
    x = rows(26, dtype=torch.float64)
    found, expected = single(x.float()), double(x)
    assert torch.allclose(found[0].dense().double(), expected[0].dense(), atol=1e-5)
    assert torch.allclose(found[1].double(), expected[1], atol=1e-5)
    losses = full_loss(single, x.float(), alignment), full_loss(double, x, alignment)
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5, abs=1e-6)
    for loss in losses:
        loss.backward()
    for one, other in zip(single.parameters(), double.parameters(), strict=True):
        scale = other.grad.abs().max().item()
        assert torch.allclose(one.grad.double(), other.grad, rtol=1e-3, atol=1e-3 * scale)


@pytest.mark.parametrize("architecture", PLAIN_LOSS, indirect=True)
def test_loss_is_the_mean_over_rows_and_dimensions(sae):
    x = torch.zeros(2, DIM)
    reconstruction = torch.zeros(2, DIM)
    reconstruction[0, 0] = 3.0
    codes, _ = sae(rows(2))
    assert sae.loss(x, reconstruction, codes).item() == pytest.approx(9 / (2 * DIM))


PLANTED = torch.randn(6, DIM, generator=torch.Generator().manual_seed(7)).numpy()


@pytest.fixture
def train(architecture, tmp_path):
    """Train with the real trainer on pairs that share one of six directions."""

    def run(alignment=None, epochs=12, seed=5, name="one", pairs=32):
        which, noise = torch.arange(pairs) % 6, rows(pairs).numpy()
        sides = [PLANTED[which] + 0.5 * PLANTED[(which + side) % 6] + noise for side in (1, 2)]
        sides = [x / (x**2).sum(axis=1, keepdims=True) ** 0.5 for x in sides]
        training = Training(epochs, 16, 2e-2, 1.0, alignment, 0.0 if alignment is None else 1e-2)
        sae = build_sae(architecture, DIM, ATOMS, L0, seed=seed)
        state = tmp_path / f"{name}.state"
        table = fit(sae, *(Rows([x]) for x in sides), training, seed, state, name)
        (tmp_path / name).mkdir()
        weights = save(sae, architecture, tmp_path / name)
        return sae, table, weights

    return run


@pytest.mark.parametrize("alignment", [None, "masked_cosine"], indirect=True)
def test_more_training_lowers_the_loss_and_keeps_the_promise_of_l0(train, architecture, alignment):
    sae, table, _ = train(alignment)
    loss = table["loss"].to_numpy()
    assert loss[-1] < loss[4] < loss[0]
    assert loss[-1] < loss[0] - 0.05 * abs(loss[0])
    found = (sae.eval().encode(rows(50)).dense() != 0).sum(dim=1)
    if architecture in AT_MOST + PER_ROW:
        assert (found <= L0).all()
    if architecture in PER_BATCH:
        assert table["l0"].to_numpy() == pytest.approx(L0)
    if architecture in APPROACHED:
        assert abs(table["l0"].iloc[-1] - L0) < abs(table["l0"].iloc[0] - L0)


@pytest.mark.parametrize("alignment", [None, "masked_cosine"], indirect=True)
def test_same_training_same_bytes_and_other_seed_other_bytes(train, alignment):
    files = [
        train(alignment, epochs=2, seed=seed, name=name)[2].read_bytes()
        for name, seed in (("one", 5), ("two", 5), ("three", 6))
    ]
    assert files[0] == files[1]
    assert files[0] != files[2]


@pytest.mark.parametrize("alignment", [None, "masked_cosine"], indirect=True)
def test_trained_saved_and_loaded_gives_the_same_codes_bit_for_bit(train, alignment):
    sae, _, weights = train(alignment, epochs=3)
    loaded, sae = load_sae(weights), sae.eval()
    x = rows(7)
    assert torch.equal(loaded.encode(x).dense(), sae.encode(x).dense())
    assert torch.equal(loaded(x)[1], sae(x)[1])
    assert torch.allclose(loaded.dictionary.norm(dim=1), torch.ones(ATOMS), atol=1e-6)


@pytest.mark.parametrize("alignment", [None, "masked_cosine"], indirect=True)
def test_two_pairs_are_enough_to_train(train, alignment):
    sae, table, _ = train(alignment, epochs=2, pairs=2)
    assert all(torch.isfinite(value).all() for value in sae.state_dict().values())
    assert table.notna().all(axis=None)


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
