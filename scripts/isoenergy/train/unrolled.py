"""Coefficients, reconstruction and gradients of chosen atoms on a CPU, compiled.

The pursuit is unrolled row by row while a row's numbers are in cache, and unrolled backwards for
the gradient: nothing of rows x l0 x dim is written or kept. See ``matching_pursuit`` for the
formulas.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from isoenergy.train.kernel import share_out

# As in ``kernel``; here too, as compiled code is cached until the file that it stands in changes.
_FLOATS = {"contract", "reassoc", "nsz"}


@njit(cache=True, nogil=True, fastmath=_FLOATS)
def _unroll(residual, dictionary, indices, values):
    """``residual`` comes as x and is left as what the atoms do not explain."""
    for row in range(len(residual)):
        left = residual[row]
        for step in range(indices.shape[1]):
            atom = dictionary[indices[row, step]]
            value = left[0] * 0
            for at in range(len(atom)):
                value += left[at] * atom[at]
            for at in range(len(atom)):
                left[at] -= value * atom[at]
            values[row, step] = value


@njit(cache=True, nogil=True, fastmath=_FLOATS)
def _weigh(after, dictionary, indices, weights):
    """``weights`` comes as the values' gradient, is left as w; ``after`` is g, then g - A^T w."""
    for row in range(len(after)):
        left = after[row]
        for step in range(indices.shape[1] - 1, -1, -1):
            atom = dictionary[indices[row, step]]
            weight = weights[row, step]
            for at in range(len(atom)):
                weight += left[at] * atom[at]
            for at in range(len(atom)):
                left[at] -= weight * atom[at]
            weights[row, step] = weight


@njit(cache=True, nogil=True, fastmath=_FLOATS)
def _gather(x, after, dictionary, indices, values, weights, gradient, start, stop):
    """Add up the atoms' gradient in the dimensions from ``start`` to ``stop``."""
    for row in range(len(x)):
        before = x[row, start:stop].copy()
        pull = after[row, start:stop].copy()
        for step in range(indices.shape[1]):
            # From g - A^T w of all steps to that of later steps alone.
            weight = weights[row, step]
            value = values[row, step]
            atom = dictionary[indices[row, step], start:stop]
            total = gradient[indices[row, step], start:stop]
            for at in range(stop - start):
                pull[at] += weight * atom[at]
                total[at] += weight * before[at] + value * pull[at]
                before[at] -= value * atom[at]


class UnrolledPursuit(torch.autograd.Function):
    """Values (rows, l0) and reconstruction (rows, dim) of atoms (rows, l0) chosen for x.

    Both are differentiable in x and the dictionary, as the unrolled pursuit is. Rows are shared
    out among threads, the atoms' gradient by dimensions: results hold for any number of threads.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, dictionary: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Values and reconstruction."""
        residual, values = x.detach().clone(), x.new_empty(indices.shape)
        arrays = [part.detach().numpy() for part in (residual, dictionary, indices, values)]
        left, atoms, chosen, found = arrays
        threads = torch.get_num_threads()
        share_out(lambda p: _unroll(left[p], atoms, chosen[p], found[p]), len(x), threads)
        ctx.save_for_backward(x, dictionary, indices, values)
        return values, x - residual

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, from_values: Tensor, from_reconstruction: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        """Gradients of x and of the dictionary."""
        x, dictionary, indices, values = (part.detach() for part in ctx.saved_tensors)
        atoms, chosen, found = dictionary.numpy(), indices.numpy(), values.numpy()
        pull = from_reconstruction.contiguous().numpy().copy()
        weights = from_values.contiguous().numpy().copy()
        threads = torch.get_num_threads()
        share_out(lambda p: _weigh(pull[p], atoms, chosen[p], weights[p]), len(x), threads)
        gradient = np.zeros_like(atoms)
        fixed = (x.numpy(), pull, atoms, chosen, found, weights, gradient)
        share_out(lambda p: _gather(*fixed, p.start, p.stop), x.shape[1], threads)
        return from_reconstruction - torch.from_numpy(pull), torch.from_numpy(gradient), None
