"""Linear layers of encoders on a CPU, their products by oneDNN."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from isoenergy.onednn import PackedMatrix, has_onednn

# Weights of a layer below which copying rows into oneDNN's tensors costs what its kernels save.
LEAST_WEIGHTS = 2**18


class PackedLinear(nn.Module):
    """A linear layer whose weights are kept as oneDNN takes them, for inference in float32.

    Under autocast they are unpacked, and torch does the rest.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.width = layer.out_features
        self.bias = None if layer.bias is None else layer.bias.detach()
        self.packed = PackedMatrix(layer.weight.detach(), self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Tensor of shape (..., n_in) to (..., n_out)."""
        if torch.is_autocast_enabled("cpu") or x.dtype != torch.float32:
            return linear(x, self.packed.dense(), self.bias)
        rows = x.reshape(-1, x.shape[-1])
        made = rows.new_empty(len(rows), self.width)
        self.packed.write(rows, made)
        return made.view(*x.shape[:-1], self.width)


def pack_linear_layers(model: nn.Module, least: int = LEAST_WEIGHTS) -> None:
    """Replace a model's linear layers of at least so many weights, where torch would have MKL.

    Subclasses of ``nn.Linear`` stay: their weights are read by whoever holds them.
    """
    if not (torch.backends.mkl.is_available() and has_onednn()):
        return
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if type(layer) is nn.Linear and layer.weight.numel() >= least:
                setattr(module, name, PackedLinear(layer))
