"""Sparse codes of one batch while training: what is chosen, and how strongly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SparseCodes:
    """Codes of a batch, kept as the chosen atoms alone (never a dense rows × K array).

    Attributes
    ----------
    values : Tensor of shape (rows, slots)
        Coefficients, differentiable. A slot may be 0.
    indices : Tensor of shape (rows, slots), int64
        Which atom each slot belongs to, in [0, K). No atom has a non-zero value in two slots of
        a row: see :func:`merge_repeats`.
    n_atoms : int
        K.
    pre : Tensor of shape (rows, K), optional
        Pre-codes of a linear encoder, for losses that reach atoms not chosen.
    """

    values: Tensor
    indices: Tensor
    n_atoms: int
    pre: Tensor | None = None

    @classmethod
    def of(
        cls, dense: Tensor, pre: Tensor | None = None, reached: Tensor | None = None
    ) -> SparseCodes:
        """The codes of a dense Tensor of shape (rows, K) without negative values.

        ``reached``, of the same shape and bool, marks zeros that keep a slot because gradients
        reach what made them.
        """
        kept = dense > 0 if reached is None else reached | (dense > 0)
        places = kept.cumsum(dim=1)
        slots = max(int(places[:, -1].max()), 1)
        rows, atoms = kept.nonzero(as_tuple=True)
        at = rows * slots + places[rows, atoms] - 1
        indices = dense.new_zeros(len(dense) * slots, dtype=torch.int64)
        indices[at] = atoms
        values = dense.new_zeros(len(dense) * slots).index_put((at,), dense[rows, atoms])
        values, indices = values.view(-1, slots), indices.view(-1, slots)
        return cls(values, indices, dense.shape[1], pre)

    def __getitem__(self, rows: slice) -> SparseCodes:
        pre = None if self.pre is None else self.pre[rows]
        return SparseCodes(self.values[rows], self.indices[rows], self.n_atoms, pre)

    def density(self) -> Tensor:
        """Share of positive codes among rows x K, a scalar in [0, 1]."""
        return (self.values > 0).sum() / (len(self.values) * self.n_atoms)

    def used(self) -> Tensor:
        """Atoms with a non-zero code in some row, bool of shape (K,)."""
        # Slots without a code mark a place behind the last atom: cheaper than to select the others.
        marked = torch.where(self.values != 0, self.indices, self.n_atoms).flatten()
        used = torch.zeros(self.n_atoms + 1, dtype=torch.bool, device=marked.device)
        return used.scatter_(0, marked, True)[:-1]

    def dense(self) -> Tensor:
        """The same codes as a Tensor of shape (rows, K); for tests and small K."""
        zeros = self.values.new_zeros(len(self.values), self.n_atoms)
        return zeros.scatter_add(1, self.indices, self.values)

    def decode(self, atoms: Tensor) -> Tensor:
        """Reconstruction from the chosen atoms, Tensor (rows, slots, dim) -> (rows, dim)."""
        return torch.einsum("rs,rsd->rd", self.values, atoms)


def merge_repeats(values: Tensor, indices: Tensor) -> Tensor:
    """Add up the slots of a row that chose the same atom, into the first of them.

    Parameters
    ----------
    values : Tensor of shape (rows, slots)
    indices : Tensor of shape (rows, slots), int64

    Returns
    -------
    Tensor of shape (rows, slots)
        Sums in the first slot of each atom, 0 in its later slots; differentiable in ``values``.
    """
    same = indices.unsqueeze(2) == indices.unsqueeze(1)
    first = ~same.tril(-1).any(dim=2, keepdim=True)
    return ((same & first) * values.unsqueeze(1)).sum(2)
