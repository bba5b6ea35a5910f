import math

import numpy as np
import pytest
import torch

from isoenergy.train.checkpoint import build_sae
from isoenergy.train.codes import SparseCodes
from isoenergy.train.linear import silverman
from isoenergy.train.orthogonal import choose_orthogonal

DIM, ATOMS, L0 = 8, 20, 3


def build(name, **changes):
    sae = build_sae(name, DIM, ATOMS, L0, seed=1).double()
    for attribute, value in changes.items():
        getattr(sae, attribute).data.fill_(value)
    return sae


def rows(n, seed=0):
    x = torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


def pre_codes(sae, x):
    return (x @ sae.encoder.weight.T + sae.encoder.bias).detach().numpy()


def dead_term(pre, codes):
    return 1e-3 * (pre * ~(codes > 0).any(axis=0)).mean()


def test_atoms_are_used_where_some_row_has_a_code():
    values = torch.tensor([[0.5, 0.0, 0.0], [-0.1, 0.2, 0.0]], requires_grad=True)
    indices = torch.tensor([[3, 1, 0], [4, 3, 0]])
    assert SparseCodes(values, indices, 6).used().tolist() == [False] * 3 + [True] * 2 + [False]


def test_encoders_begin_as_torchs_linear_layers_do():
    bound = 1 / math.sqrt(DIM)
    for parameter in build("relu").encoder.parameters():
        assert parameter.abs().max() <= bound
        assert parameter.abs().max() > 0.8 * bound


def test_relu_codes_and_loss():
    sae, x = build("relu", sparsity_weight=0.25), rows(6)
    codes, reconstruction = sae(x)
    pre = pre_codes(sae, x)
    expected = np.maximum(pre, 0)
    assert np.allclose(codes.dense().detach(), expected)
    error = np.square(x.numpy() - expected @ sae.dictionary.detach().numpy()).mean()
    loss = error + 0.25 * expected.mean() - dead_term(pre, expected)
    assert sae.loss(x, reconstruction, codes).item() == pytest.approx(loss)


@pytest.mark.parametrize(("active", "factor"), [(6, 2.0**1e-3), (3, 1.0), (1, (1 / 3) ** 1e-3)])
def test_relu_penalty_follows_the_density(active, factor):
    sae = build("relu", sparsity_weight=0.5)
    dense = torch.zeros(4, ATOMS, dtype=torch.float64)
    dense[:, :active] = 1.0
    sae.after_step(SparseCodes.of(dense))
    assert sae.sparsity_weight.item() == pytest.approx(0.5 * factor)


def test_topk_keeps_the_largest_positive_pre_codes_of_every_row():
    sae, x = build("topk"), rows(5)
    codes, reconstruction = sae(x)
    pre = pre_codes(sae, x)
    expected = np.zeros_like(pre)
    for row, values in enumerate(pre):
        for atom in np.argsort(-values)[:L0]:
            expected[row, atom] = max(values[atom], 0)
    assert np.allclose(codes.dense().detach(), expected)
    error = np.square(x.numpy() - expected @ sae.dictionary.detach().numpy()).mean()
    loss = error - dead_term(pre, expected)
    assert sae.loss(x, reconstruction, codes).item() == pytest.approx(loss)


def test_batch_topk_shares_its_codes_over_the_batch_and_keeps_a_mean_threshold():
    sae = build("batch_topk")
    thresholds = []
    for seed in (0, 1):
        x = rows(7, seed)
        codes, _ = sae(x)
        activations = np.maximum(pre_codes(sae, x), 0)
        thresholds.append(np.sort(activations.ravel())[-L0 * 7])
        expected = activations * (activations >= thresholds[-1])
        assert np.allclose(codes.dense().detach(), expected)
        assert (expected > 0).sum() == L0 * 7
    mean = 0.9 * thresholds[0] + 0.1 * thresholds[1]
    assert sae.threshold.item() == pytest.approx(mean)
    sae.eval()
    x = rows(9, 2)
    activations = np.maximum(pre_codes(sae, x), 0)
    assert np.allclose(sae.encode(x).dense(), activations * (activations >= mean))
    assert sae.threshold.item() == pytest.approx(mean)


def test_jump_relu_keeps_what_reaches_its_threshold():
    sae, x = build("jump_relu", log_threshold=math.log(0.3)), rows(6)
    codes, reconstruction = sae(x)
    pre = pre_codes(sae, x)
    expected = np.where(pre >= 0.3, pre, 0)
    assert np.allclose(codes.dense().detach(), expected)
    error = np.square(x.numpy() - expected @ sae.dictionary.detach().numpy()).mean()
    loss = error - dead_term(pre, expected)
    if (expected > 0).mean() > L0 / ATOMS:
        loss -= ATOMS * math.log(0.3)
    assert sae.loss(x, reconstruction, codes).item() == pytest.approx(loss)


def test_jump_relu_raises_thresholds_while_codes_are_too_dense():
    dense, sparse = build("jump_relu", log_threshold=-9.0), build("jump_relu", log_threshold=1.0)
    pushes = []
    for sae in (dense, sparse):
        x = rows(6)
        codes, reconstruction = sae(x)
        sae.loss(x, reconstruction, codes).backward()
        pushes.append(sae.log_threshold.grad)
    assert torch.allclose(pushes[0], torch.full_like(pushes[0], -1.0), atol=1e-2)
    assert torch.allclose(pushes[1], torch.zeros_like(pushes[1]))


def test_jump_relu_pseudo_gradient_is_the_kernel_at_the_distance_from_the_threshold():
    sae = build("jump_relu", log_threshold=math.log(0.3))
    pre = torch.full((1, ATOMS), 0.3002, dtype=torch.float64)
    sae.select(pre).sum().backward()
    u = 0.0002 / 0.0005
    kernel = math.exp(-u / math.sqrt(2)) * math.sin(u / math.sqrt(2) + math.pi / 4) / 0.0005
    # The chain rule through threshold = exp(t) gives one more factor 0.3.
    expected = -(0.3 / 0.001) * kernel * 0.3
    assert sae.log_threshold.grad.tolist() == pytest.approx([expected] * ATOMS, rel=1e-6)


def test_the_kernel_is_even_and_vanishes_far_away():
    x = torch.tensor([-0.002, 0.002, 1.0], dtype=torch.float64)
    left, right, far = silverman(x, 1e-3).tolist()
    assert left == right
    assert abs(far) < 1e-12


def test_matryoshka_averages_the_errors_of_nested_dictionaries():
    sae, x = build("matryoshka"), rows(5)
    codes, reconstruction = sae(x)
    dense, dictionary = codes.dense().detach().numpy(), sae.dictionary.detach().numpy()
    errors = [np.square(x.numpy() - dense[:, :k] @ dictionary[:k]).mean() for k in (3, 5, 10, 20)]
    loss = np.mean(errors) - dead_term(pre_codes(sae, x), dense)
    assert sae.loss(x, reconstruction, codes).item() == pytest.approx(loss)


def test_orthogonal_pursuit_equals_a_loop_with_least_squares():
    sae, x = build("orthogonal_matching_pursuit"), rows(30)
    dictionary = sae.dictionary.detach().numpy()
    codes, reconstruction = sae(x)
    for row, found, rebuilt in zip(x.numpy(), codes.indices, reconstruction.detach(), strict=True):
        chosen, residual = [], row
        for _ in range(L0):
            correlations = dictionary @ residual
            correlations[chosen] = -np.inf
            chosen.append(int(correlations.argmax()))
            values, *_ = np.linalg.lstsq(dictionary[chosen].T, row, rcond=None)
            residual = row - values @ dictionary[chosen]
        assert found.tolist() == chosen
        assert np.allclose(rebuilt, row - residual, atol=1e-4)


def test_orthogonal_pursuit_never_picks_an_atom_twice_and_fits_no_worse_than_pursuit():
    plain, orthogonal = build("matching_pursuit"), build("orthogonal_matching_pursuit")
    x = rows(40)
    indices = choose_orthogonal(x, orthogonal.dictionary, 6)
    assert all(len(set(row)) == 6 for row in indices.tolist())
    errors = [(x - sae(x)[1]).square().sum().item() for sae in (plain, orthogonal)]
    assert errors[1] < errors[0]
