"""SAEs with a linear encoder: ReLU, JumpReLU, TopK, BatchTopK and Matryoshka (SPEC 2.2).

Each encodes x to pre-codes W x + b (untied, PyTorch's default initial values) and keeps some of
their positive parts; reconstruction is codes @ dictionary, without bias. Losses are those of the
authors' experiments: to the squared error all add a term that lifts the pre-codes of atoms that
are dead in the batch.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from isoenergy.train import ranks
from isoenergy.train.codes import SparseCodes
from isoenergy.train.sae import ARCHITECTURES, SAE

DEAD_WEIGHT = 1e-3
SPARSITY_START, SPARSITY_RATE, SPARSITY_FLOOR = 1e-3, 1e-3, 1e-12
LOG_THRESHOLD_START = -3.0
JUMP_WIDTH = 1e-3
# Farther from its threshold a pre-code moves it by less than 1e-12 of what one at it does.
JUMP_REACH = 20 * JUMP_WIDTH
MOMENTUM = 0.9
# Matryoshka: the dictionary's leading shares that each must reconstruct alone.
SHARES = (0.125, 0.25, 0.5, 1.0)


class LinearSAE(SAE):
    """What SAEs with a linear encoder share: the encoder, and the term for dead atoms."""

    def __init__(self, dim: int, n_atoms: int, l0: int, generator: torch.Generator) -> None:
        super().__init__(dim, n_atoms, l0, generator)
        # Its own initial values would be drawn from the global generator.
        self.encoder = nn.utils.skip_init(nn.Linear, dim, n_atoms)
        bound = 1 / math.sqrt(dim)
        for parameter in self.encoder.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def loss(self, x: Tensor, reconstruction: Tensor, codes: SparseCodes) -> Tensor:
        """Squared error, less 1e-3 times the mean pre-code of dead atoms (others count as 0)."""
        return super().loss(x, reconstruction, codes) - DEAD_WEIGHT * _dead_mean(codes)


class DenseSAE(LinearSAE):
    """A linear SAE whose subclasses say, over all atoms, which activations are kept."""

    def forward(self, x: Tensor) -> tuple[SparseCodes, Tensor]:
        """See :class:`SAE`."""
        pre = self.encoder(x)
        dense = self.select(pre)
        return SparseCodes.of(dense, pre, self.reached(pre)), dense @ self.dictionary

    def reached(self, pre: Tensor) -> Tensor | None:
        """Zero codes that a loss of codes still moves, bool of shape (rows, K); None for none."""
        del pre

    @abstractmethod
    def select(self, pre: Tensor) -> Tensor:
        """Dense codes from pre-codes, both of shape (rows, K)."""


def _dead_mean(codes: SparseCodes) -> Tensor:
    """Mean over rows and atoms of pre-codes, those of atoms active somewhere counted as 0."""
    return (codes.pre * ~ranks.any_process(codes.used())).mean()


def _density(codes: SparseCodes) -> Tensor:
    """Share of positive codes in the whole batch."""
    return ranks.batch_mean(codes.density(), len(codes.values))


@ARCHITECTURES.register("relu")
class ReluSAE(DenseSAE):
    """ReLU with an l1 penalty whose weight follows the density of codes (SPEC 2.2).

    Attributes
    ----------
    sparsity_weight : buffer, scalar
        Weight of the mean absolute code; after every step it is multiplied by
        (density / (l0 / K)) ** 1e-3, so that l0 is approached, not promised.
    """

    def __init__(self, dim: int, n_atoms: int, l0: int, generator: torch.Generator) -> None:
        super().__init__(dim, n_atoms, l0, generator)
        self.register_buffer("sparsity_weight", torch.tensor(SPARSITY_START))

    def select(self, pre: Tensor) -> Tensor:
        """See :class:`DenseSAE`."""
        return pre.relu()

    def loss(self, x: Tensor, reconstruction: Tensor, codes: SparseCodes) -> Tensor:
        """As :class:`LinearSAE`, plus the weighted mean absolute code over rows and atoms."""
        mean = codes.values.abs().sum() / (len(x) * self.n_atoms)
        return super().loss(x, reconstruction, codes) + self.sparsity_weight * mean

    @torch.no_grad()
    def after_step(self, codes: SparseCodes) -> None:
        """Move the weight of the penalty towards the density asked for."""
        ratio = _density(codes) / (self.l0 / self.n_atoms)
        # A batch without any code would send the weight to its floor at once.
        change = ratio.clamp_min(torch.finfo(ratio.dtype).tiny) ** SPARSITY_RATE
        self.sparsity_weight.mul_(change).clamp_min_(SPARSITY_FLOOR)


class _Jump(torch.autograd.Function):
    """x where x >= threshold, else 0, with a pseudo-gradient for the threshold."""

    @staticmethod
    def forward(context: Any, x: Tensor, threshold: Tensor) -> Tensor:
        context.save_for_backward(x, threshold)
        return x * (x >= threshold)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, threshold = context.saved_tensors
        kernel = silverman(x - threshold, JUMP_WIDTH)
        pseudo = -(threshold / JUMP_WIDTH) * kernel * gradient
        return gradient * (x >= threshold), pseudo.sum(dim=0)


def silverman(x: Tensor, width: float) -> Tensor:
    """exp(-u / sqrt 2) sin(u / sqrt 2 + pi / 4) / (width / 2) with u = |x| / (width / 2).

    Twice Silverman's kernel of half the width, as in the library that the authors used.
    """
    half = width / 2
    scaled = x.abs() / half / math.sqrt(2)
    return torch.exp(-scaled) * torch.sin(scaled + math.pi / 4) / half


@ARCHITECTURES.register("jump_relu")
class JumpReluSAE(DenseSAE):
    """JumpReLU with a learned threshold per atom (SPEC 2.2).

    Attributes
    ----------
    log_threshold : Parameter of shape (K,)
        Logarithms of the thresholds; saved, so that a loaded SAE gives the same codes.
    """

    def __init__(self, dim: int, n_atoms: int, l0: int, generator: torch.Generator) -> None:
        super().__init__(dim, n_atoms, l0, generator)
        self.log_threshold = nn.Parameter(torch.full((n_atoms,), LOG_THRESHOLD_START))

    def select(self, pre: Tensor) -> Tensor:
        """See :class:`DenseSAE`."""
        return _Jump.apply(pre.relu(), self.log_threshold.exp())

    @torch.no_grad()
    def reached(self, pre: Tensor) -> Tensor:
        """Codes just below their threshold, whose pseudo-gradient moves it."""
        below = self.log_threshold.exp() - pre.relu()
        return (below > 0) & (below < JUMP_REACH)

    def loss(self, x: Tensor, reconstruction: Tensor, codes: SparseCodes) -> Tensor:
        """As :class:`LinearSAE`; while denser than l0 / K, less the log-thresholds' sum."""
        loss = super().loss(x, reconstruction, codes)
        if _density(codes) > self.l0 / self.n_atoms:
            loss = loss - self.log_threshold.sum()
        return loss


@ARCHITECTURES.register("topk")
class TopKSAE(LinearSAE):
    """The l0 largest positive pre-codes of every row (SPEC 2.2)."""

    def forward(self, x: Tensor) -> tuple[SparseCodes, Tensor]:
        """See :class:`SAE`."""
        pre = self.encoder(x)
        values, indices = pre.relu().topk(self.l0, dim=1)
        codes = SparseCodes(values, indices, self.n_atoms, pre)
        atoms = nn.functional.embedding(indices, self.dictionary)
        return codes, codes.decode(atoms)


@ARCHITECTURES.register("batch_topk")
class BatchTopKSAE(DenseSAE):
    """The l0 x rows largest positive pre-codes of a batch; a fixed threshold once trained.

    Attributes
    ----------
    threshold : buffer, scalar
        Exponential mean of the batches' thresholds, used in evaluation; negative before training,
        when every batch has its own.
    """

    def __init__(self, dim: int, n_atoms: int, l0: int, generator: torch.Generator) -> None:
        super().__init__(dim, n_atoms, l0, generator)
        self.register_buffer("threshold", torch.tensor(-1.0))

    def select(self, pre: Tensor) -> Tensor:
        """See :class:`DenseSAE`; training also moves the threshold."""
        activations = pre.relu()
        if self.training or self.threshold < 0:
            # Of equal activations all are kept, as in the authors' code.
            threshold = ranks.largest_of_batch(activations.detach(), self.l0)
        else:
            threshold = self.threshold
        if self.training:
            old = threshold if self.threshold < 0 else self.threshold
            self.threshold.copy_(MOMENTUM * old + (1 - MOMENTUM) * threshold)
        return activations * (activations >= threshold)


@ARCHITECTURES.register("matryoshka")
class MatryoshkaSAE(TopKSAE):
    """TopK whose leading eighth, quarter and half of atoms must each reconstruct alone.

    Beyond the paper (Bussmann and others, 2025): the same number of non-zeros, the squared error
    averaged over the nested dictionaries.
    """

    def loss(self, x: Tensor, reconstruction: Tensor, codes: SparseCodes) -> Tensor:
        """Mean over nested dictionaries of the squared error, less the dead atoms' term."""
        atoms = nn.functional.embedding(codes.indices, self.dictionary)
        errors = []
        for share in SHARES:
            inside = codes.indices < math.ceil(share * self.n_atoms)
            partial = torch.einsum("rs,rsd->rd", codes.values * inside, atoms)
            errors.append((x - partial).square().mean())
        return torch.stack(errors).mean() - DEAD_WEIGHT * _dead_mean(codes)
