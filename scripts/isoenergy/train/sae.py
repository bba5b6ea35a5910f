"""What every sparse autoencoder shares: a dictionary of unit-norm atoms (SPEC 2.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from isoenergy.errors import InputError
from isoenergy.registry import Registry
from isoenergy.train.codes import SparseCodes

_EPSILON = 1e-8


class SAE(nn.Module, ABC):
    """A sparse autoencoder: x -> codes -> reconstruction = codes @ dictionary.

    Add one by subclassing and ``ARCHITECTURES.register(name)``, in a module that
    ``architectures.py`` imports (``TopKSAE`` in ``linear.py`` is a short example); alignment is a
    loss term for any of them, not a kind of SAE. No encoder matrix, pre-bias or decoder bias is
    assumed. Several processes may train one SAE, each with a share of every batch: a loss is a mean
    over rows, and what it says of the batch as a whole goes through ``ranks``.

    Parameters
    ----------
    dim : int
        Width of the embeddings, d.
    n_atoms : int
        K.
    l0 : int
        Non-zeros per code asked for, in [1, K].
    generator : torch.Generator
        Draws the initial atoms (Xavier-uniform, then unit norm).

    Attributes
    ----------
    dictionary : Parameter of shape (K, dim)

    Raises
    ------
    InputError
        If ``l0`` is not in [1, K].
    """

    def __init__(self, dim: int, n_atoms: int, l0: int, generator: torch.Generator) -> None:
        super().__init__()
        if not 1 <= l0 <= n_atoms:
            raise InputError(f"l0 is {l0} and the dictionary has {n_atoms} atoms; allowed is 1..K")
        self.dim, self.n_atoms, self.l0 = dim, n_atoms, l0
        atoms = torch.empty(n_atoms, dim)
        nn.init.xavier_uniform_(atoms, generator=generator)
        self.dictionary = nn.Parameter(atoms)
        self.normalise_atoms()

    @torch.no_grad()
    def normalise_atoms(self) -> None:
        """Project every atom onto the unit sphere, in place (before every forward pass)."""
        self.dictionary.div_(self.dictionary.norm(dim=1, keepdim=True).clamp_min(_EPSILON))

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[SparseCodes, Tensor]:
        """Codes and reconstruction of a batch, differentiable in the parameters.

        Parameters
        ----------
        x : Tensor of shape (rows, dim)

        Returns
        -------
        codes : SparseCodes
        reconstruction : Tensor of shape (rows, dim)
        """

    def loss(self, x: Tensor, reconstruction: Tensor, codes: SparseCodes) -> Tensor:
        """Training loss without alignment: squared error, mean over batch and dimensions (X2)."""
        del codes
        return (x - reconstruction).square().mean()

    def after_step(self, codes: SparseCodes) -> None:
        """What changes after every training step besides the parameters; nothing by default."""
        del codes

    @torch.no_grad()
    def encode(self, x: Tensor | np.ndarray) -> SparseCodes:
        """Codes of a batch, without gradients.

        Metrics take codes of another form: :func:`isoenergy.arrays.encode_arrays` gives them.

        Parameters
        ----------
        x : Tensor or ndarray of shape (rows, dim)
            Computed with in the type of the dictionary, float32.

        Raises
        ------
        InputError
            If ``x`` has another shape.
        """
        x = x if isinstance(x, Tensor) else torch.tensor(x)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise InputError(
                f"rows of shape {tuple(x.shape)} were given to an SAE of width {self.dim}; allowed "
                f"is an array of shape (rows, {self.dim})"
            )
        return self(x.to(self.dictionary))[0]

    def config(self) -> dict[str, Any]:
        """What ``build_sae`` needs beside a seed; a subclass adds what else its class takes."""
        return {"dim": self.dim, "n_atoms": self.n_atoms, "l0": self.l0}


ARCHITECTURES: Registry[type[SAE]] = Registry("SAE architecture")
