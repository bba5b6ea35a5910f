import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from isoenergy.errors import InputError
from isoenergy.train.alignment import ALIGNMENTS
from isoenergy.train.codes import SparseCodes, merge_repeats


def draw(rows, slots, n_atoms, seed):
    generator = torch.Generator().manual_seed(seed)
    sides = []
    for _ in range(2):
        indices = torch.randint(n_atoms, (rows, slots), generator=generator)
        values = torch.rand(rows, slots, generator=generator, dtype=torch.float64) + 0.01
        sides.append(SparseCodes(merge_repeats(values, indices), indices, n_atoms))
    return sides


def mean_cosine(a, b):
    norms = [np.maximum(np.linalg.norm(z, axis=1), 1e-8) for z in (a, b)]
    return (a * b).sum(axis=1).dot(1 / (norms[0] * norms[1])) / len(a)


def dense_oracle(name, image, text):
    a, b = image.dense().numpy().copy(), text.dense().numpy().copy()
    if name == "masked_cosine":
        for row in range(len(a)):
            for top in (image.dense()[row].argmax(), text.dense()[row].argmax()):
                a[row, top] = b[row, top] = 0
    return -mean_cosine(a, b)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["cosine", "masked_cosine"]),
    rows=st.integers(1, 6),
    slots=st.integers(1, 8),
    n_atoms=st.integers(1, 12),
    seed=st.integers(0, 2**20),
)
def test_loss_equals_the_dense_definition(name, rows, slots, n_atoms, seed):
    image, text = draw(rows, slots, n_atoms, seed)
    loss = ALIGNMENTS[name](image, text).item()
    assert loss == pytest.approx(dense_oracle(name, image, text), abs=1e-12)
    assert -1 - 1e-12 <= loss <= 1e-12


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(ALIGNMENTS)), seed=st.integers(0, 2**20))
def test_loss_does_not_depend_on_the_order_of_atoms(name, seed):
    image, text = draw(4, 5, 9, seed)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    moved = [SparseCodes(z.values, order[z.indices], 9) for z in (image, text)]
    assert ALIGNMENTS[name](*moved).item() == pytest.approx(
        ALIGNMENTS[name](image, text).item(), abs=1e-12
    )


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(ALIGNMENTS)), seed=st.integers(0, 2**20))
def test_loss_does_not_depend_on_the_order_of_slots(name, seed):
    image, text = draw(4, 5, 9, seed)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    moved = SparseCodes(image.values[:, order], image.indices[:, order], 9)
    assert ALIGNMENTS[name](moved, text).item() == pytest.approx(
        ALIGNMENTS[name](image, text).item(), abs=1e-12
    )


def codes(values, indices):
    return SparseCodes(
        torch.tensor(values, dtype=torch.float64, requires_grad=True), torch.tensor(indices), 6
    )


def test_worked_pair():
    # image 5 e0 + 3 e2 + 4 e3; text 9 e1 + 3 e2 + 2 e0. Full: dot 10 + 9 = 19, norms sqrt(50) and
    # sqrt(94). Masked (atoms 0 and 1 go): 3 e2 + 4 e3 against 3 e2: 9 / (5 * 3).
    image = codes([[5.0, 3.0, 4.0]], [[0, 2, 3]])
    text = codes([[9.0, 3.0, 2.0]], [[1, 2, 0]])
    assert ALIGNMENTS["cosine"](image, text).item() == pytest.approx(-19 / (50 * 94) ** 0.5)
    assert ALIGNMENTS["masked_cosine"](image, text).item() == pytest.approx(-0.6)


def test_strongest_atom_is_the_strongest_sum_of_repeats():
    # Atom 4 is chosen twice, 3 + 3 > 5, so it and not atom 0 is masked.
    indices = torch.tensor([[0, 4, 4]])
    values = merge_repeats(torch.tensor([[5.0, 3.0, 3.0]]), indices)
    image = SparseCodes(values, indices, 6)
    text = SparseCodes(torch.tensor([[7.0, 2.0]]), torch.tensor([[1, 0]]), 6)
    assert ALIGNMENTS["masked_cosine"](image, text).item() == pytest.approx(-1.0)


def test_gradient_is_right_numerically():
    image, text = draw(3, 4, 6, 5)

    def loss(a, b, name):
        return ALIGNMENTS[name](SparseCodes(a, image.indices, 6), SparseCodes(b, text.indices, 6))

    values = [z.values.clone().requires_grad_() for z in (image, text)]
    # A merged slot of 0 is not free to move: its atom has another slot.
    if any((z == 0).any() for z in values):
        values = [(z + 0.0).detach().requires_grad_() for z in values]
    for name in ALIGNMENTS:
        assert torch.autograd.gradcheck(lambda a, b, name=name: loss(a, b, name), values)


def test_codes_that_are_masked_away_give_zero_and_finite_gradients():
    image, text = codes([[2.0], [3.0]], [[0], [4]]), codes([[1.0], [5.0]], [[1], [4]])
    loss = ALIGNMENTS["masked_cosine"](image, text)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.isfinite(image.values.grad).all()
    assert torch.isfinite(text.values.grad).all()


def test_unknown_name_is_refused_and_known_ones_named():
    with pytest.raises(
        InputError,
        match=r"'euclid'; known are cosine, energy_absolute, .*, masked_cosine",
    ):
        ALIGNMENTS["euclid"]


def test_beta_of_zero_trains_the_plain_sae(train):
    plain, weighted = train("plain"), train("zero", alignment="masked_cosine", beta=0.0)
    # Beside the weights each file names its own config.
    one, other = (load_file(folder / "sae.safetensors") for folder in (plain, weighted))
    assert one.keys() == other.keys()
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_alignment_brings_paired_codes_closer(train):
    import pandas as pd

    histories = [
        pd.read_parquet(train(str(beta), alignment="masked_cosine", beta=beta) / "history.parquet")
        for beta in (0.0, 1e-2)
    ]
    plain, aligned = (history["alignment"].iloc[-1] for history in histories)
    assert aligned < plain - 0.02


def test_training_refuses_an_unknown_alignment(train):
    with pytest.raises(InputError, match="alignment loss 'euclid'"):
        train("bad", alignment="euclid", beta=1.0)


ENERGIES = {
    "energy_relative": lambda a, b: ((a - b) / (a + b + 1e-5)).mean(),
    "energy_global": lambda a, b: (a - b).mean() / ((a + b).sum() / 2 + 1e-5),
    "energy_absolute": lambda a, b: (np.abs(a - b) / (a + b + 1e-5)).mean(),
}


@pytest.mark.parametrize("name", ENERGIES)
def test_energy_terms_equal_a_dense_oracle_and_vanish_for_equal_energies(name):
    rng = np.random.default_rng(4)
    dense = rng.random((2, 11, 7)) * (rng.random((2, 11, 7)) < 0.4)
    image, text = (SparseCodes.of(torch.from_numpy(z)) for z in dense)
    energies = (dense**2).mean(axis=1)
    assert ALIGNMENTS[name](image, text).item() == pytest.approx(ENERGIES[name](*energies))
    turned = SparseCodes.of(torch.from_numpy(dense[0][::-1].copy()))
    assert ALIGNMENTS[name](image, turned).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("slots", [2, 30])
def test_cosines_with_few_and_with_many_slots_equal_dense_cosines(slots):
    generator = torch.Generator().manual_seed(0)
    dense = torch.rand(2, 9, 40, generator=generator, dtype=torch.float64)
    kept = [z * (z >= z.topk(slots, dim=1).values[:, -1:]) for z in dense]
    expected = -torch.nn.functional.cosine_similarity(*kept).mean()
    found = ALIGNMENTS["cosine"](*(SparseCodes.of(z) for z in kept))
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
