import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from isoenergy.embed.rows import Rows
from isoenergy.measure import faithfulness
from isoenergy.measure.faithfulness import STEPS, attributions, faithfulness_scores


def make(n=12, dim=6, n_atoms=15, seed=0, density=0.3):
    rng = np.random.default_rng(seed)
    dictionary = rng.standard_normal((n_atoms, dim))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    dense = rng.random((n, n_atoms)) * (rng.random((n, n_atoms)) < density)
    x = dense @ dictionary + 0.3 * rng.standard_normal((n, dim))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return x, dense / 3, dictionary


def integrated_gradients(x, dense, dictionary):
    """Minus the integrated gradient of the mean squared error in the codes, by autograd."""
    rows, codes, atoms = (torch.from_numpy(np.asarray(a, float)) for a in (x, dense, dictionary))
    total = torch.zeros_like(codes)
    for step in range(1, STEPS + 1):
        z = (step / STEPS * codes).requires_grad_()
        (rows - z @ atoms).square().mean().backward()
        total -= codes * z.grad / STEPS
    return total.numpy()


@pytest.mark.parametrize("density", [0.05, 0.6])
def test_attributions_are_the_integrated_gradients_up_to_a_factor(density):
    x, dense, dictionary = make(density=density)
    codes = csr_matrix(dense)
    found = attributions(x.astype(np.float64), codes, dictionary)
    expected = integrated_gradients(x, dense, dictionary)[codes.nonzero()]
    assert np.allclose(found * 2 / x.size, expected)


def oracle(x, dense, dictionary, n_steps):
    """The definition on dense arrays, one row at a time."""
    found = {"insertion": [], "deletion": []}
    for row, z in zip(x.astype(np.float64), dense, strict=True):
        if not z.any():  # rebuilds nothing
            continue
        scores = integrated_gradients(row, z, dictionary)
        full = np.linalg.norm(row - z @ dictionary) - np.linalg.norm(row)
        sums = {"insertion": 0.0, "deletion": 0.0}
        for k in range(n_steps):
            kept = np.zeros(len(z), bool)
            if k:
                kept = scores >= np.sort(scores)[::-1][min(k, len(z)) - 1]
            for name, mask in (("insertion", kept), ("deletion", ~kept)):
                rebuilt = (z * mask) @ dictionary
                sums[name] += (np.linalg.norm(row - rebuilt) - np.linalg.norm(row)) / full
        for name, value in sums.items():
            found[name].append(value / (n_steps + 1))
    return {name: np.mean(values) for name, values in found.items()}


@pytest.mark.parametrize("n_steps", [1, 3, 9, 20])
@pytest.mark.parametrize("density", [0.15, 0.6, 1.0])
def test_scores_equal_a_dense_oracle(n_steps, density):
    x, dense, dictionary = make(density=density, seed=2)
    codes = csr_matrix(dense.astype(np.float32))
    found = faithfulness_scores(Rows([x]), codes, dictionary, n_steps)
    assert found == pytest.approx(oracle(x, codes.toarray(), dictionary, n_steps), rel=1e-5)


def test_one_perfect_atom_by_hand():
    x = np.array([[1.0, 0.0]], dtype=np.float32)
    codes = csr_matrix(np.array([[1.0, 0.0]], dtype=np.float32))
    found = faithfulness_scores(Rows([x]), codes, np.eye(2), 4)
    # f = 0, 1, 1, 1 when inserted and 1, 0, 0, 0 when deleted, over K + 1 = 5.
    assert found == pytest.approx({"insertion": 3 / 5, "deletion": 1 / 5})


def test_scores_ignore_the_order_of_atoms():
    x, dense, dictionary = make(seed=4)
    order = np.random.default_rng(0).permutation(len(dictionary))
    found = faithfulness_scores(Rows([x]), csr_matrix(dense), dictionary, 5)
    moved = faithfulness_scores(Rows([x]), csr_matrix(dense[:, order]), dictionary[order], 5)
    assert moved == pytest.approx(found)


def test_codes_that_rebuild_nothing_have_no_score():
    x, dense, dictionary = make()
    found = faithfulness_scores(Rows([x]), csr_matrix(0 * dense), dictionary, 3)
    assert all(np.isnan(value) for value in found.values())


@pytest.mark.parametrize("scale", [0.1, 7.0])
def test_scores_ignore_the_scale_of_rows_and_codes(scale):
    x, dense, dictionary = make(seed=4)
    found = faithfulness_scores(Rows([x]), csr_matrix(dense), dictionary, 5)
    scaled = Rows([(scale * x).astype(np.float32)])
    moved = faithfulness_scores(scaled, csr_matrix(scale * dense), dictionary, 5)
    assert moved == pytest.approx(found, rel=1e-5)


def test_an_atom_that_spoils_the_reconstruction_lifts_insertion_above_its_usual_bound():
    # x = D_0; z = 1 on D_0 and 1/2 on D_1, orthogonal: f = 0, then (0 - 1) / (1/2 - 1) = 2, then 1
    # as there is no third atom, whose score of 0 would go before that of D_1.
    x = np.array([[1.0, 0.0]], dtype=np.float32)
    codes = csr_matrix(np.array([[1.0, 0.5]], dtype=np.float32))
    found = faithfulness_scores(Rows([x]), codes, np.eye(2), 4)
    assert found["insertion"] == pytest.approx((0 + 2 + 1 + 1) / 5)
    codes.resize(1, 3)
    found = faithfulness_scores(Rows([x]), codes, np.eye(3, 2), 4)
    assert found["insertion"] == pytest.approx((0 + 2 + 2 + 1) / 5)


def test_scores_do_not_depend_on_how_many_codes_are_held_at_a_time(monkeypatch):
    x, dense, dictionary = make(seed=5)
    found = faithfulness_scores(Rows([x]), csr_matrix(dense), dictionary, 5)
    monkeypatch.setattr(faithfulness, "_BLOCK", 7)
    assert faithfulness_scores(Rows([x]), csr_matrix(dense), dictionary, 5) == pytest.approx(found)
