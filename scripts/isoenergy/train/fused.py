"""Choosing the atoms of matching pursuit on CUDA: correlations are made and used on the chip.

The torch path writes rows x K correlations to memory at every step and reads them back to find
their maximum. Here a kernel keeps them: with a Gram matrix, a row's correlations are loaded once
and updated in registers for all steps; without one, each tile of the product of residuals and
dictionary is reduced to its maxima before it is left, so that rows x tiles numbers are written
in place of rows x K. Imported where there is CUDA alone: builds of torch for CPUs have no Triton.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# Rows, atoms and dimensions of a tile of the product; products need at least 16 of each.
_ROWS, _ATOMS, _DIMS = 64, 128, 32


@triton.jit
def _choose(correlations, gram, chosen, n_atoms, l0, block: tl.constexpr):
    """All steps of one row, whose correlations stay in registers."""
    row = tl.program_id(0).to(tl.int64)
    atoms = tl.arange(0, block)
    inside = atoms < n_atoms
    left = tl.load(correlations + row * n_atoms + atoms, mask=inside, other=-float("inf"))
    for step in range(l0):
        value, atom = tl.max(left, axis=0, return_indices=True)
        tl.store(chosen + row * l0 + step, atom.to(tl.int64))
        share = tl.load(gram + atom.to(tl.int64) * n_atoms + atoms, mask=inside, other=0.0)
        left -= value * share


@triton.jit
def _best_of_tiles(
    residual,
    dictionary,
    values,
    indices,
    n_rows,
    n_atoms,
    dim,
    n_tiles,
    block_rows: tl.constexpr,
    block_atoms: tl.constexpr,
    block_dims: tl.constexpr,
):
    """The largest correlation of each row with the atoms of one tile, and which atom has it."""
    rows = tl.program_id(0).to(tl.int64) * block_rows + tl.arange(0, block_rows)
    tile = tl.program_id(1)
    atoms = tile.to(tl.int64) * block_atoms + tl.arange(0, block_atoms)
    dims = tl.arange(0, block_dims)
    total = tl.zeros((block_rows, block_atoms), dtype=residual.dtype.element_ty)
    for start in range(0, dim, block_dims):
        at = start + dims
        left = tl.load(
            residual + rows[:, None] * dim + at[None, :],
            mask=(rows[:, None] < n_rows) & (at[None, :] < dim),
            other=0.0,
        )
        right = tl.load(
            dictionary + atoms[None, :] * dim + at[:, None],
            mask=(atoms[None, :] < n_atoms) & (at[:, None] < dim),
            other=0.0,
        )
        # Full precision: TF32 would choose other atoms.
        total = tl.dot(left, right, total, input_precision="ieee", out_dtype=total.dtype)
    total = tl.where(atoms[None, :] < n_atoms, total, -float("inf"))
    value, place = tl.max(total, axis=1, return_indices=True)
    inside = rows < n_rows
    tl.store(values + rows * n_tiles + tile, value, mask=inside)
    tl.store(indices + rows * n_tiles + tile, tile * block_atoms + place, mask=inside)


@triton.jit
def _take_best(
    residual,
    dictionary,
    values,
    indices,
    chosen,
    step,
    l0,
    dim,
    n_tiles,
    block_tiles: tl.constexpr,
    block_dims: tl.constexpr,
):
    """The best of a row's tiles, and the residual without its share."""
    row = tl.program_id(0).to(tl.int64)
    tiles = tl.arange(0, block_tiles)
    found = tl.load(values + row * n_tiles + tiles, mask=tiles < n_tiles, other=-float("inf"))
    value, tile = tl.max(found, axis=0, return_indices=True)
    atom = tl.load(indices + row * n_tiles + tile).to(tl.int64)
    tl.store(chosen + row * l0 + step, atom)
    for start in range(0, dim, block_dims):
        at = start + tl.arange(0, block_dims)
        inside = at < dim
        share = tl.load(dictionary + atom * dim + at, mask=inside, other=0.0)
        left = tl.load(residual + row * dim + at, mask=inside, other=0.0)
        tl.store(residual + row * dim + at, left - value * share, mask=inside)


@torch.no_grad()
def choose_by_gram(x: Tensor, dictionary: Tensor, l0: int) -> Tensor:
    """Atoms that matching pursuit picks, in order, from the Gram matrix; for small dictionaries.

    Parameters
    ----------
    x : Tensor of shape (rows, dim), float32 or float64
    dictionary : Tensor of shape (K, dim)
        Unit-norm rows.
    l0 : int
        Number of steps, at least 1.

    Returns
    -------
    Tensor of shape (rows, l0), int64
        Ties go to the lowest index. What NaN leads to is not defined.
    """
    n_atoms = len(dictionary)
    chosen = torch.zeros(len(x), l0, dtype=torch.int64, device=x.device)
    if len(x):
        correlations, gram = x @ dictionary.T, dictionary @ dictionary.T
        block = triton.next_power_of_2(n_atoms)
        # Eight atoms, or a few more, for each of the threads.
        warps = min(max(block // 256, 1), 16)
        _choose[(len(x),)](correlations, gram, chosen, n_atoms, l0, block=block, num_warps=warps)
    return chosen


@torch.no_grad()
def choose_by_residual(x: Tensor, dictionary: Tensor, l0: int) -> Tensor:
    """As :func:`choose_by_gram`, with residuals; for large dictionaries."""
    (n_rows, dim), n_atoms = x.shape, len(dictionary)
    chosen = torch.zeros(n_rows, l0, dtype=torch.int64, device=x.device)
    if not n_rows:
        return chosen
    residual, dictionary = x.contiguous().clone(), dictionary.contiguous()
    n_tiles = triton.cdiv(n_atoms, _ATOMS)
    values = x.new_empty(n_rows, n_tiles)
    indices = torch.empty(n_rows, n_tiles, dtype=torch.int32, device=x.device)
    grid = triton.cdiv(n_rows, _ROWS), n_tiles
    tiles = triton.next_power_of_2(n_tiles)
    for step in range(l0):
        _best_of_tiles[grid](
            residual,
            dictionary,
            values,
            indices,
            n_rows,
            n_atoms,
            dim,
            n_tiles,
            block_rows=_ROWS,
            block_atoms=_ATOMS,
            block_dims=_DIMS,
        )
        _take_best[(n_rows,)](
            residual,
            dictionary,
            values,
            indices,
            chosen,
            step,
            l0,
            dim,
            n_tiles,
            block_tiles=tiles,
            block_dims=256,
        )
    return chosen
