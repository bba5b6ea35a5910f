"""Matching pursuit over a learned dictionary, exact and cheap (SPEC 2.2, paper Section 3).

Unrolled, the pursuit is: r <- x; k times: c = D r, i = argmax c (signed), z_i += c_i,
r <- r - c_i D_i. Choosing the atoms needs no gradient, so it is done first and alone. Given the
chosen atoms A (k x d, in order, repeats included), every coefficient is
v_j = A_j . (x - sum_{l<j} v_l A_l), a unit lower-triangular system T v = A x with
T = I + strictly_lower(A A^T). Solving it differentiably gives the unrolled values and the unrolled
gradient, without keeping any rows x K array for the backward pass. On a CPU ``kernel``, compiled,
chooses, but for small dictionaries and few rows; for large ones ``unrolled``, compiled too, has
values and gradients. On CUDA ``fused`` chooses, where Triton is installed; the torch path here is
what they are tested against.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.linalg import solve_triangular
from torch.nn.functional import embedding

from isoenergy.train.codes import SparseCodes, merge_repeats
from isoenergy.train.sae import ARCHITECTURES, SAE

# Up to this many atoms the Gram matrix (K x K) is kept and correlations are updated with it; above,
# on a GPU, residuals are, which costs one product with the dictionary per step but K x d memory.
GRAM_LIMIT = 8192
# From this many atoms on a CPU takes the compiled loop wherever it has the Gram matrix; its import
# costs about a second.
LOOPED = 512
# From this many it always does, with the Gram rows of chosen atoms alone, and compiles the rest.
COMPILED = 2048
# Where nothing is compiled, a dictionary of fewer atoms than this times l0 * dim is read and
# written whole, rows x K: less than the rows x l0 x dim numbers of the atoms that rows chose.
SMALL = 1 / 8


def _compiled(dictionary: Tensor) -> bool:
    return dictionary.device.type == "cpu" and len(dictionary) >= COMPILED


def _fused(dictionary: Tensor) -> bool:
    return dictionary.device.type == "cuda" and find_spec("triton") is not None


@torch.no_grad()
def choose_atoms(x: Tensor, dictionary: Tensor, l0: int) -> Tensor:
    """Atoms that matching pursuit picks, in order; ties go to the lowest index.

    Parameters
    ----------
    x : Tensor of shape (rows, dim)
    dictionary : Tensor of shape (K, dim)
        Unit-norm rows.
    l0 : int
        Number of steps, at least 1.

    Returns
    -------
    Tensor of shape (rows, l0), int64
        May repeat an atom within a row.
    """
    n_atoms = len(dictionary)
    if _compiled(dictionary):
        from isoenergy.train.kernel import choose_lazily

        return choose_lazily(x, dictionary, l0, torch.get_num_threads())
    by_gram = n_atoms <= min(GRAM_LIMIT, l0 * max(len(x), 1))
    if _fused(dictionary):
        from isoenergy.train import fused

        choose = fused.choose_by_gram if by_gram else fused.choose_by_residual
        return choose(x, dictionary, l0)
    correlations = x @ dictionary.T
    if by_gram:
        return _choose_by_gram(correlations, dictionary @ dictionary.T, l0)
    chosen = torch.empty(len(x), l0, dtype=torch.int64, device=x.device)
    residual = x.clone()
    for step in range(l0):
        value, atom = correlations.max(dim=1)
        chosen[:, step] = atom
        if step + 1 < l0:
            residual.addcmul_(dictionary[atom], value.unsqueeze(1), value=-1)
            torch.mm(residual, dictionary.T, out=correlations)
    return chosen


@torch.no_grad()
def _choose_by_gram(correlations: Tensor, gram: Tensor, l0: int) -> Tensor:
    """As :func:`choose_atoms`, from rows x K correlations, which are used up."""
    if gram.device.type == "cpu" and len(gram) >= LOOPED:
        from isoenergy.train.kernel import choose_by_gram

        return choose_by_gram(correlations, gram, l0, torch.get_num_threads())
    chosen = torch.empty(len(correlations), l0, dtype=torch.int64, device=gram.device)
    change = torch.empty_like(correlations)
    for step in range(l0):
        value, atom = correlations.max(dim=1)
        chosen[:, step] = atom
        if step + 1 < l0:
            torch.index_select(gram, 0, atom, out=change)
            correlations.addcmul_(change, value.unsqueeze(1), value=-1)
    return chosen


class _Pursuit(torch.autograd.Function):
    """Coefficients and reconstruction of given atoms, with the gradient of the unrolled pursuit.

    With g the gradient of the reconstruction and w the solution of T^T w = dL/dv + A g, the
    gradient of the atom of step j is w_j (residual before step j) + v_j (g - sum_{m>j} w_m A_m),
    and that of x is A^T w: elementwise passes over the chosen atoms, no product of small matrices.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, dictionary: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        atoms = embedding(indices, dictionary)
        overlaps = atoms @ atoms.transpose(1, 2)
        targets = (atoms * x.unsqueeze(1)).sum(2)
        # The diagonal is taken as 1, as in the unrolled pursuit, which never divides.
        values = solve_triangular(
            overlaps, targets.unsqueeze(2), upper=False, unitriangular=True
        ).squeeze(2)
        reconstruction = (atoms * values.unsqueeze(2)).sum(1)
        ctx.save_for_backward(x, dictionary, indices, overlaps, values)
        return values, reconstruction

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, from_values: Tensor, from_reconstruction: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        x, dictionary, indices, overlaps, values = ctx.saved_tensors
        atoms = dictionary[indices.T]  # steps first, so that each step's are contiguous
        target = from_values + (atoms * from_reconstruction).sum(2).T
        weights = solve_triangular(
            overlaps, target.unsqueeze(2), upper=True, unitriangular=True
        ).squeeze(2)
        from_x = torch.zeros_like(x)
        for atom, weight in zip(atoms, weights.T, strict=True):
            from_x.addcmul_(atom, weight.unsqueeze(1))
        before, after = x.clone(), from_reconstruction - from_x
        # Each step's gradient takes the place of its atoms.
        for atom, value, weight in zip(
            atoms, values.T.unsqueeze(2), weights.T.unsqueeze(2), strict=True
        ):
            after.addcmul_(atom, weight)
            explained = atom * value
            torch.mul(before, weight, out=atom).addcmul_(after, value)
            before -= explained
        from_dictionary = torch.zeros_like(dictionary)
        from_dictionary.index_add_(0, indices.T.flatten(), atoms.flatten(0, 1))
        return from_x, from_dictionary, None


def pursue(x: Tensor, dictionary: Tensor, l0: int) -> tuple[SparseCodes, Tensor]:
    """Matching-pursuit codes and reconstruction of a batch, differentiable in both arguments.

    Parameters
    ----------
    x : Tensor of shape (rows, dim)
    dictionary : Tensor of shape (K, dim)
        Unit-norm rows (projected before the call; the gradient is not projected, SPEC 2.1).
    l0 : int
        Number of steps; a repeated atom accumulates, so a row has at most ``l0`` non-zeros.

    Returns
    -------
    codes : SparseCodes
    reconstruction : Tensor of shape (rows, dim)
        Equal to ``codes.dense() @ dictionary``.
    """
    compiled = _compiled(dictionary)
    if len(dictionary) <= SMALL * l0 * x.shape[1] and not compiled:
        return _pursue_small(x, dictionary, l0)
    indices = choose_atoms(x, dictionary, l0)
    if compiled:
        from isoenergy.train.unrolled import UnrolledPursuit

        values, reconstruction = UnrolledPursuit.apply(x, dictionary, indices)
    else:
        values, reconstruction = _Pursuit.apply(x, dictionary, indices)
    return SparseCodes(merge_repeats(values, indices), indices, len(dictionary)), reconstruction


def _pursue_small(x: Tensor, dictionary: Tensor, l0: int) -> tuple[SparseCodes, Tensor]:
    """As :func:`pursue` for a small dictionary: T and A x are read off its Gram matrix and D x."""
    n_atoms = len(dictionary)
    gram, correlations = dictionary @ dictionary.T, x @ dictionary.T
    indices = _choose_by_gram(correlations.detach().clone(), gram.detach(), l0)
    pairs = indices.unsqueeze(2) * n_atoms + indices.unsqueeze(1)
    overlaps = gram.flatten().index_select(0, pairs.flatten()).view(pairs.shape)
    targets = correlations.gather(1, indices)
    values = solve_triangular(
        overlaps, targets.unsqueeze(2), upper=False, unitriangular=True
    ).squeeze(2)
    codes = SparseCodes(merge_repeats(values, indices), indices, n_atoms)
    return codes, codes.dense() @ dictionary


@ARCHITECTURES.register("matching_pursuit")
class MatchingPursuitSAE(SAE):
    """Matching pursuit with learned atoms; l0 steps, no encoder parameters (paper Section 3)."""

    def forward(self, x: Tensor) -> tuple[SparseCodes, Tensor]:
        """See :class:`SAE`."""
        return pursue(x, self.dictionary, self.l0)
