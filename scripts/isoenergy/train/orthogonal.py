"""Orthogonal matching pursuit: coefficients refitted to all chosen atoms at every step."""

from __future__ import annotations

import torch
from torch import Tensor

from isoenergy.train.codes import SparseCodes
from isoenergy.train.sae import ARCHITECTURES, SAE

# Added to the Gram matrix of the chosen atoms, which may be nearly parallel.
RIDGE = 1e-6


def refit(x: Tensor, atoms: Tensor) -> Tensor:
    """Least-squares coefficients of chosen atoms.

    Parameters
    ----------
    x : Tensor of shape (rows, dim)
    atoms : Tensor of shape (rows, slots, dim)

    Returns
    -------
    Tensor of shape (rows, slots)
        Differentiable in both arguments.
    """
    gram = atoms @ atoms.transpose(1, 2)
    gram = gram + RIDGE * torch.eye(gram.shape[1], dtype=x.dtype, device=x.device)
    targets = torch.einsum("rsd,rd->rs", atoms, x)
    factor = torch.linalg.cholesky(gram)
    return torch.cholesky_solve(targets.unsqueeze(2), factor).squeeze(2)


@torch.no_grad()
def choose_orthogonal(x: Tensor, dictionary: Tensor, l0: int) -> Tensor:
    """Atoms that orthogonal matching pursuit picks, each once: Tensor (rows, l0), int64.

    The largest signed correlation with the residual wins, as in matching pursuit here.
    """
    chosen = torch.empty(len(x), l0, dtype=torch.int64, device=x.device)
    taken = torch.zeros(len(x), len(dictionary), dtype=torch.bool, device=x.device)
    residual = x
    for step in range(l0):
        correlations = (residual @ dictionary.T).masked_fill_(taken, -torch.inf)
        chosen[:, step] = correlations.argmax(dim=1)
        taken.scatter_(1, chosen[:, step : step + 1], True)
        if step + 1 < l0:
            atoms = torch.nn.functional.embedding(chosen[:, : step + 1], dictionary)
            residual = x - torch.einsum("rs,rsd->rd", refit(x, atoms), atoms)
    return chosen


@ARCHITECTURES.register("orthogonal_matching_pursuit")
class OrthogonalMatchingPursuitSAE(SAE):
    """Orthogonal matching pursuit with learned atoms (beyond the paper).

    Coefficients are not constrained in sign: refitting may turn one negative.
    """

    def forward(self, x: Tensor) -> tuple[SparseCodes, Tensor]:
        """See :class:`SAE`."""
        indices = choose_orthogonal(x, self.dictionary, self.l0)
        atoms = torch.nn.functional.embedding(indices, self.dictionary)
        codes = SparseCodes(refit(x, atoms), indices, self.n_atoms)
        return codes, codes.decode(atoms)
