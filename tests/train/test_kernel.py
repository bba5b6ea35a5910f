"""The compiled choice of atoms against the plain loop, with ties, odd sizes and threads."""

import numpy as np
import pytest
import torch

from isoenergy import onednn
from isoenergy.train import kernel
from isoenergy.train.kernel import LANES, choose_by_gram, choose_lazily


def plain(correlations, gram, l0):
    left, chosen = correlations.copy(), np.empty((len(correlations), l0), dtype=np.int64)
    for step in range(l0):
        atom = left.argmax(axis=1)
        chosen[:, step] = atom
        left -= left.max(axis=1)[:, None] * gram[atom]
    return chosen


def vectors(rows, n_atoms, dim, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, atoms = (torch.randn(n, dim, generator=generator, dtype=dtype) for n in (rows, n_atoms))
    return x, atoms / atoms.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("n_atoms", [1, 5, LANES - 1, LANES, LANES + 1, 5 * LANES + 7])
@pytest.mark.parametrize("threads", [1, 3])
def test_atoms_are_those_of_the_plain_loop(n_atoms, threads):
    x, atoms = vectors(11, n_atoms, 9)
    correlations, gram = x @ atoms.T, atoms @ atoms.T
    expected = plain(correlations.numpy(), gram.numpy(), 6)
    assert np.array_equal(choose_lazily(x, atoms, 6, threads).numpy(), expected)
    assert np.array_equal(choose_by_gram(correlations, gram, 6, threads).numpy(), expected)


# Bytes for everything, for two blocks of rows and few Gram rows, and for one row at a time.
@pytest.mark.parametrize("limit", [2**30, 8 * 331 * 4 * 20, 1])
@pytest.mark.parametrize("threads", [1, 3])
def test_lazy_atoms_are_those_of_the_plain_loop(limit, threads):
    x, atoms = vectors(31, 331, 24)
    expected = plain((x @ atoms.T).numpy(), (atoms @ atoms.T).numpy(), 9)
    assert np.array_equal(choose_lazily(x, atoms, 9, threads, limit).numpy(), expected)


def test_each_gram_row_of_a_chosen_atom_is_computed_once(monkeypatch):
    x, atoms = vectors(40, 500, 16)
    computed, write = [], kernel._Products.write

    def counted(products, rows, out):
        write(products, rows, out)
        computed.append(out.argmax(dim=1).numpy())

    monkeypatch.setattr(kernel._Products, "write", counted)
    chosen = choose_lazily(x, atoms, 5)
    computed = np.concatenate(computed[1:])  # the first are the correlations of x
    # The last atom of a row is subtracted from nothing.
    assert sorted(computed) == chosen[:, :-1].unique().tolist()
    assert len(computed) < 160  # of 40 x 4


def test_lazy_choice_is_the_same_each_time_and_for_any_number_of_threads():
    x, atoms = vectors(300, 400, 32, torch.float32)
    first = choose_lazily(x, atoms, 12, 1)
    assert all(torch.equal(choose_lazily(x, atoms, 12, threads), first) for threads in (1, 2, 5))


def test_lazy_choice_of_no_rows_is_empty():
    x, atoms = vectors(0, 70, 8)
    assert choose_lazily(x, atoms, 3).shape == (0, 3)


def test_few_rows_differ_from_the_plain_loop_in_single_precision():
    x, atoms = vectors(4000, 300, 24, torch.float32, seed=1)
    expected = plain((x @ atoms.T).numpy(), (atoms @ atoms.T).numpy(), 8)
    differ = choose_lazily(x, atoms, 8).numpy() != expected
    assert differ.any(axis=1).mean() < 1e-3


def test_ties_go_to_the_lowest_index():
    for first, second in ((3, 3 + LANES), (LANES - 1, LANES), (0, 2 * LANES + 1)):
        x = torch.zeros(1, 3 * LANES)
        x[0, [first, second]] = 2.0
        assert choose_lazily(x, torch.eye(3 * LANES), 2)[0].tolist() == [first, second]


def test_all_nan_ends():
    assert choose_lazily(torch.full((1, 70), torch.nan), torch.eye(70), 3).shape == (1, 3)


@pytest.mark.parametrize("rows", [0, 1, 700])
def test_products_of_single_precision_are_those_of_double(rows, monkeypatch):
    monkeypatch.setattr(onednn, "PRODUCT_COLUMNS", 256)
    x, atoms = vectors(rows, 600, 24)
    out = torch.full((rows, 600), torch.nan)
    kernel._Products(atoms.float()).write(x.float(), out)
    assert torch.allclose(out.double(), x @ atoms.T, atol=1e-5)
