"""Linear layers of encoders on a CPU, their products by oneDNN: it has kernels for any maker's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

# Weights of a layer below which copying rows into oneDNN's tensors costs what its kernels save.
LEAST_WEIGHTS = 2**18
# Rows of one product. Its result, which oneDNN allocates, is then small enough for the allocator to
# give the same memory again, and copied while in cache.
PRODUCT_ROWS = 512


class PackedLinear(nn.Module):
    """A linear layer whose weights are kept as oneDNN takes them, for inference in float32.

    Under autocast they are unpacked, and torch does the rest.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight = layer.weight.detach().to_mkldnn()
        self.bias = None if layer.bias is None else layer.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """Tensor of shape (..., n_in) to (..., n_out)."""
        if torch.is_autocast_enabled("cpu") or x.dtype != torch.float32:
            return linear(x, self.weight.to_dense(), self.bias)
        bias = None if self.bias is None else self.bias.to_mkldnn()
        rows = x.reshape(-1, x.shape[-1])
        made = rows.new_empty(len(rows), self.weight.shape[0])
        for block, place in zip(rows.split(PRODUCT_ROWS), made.split(PRODUCT_ROWS), strict=True):
            place.copy_(linear(block.to_mkldnn(), self.weight, bias).to_dense())
        return made.view(*x.shape[:-1], made.shape[-1])


def pack_linear_layers(model: nn.Module, least: int = LEAST_WEIGHTS) -> None:
    """Replace a model's linear layers of at least so many weights, where torch would have MKL.

    On AMD's processors oneDNN's products take half to three quarters of the time of MKL's.
    Subclasses of ``nn.Linear`` stay: their weights are read by whoever holds them.
    """
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if type(layer) is nn.Linear and layer.weight.numel() >= least:
                setattr(module, name, PackedLinear(layer))
