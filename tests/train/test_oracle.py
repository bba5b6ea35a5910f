"""Every SAE against `overcomplete` 0.3.0, the library that the authors trained with.

Both get the same weights; codes, reconstructions and gradients are compared in float64. What
differs by design is arranged here, not allowed for by a looser comparison:

- Theirs divides an atom by norm + 1e-8 at every look at the dictionary, ours by max(norm, 1e-8)
  once before the forward pass: atoms, and all that follows from them, agree to 1e-8 of their size.
- Theirs takes the kernel of JumpReLU's threshold in float32 even for float64 weights: gradients of
  thresholds agree to 1e-6 of the largest.
- Theirs counts BatchTopK's budget per batch (top_k), ours per row (l0). Both start the mean
  threshold at the first batch's; theirs is an attribute that is not saved, ours a buffer. Before
  any training theirs refuses to evaluate, ours takes each batch's own threshold.
- The library's l1 penalty is a sum over the batch and its term for dead atoms a mean over those
  atoms; ours are the authors' own, means over rows and atoms (SPEC 2.2). Only the squared error is
  the same, and is compared.
- Their OMP works in float32 alone, has no gradient, and keeps coefficients from being negative by
  projected gradient steps; ours solves least squares. They agree where none is pushed below 0.
- MP accumulates a repeated atom and takes the signed maximum in both; the paper's Algorithm 1,
  which overwrites and takes absolute values, is followed by neither.
- Matryoshka has no counterpart in the library.
"""

import numpy as np
import pytest
import torch

from isoenergy.embed.rows import Rows
from isoenergy.measure.reconstruction import l1, reconstruction_errors
from isoenergy.train.checkpoint import build_sae

DIM, ATOMS, L0, ROWS = 9, 24, 4, 31


def rows(n=ROWS, seed=0):
    x = torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


@pytest.fixture
def pair(overcomplete):
    """One SAE of ours and theirs of the same weights, both training, in float64."""
    theirs = {
        "matching_pursuit": lambda: overcomplete.sae.MpSAE(DIM, ATOMS, k=L0),
        "orthogonal_matching_pursuit": lambda: overcomplete.sae.OMPSAE(
            DIM, ATOMS, k=L0, max_iter=20_000
        ),
        "relu": lambda: overcomplete.sae.SAE(DIM, ATOMS),
        "jump_relu": lambda: overcomplete.sae.JumpSAE(DIM, ATOMS),
        "topk": lambda: overcomplete.sae.TopKSAE(DIM, ATOMS, top_k=L0),
        "batch_topk": lambda: overcomplete.sae.BatchTopKSAE(DIM, ATOMS, top_k=L0 * ROWS),
    }

    def make(architecture, seed=0):
        own = build_sae(architecture, DIM, ATOMS, L0, seed).double()
        own.normalise_atoms()
        other = theirs[architecture]().double()
        with torch.no_grad():
            other.dictionary._weights.copy_(own.dictionary)
            if hasattr(own, "encoder"):
                linear = other.encoder.final_block[0]
                linear.weight.copy_(own.encoder.weight)
                linear.bias.copy_(own.encoder.bias)
            if hasattr(own, "log_threshold"):
                # About the pre-codes' size, so that some atoms lie at their threshold's kernel.
                own.log_threshold.uniform_(-3, -0.5, generator=torch.Generator().manual_seed(seed))
                other.thresholds.copy_(own.log_threshold)
        return own.train(), other.train()

    return make


def parameters(own, other):
    """Pairs of parameters that play the same part, by name."""
    same = {"dictionary": (own.dictionary, other.dictionary._weights)}
    if hasattr(own, "encoder"):
        linear = other.encoder.final_block[0]
        same["weight"] = own.encoder.weight, linear.weight
        same["bias"] = own.encoder.bias, linear.bias
    if hasattr(own, "log_threshold"):
        same["threshold"] = own.log_threshold, other.thresholds
    return same


def close(one, other, rtol=1e-7):
    scale = other.detach().abs().max().clamp_min(1e-12).item()
    return torch.allclose(one.double(), other.double(), rtol=rtol, atol=rtol * scale)


DIFFERENTIABLE = ("matching_pursuit", "relu", "jump_relu", "topk", "batch_topk")


@pytest.mark.parametrize("architecture", DIFFERENTIABLE)
@pytest.mark.parametrize("seed", [0, 1])
def test_codes_and_reconstructions_are_theirs(pair, architecture, seed):
    own, other = pair(architecture, seed)
    x = rows(seed=seed)
    codes, reconstruction = own(x)
    _, expected, rebuilt = other(x)
    assert (expected != 0).any()
    assert torch.equal(codes.dense() != 0, expected != 0)
    assert close(codes.dense(), expected)
    assert close(reconstruction, rebuilt)


@pytest.mark.parametrize("architecture", DIFFERENTIABLE)
@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_of_every_parameter_are_theirs(pair, architecture, seed):
    own, other = pair(architecture, seed)
    x = rows(seed=seed)
    draw = torch.Generator().manual_seed(9)
    weight = torch.randn(ROWS, ATOMS, generator=draw, dtype=torch.float64)
    codes, reconstruction = own(x)
    ((x - reconstruction).square().mean() + (codes.dense() * weight).mean()).backward()
    _, expected, rebuilt = other(x)
    ((x - rebuilt).square().mean() + (expected * weight).mean()).backward()
    for name, (one, two) in parameters(own, other).items():
        assert two.grad.abs().max() > 0, name
        assert close(one.grad, two.grad, 1e-6 if name == "threshold" else 1e-7), name


def test_thresholds_of_jump_relu_feel_pre_codes_at_the_kernel(pair):
    own, other = pair("jump_relu")
    x = rows()
    with torch.no_grad():  # every atom has a row whose pre-code is within the kernel's width
        nearest = own.encoder(x).relu().max(dim=0).values + 2e-4
        own.log_threshold.copy_(nearest.log())
        other.thresholds.copy_(own.log_threshold)
    (x - own(x)[1]).square().mean().backward()
    (x - other(x)[2]).square().mean().backward()
    own(x)[0].dense().sum().backward()
    other(x)[1].sum().backward()
    assert (own.log_threshold.grad.abs() > 1e-3).float().mean() > 0.9
    assert close(own.log_threshold.grad, other.thresholds.grad, 1e-6)


def test_batch_topk_evaluates_with_their_mean_threshold(pair):
    own, other = pair("batch_topk")
    for seed in range(4):
        own(rows(seed=seed))
        other(rows(seed=seed))
    assert own.threshold.item() == pytest.approx(other.running_threshold.item(), rel=1e-12)
    own.eval()
    other.eval()
    x = rows(57, seed=9)
    assert close(own.encode(x).dense(), other.encode(x)[1])
    assert (own.encode(x).dense() != 0).sum() != L0 * 57


def test_orthogonal_pursuit_is_theirs_where_no_coefficient_is_pushed_below_zero(pair):
    own, other = (sae.float() for sae in pair("orthogonal_matching_pursuit"))
    with torch.no_grad():
        # Sums of atoms with positive weights, so that least squares gives positive ones too.
        draw = torch.Generator().manual_seed(3)
        picked = torch.rand(400, ATOMS, generator=draw).topk(L0, dim=1).indices
        weights = 1 + torch.rand(400, L0, generator=draw)
        x = torch.einsum("rs,rsd->rd", weights, own.dictionary[picked])
        codes, reconstruction = own(x)
        dense = codes.dense()
        partial = [build_sae("orthogonal_matching_pursuit", DIM, ATOMS, k, 0) for k in range(1, L0)]
        stages = [sae.encode(x).dense() for sae in partial]
        usable = torch.stack([*stages, dense]).amin(dim=(0, 2)) >= 0
        assert usable.sum() > 50
        _, expected = other.encode(x[usable])
    assert torch.equal(dense[usable] != 0, expected != 0)
    assert torch.allclose(dense[usable], expected, rtol=0, atol=1e-4)
    assert torch.allclose(reconstruction[usable], expected @ own.dictionary, rtol=0, atol=1e-4)


@pytest.mark.parametrize("architecture", DIFFERENTIABLE)
def test_atoms_are_normalised_as_theirs(pair, architecture):
    own, other = pair(architecture)
    longer = 5 * rows(ATOMS, seed=7) * torch.arange(1, ATOMS + 1, dtype=torch.float64)[:, None]
    longer[3] = 0
    with torch.no_grad():
        own.dictionary.copy_(longer)
        other.dictionary._weights.copy_(longer)
    own.normalise_atoms()
    other.eval()
    assert close(own.dictionary, other.get_dictionary())
    assert own.dictionary[3].tolist() == [0.0] * DIM


@pytest.mark.parametrize("architecture", ["matching_pursuit", "topk"])
def test_a_step_of_adam_leads_to_their_weights(pair, architecture):
    own, other = pair(architecture)
    optimisers = [torch.optim.Adam(sae.parameters(), lr=1e-2) for sae in (own, other)]
    for seed in range(5):
        x = rows(seed=seed)
        own.normalise_atoms()
        for loss, optimiser in zip(
            ((x - own(x)[1]).square().mean(), (x - other(x)[2]).square().mean()),
            optimisers,
            strict=True,
        ):
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    for one, two in parameters(own, other).values():
        assert close(one, two, 1e-6)


def test_the_squared_error_is_their_loss_without_penalty(pair, overcomplete):
    own, other = pair("matching_pursuit")
    x = rows()
    codes, reconstruction = own(x)
    pre, expected, rebuilt = other(x)
    loss = overcomplete.sae.mse_l1(x, rebuilt, pre, expected, other.get_dictionary(), penalty=0)
    assert own.loss(x, reconstruction, codes).item() == pytest.approx(loss.item(), rel=1e-7)


def test_explained_variance_squared_error_and_l1_are_theirs(overcomplete, sparse_codes):
    x, codes, dictionary = sparse_codes(1300)
    told = overcomplete.metrics
    batches = [torch.from_numpy(x[s : s + 512]).double() for s in (0, 512, 1024)]
    rebuilt = torch.from_numpy(codes.toarray() @ dictionary).double()
    parts = [rebuilt[s : s + 512] for s in (0, 512, 1024)]
    scores = [told.r2_score(a, b).item() for a, b in zip(batches, parts, strict=True)]
    expected = np.average(scores, weights=[len(batch) for batch in batches])
    errors = reconstruction_errors(Rows([x]), codes, dictionary)
    assert errors.r_squared()["code"] == pytest.approx(expected, rel=1e-6)
    squared = told.l2(torch.cat(batches) - rebuilt, 1).square().mean().item()
    assert errors.mean_squared() == pytest.approx(squared, rel=1e-5)
    assert l1(codes) == pytest.approx(told.l1(torch.from_numpy(codes.toarray()), 1).mean().item())


@pytest.fixture
def sparse_codes():
    from scipy.sparse import csr_matrix

    def draw(n):
        rng = np.random.default_rng(4)
        dictionary = rng.standard_normal((ATOMS, DIM)).astype(np.float32)
        dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
        dense = (rng.random((n, ATOMS)) * (rng.random((n, ATOMS)) < 0.2)).astype(np.float32)
        x = (dense @ dictionary + 0.2 * rng.standard_normal((n, DIM))).astype(np.float32)
        return x, csr_matrix(dense), dictionary

    return draw
