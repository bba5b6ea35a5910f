import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isoenergy.train import matching_pursuit
from isoenergy.train.alignment import masked_cosine
from isoenergy.train.codes import merge_repeats
from isoenergy.train.matching_pursuit import choose_atoms, pursue


def unrolled(x, dictionary, l0):
    residual, codes = x, x.new_zeros(len(x), len(dictionary))
    chosen = []
    for _ in range(l0):
        correlations = residual @ dictionary.T
        atom = correlations.argmax(dim=1, keepdim=True)
        value = correlations.gather(1, atom)
        codes = codes.scatter_add(1, atom, value)
        residual = residual - value * dictionary[atom[:, 0]]
        chosen.append(atom)
    return torch.cat(chosen, dim=1), codes, x - residual


def problem(rows, n_atoms, dim, coherence=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, dim, generator=generator, dtype=torch.float64)
    common = torch.randn(1, dim, generator=generator, dtype=torch.float64)
    atoms = torch.randn(n_atoms, dim, generator=generator, dtype=torch.float64)
    atoms = atoms + coherence * common
    return x, atoms / atoms.norm(dim=1, keepdim=True)


@pytest.fixture(params=["gram", "looped", "compiled", "residual", "small"])
def branch(request, monkeypatch):
    compiled = 0 if request.param == "compiled" else 10**6
    monkeypatch.setattr(matching_pursuit, "COMPILED", compiled)
    monkeypatch.setattr(matching_pursuit, "LOOPED", 0 if request.param == "looped" else 10**6)
    monkeypatch.setattr(matching_pursuit, "GRAM_LIMIT", 0 if request.param == "residual" else 10**6)
    monkeypatch.setattr(matching_pursuit, "SMALL", 10**6 if request.param == "small" else 0)
    return request.param


CASES = [
    pytest.param(6, 20, 8, 0.0, 4, id="few steps"),
    pytest.param(6, 10, 5, 2.0, 9, id="coherent atoms"),
    pytest.param(5, 3, 8, 1.0, 12, id="more steps than atoms"),
    pytest.param(1, 4, 3, 0.5, 7, id="one row"),
]


@pytest.mark.parametrize(("rows", "n_atoms", "dim", "coherence", "l0"), CASES)
def test_atoms_are_those_of_the_unrolled_loop(branch, rows, n_atoms, dim, coherence, l0):
    x, dictionary = problem(rows, n_atoms, dim, coherence)
    expected, _, _ = unrolled(x, dictionary, l0)
    assert torch.equal(choose_atoms(x, dictionary, l0), expected)


@pytest.mark.parametrize(("rows", "n_atoms", "dim", "coherence", "l0"), CASES)
def test_values_and_reconstruction_are_those_of_the_unrolled_loop(
    branch, rows, n_atoms, dim, coherence, l0
):
    x, dictionary = problem(rows, n_atoms, dim, coherence)
    chosen, expected, rebuilt = unrolled(x, dictionary, l0)
    codes, reconstruction = pursue(x, dictionary, l0)
    assert torch.allclose(codes.dense(), expected, rtol=0, atol=1e-12)
    assert torch.allclose(reconstruction, rebuilt, rtol=0, atol=1e-12)
    if l0 > n_atoms:
        assert all(len(set(row.tolist())) < l0 for row in chosen)


@pytest.mark.parametrize(("rows", "n_atoms", "dim", "coherence", "l0"), CASES)
def test_gradients_are_those_of_the_unrolled_loop(branch, rows, n_atoms, dim, coherence, l0):
    x, dictionary = problem(rows, n_atoms, dim, coherence)
    x.requires_grad_()
    dictionary.requires_grad_()
    weight = torch.randn(rows, n_atoms, dtype=torch.float64)
    pull = torch.randn(rows, dim, dtype=torch.float64)
    _, z, rebuilt = unrolled(x, dictionary, l0)
    expected = torch.autograd.grad(
        (z * weight).sum() + (rebuilt * pull).square().sum(), (x, dictionary)
    )
    codes, reconstruction = pursue(x, dictionary, l0)
    found = torch.autograd.grad(
        (codes.dense() * weight).sum() + (reconstruction * pull).square().sum(), (x, dictionary)
    )
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)


def test_gradient_is_right_numerically():
    x, dictionary = problem(2, 6, 4, 1.0)
    x.requires_grad_()
    dictionary.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: pursue(a, b, 5)[1], (x, dictionary))


@pytest.mark.parametrize("compiled", [0, 10**6])
def test_nothing_of_rows_times_atoms_is_kept_for_the_backward_pass(monkeypatch, compiled):
    monkeypatch.setattr(matching_pursuit, "SMALL", 0)
    monkeypatch.setattr(matching_pursuit, "COMPILED", compiled)
    x, dictionary = problem(40, 60, 16)
    dictionary.requires_grad_()
    kept = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        codes, reconstruction = pursue(x, dictionary, 5)
        half = len(x) // 2
        loss = (x - reconstruction).square().mean() + masked_cosine(codes[:half], codes[half:])
    # 40 x 5 x 5 overlaps of chosen atoms, and the dictionary of 60 x 16.
    assert max(kept) <= 1000 < x.shape[0] * len(dictionary)
    loss.backward()
    assert dictionary.grad.abs().max() > 0


def test_codes_times_dictionary_is_the_reconstruction():
    x, dictionary = problem(9, 5, 7, 1.5)
    codes, reconstruction = pursue(x, dictionary, 11)
    assert torch.allclose(codes.dense() @ dictionary, reconstruction, rtol=0, atol=1e-12)
    assert torch.allclose(codes.decode(dictionary[codes.indices]), reconstruction, atol=1e-12)


def test_stronger_negative_correlation_is_not_chosen(branch):
    codes, reconstruction = pursue(torch.tensor([[-3.0, 1.0]]), torch.eye(2), 1)
    assert codes.indices.tolist() == [[1]]
    assert codes.values.tolist() == [[1.0]]
    assert reconstruction.tolist() == [[0.0, 1.0]]


def test_worked_case_with_a_repeated_atom(branch):
    # D_0 = (1, 0), D_1 = (0.6, 0.8), x = (1, 2): correlations 1 and 2.2, so atom 1 with 2.2 and
    # r = (-0.32, 0.24); then -0.32 and 0, atom 1 with 0; so it stays, and only atom 1 is used.
    dictionary = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    codes, _ = pursue(torch.tensor([[1.0, 2.0]], dtype=torch.float64), dictionary, 2)
    assert codes.dense().tolist()[0] == pytest.approx([0.0, 2.2])
    # x = (2, 1): 2 and 2, tie to atom 0, r = (0, 1); then atom 1 with 0.8, r = (-0.48, 0.36);
    # then -0.48 and 0.
    codes, rebuilt = pursue(torch.tensor([[2.0, 1.0]], dtype=torch.float64), dictionary, 2)
    assert codes.dense().tolist()[0] == pytest.approx([2.0, 0.8])
    assert rebuilt.tolist()[0] == pytest.approx([2.48, 0.64])


def test_ties_go_to_the_lowest_index(branch):
    dictionary = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert choose_atoms(torch.tensor([[1.0, 0.0]]), dictionary, 1).tolist() == [[1]]


def test_merged_repeats_stand_in_the_first_slot():
    values = torch.tensor([[1.0, 2.0, 4.0, 8.0]])
    indices = torch.tensor([[5, 3, 5, 5]])
    assert merge_repeats(values, indices).tolist() == [[13.0, 2.0, 0.0, 0.0]]


def test_no_atom_has_two_non_zero_slots():
    x, dictionary = problem(20, 4, 6, 1.0)
    codes, _ = pursue(x, dictionary, 9)
    used = [
        row[value != 0].tolist() for row, value in zip(codes.indices, codes.values, strict=True)
    ]
    assert all(len(set(row)) == len(row) <= 4 for row in used)


def test_both_branches_agree_on_random_rows(monkeypatch):
    x, dictionary = problem(50, 40, 16)
    chosen = []
    for limit in (10**6, 0):
        monkeypatch.setattr(matching_pursuit, "GRAM_LIMIT", limit)
        chosen.append(choose_atoms(x, dictionary, 8))
    assert torch.equal(*chosen)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    n_atoms=st.integers(1, 12),
    dim=st.integers(1, 8),
    coherence=st.sampled_from([0.0, 0.5, 3.0]),
)
def test_residual_never_grows_with_l0(seed, n_atoms, dim, coherence):
    x, dictionary = problem(3, n_atoms, dim, coherence, seed)
    norms = [x.norm(dim=1).numpy()]
    norms += [(x - pursue(x, dictionary, l0)[1]).norm(dim=1).numpy() for l0 in range(1, 7)]
    assert (np.diff(norms, axis=0) <= 1e-9).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), scale=st.floats(0.01, 100.0))
def test_codes_scale_with_the_row(seed, scale):
    x, dictionary = problem(3, 10, 5, 0.5, seed)
    one, other = pursue(x, dictionary, 4)[0], pursue(scale * x, dictionary, 4)[0]
    assert torch.allclose(scale * one.dense(), other.dense(), rtol=1e-9, atol=1e-9 * scale)
