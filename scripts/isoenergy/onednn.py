"""Products of many rows with one matrix by oneDNN, on CPUs.

Its kernels are made for the processor at hand: on AMD's they take half to three quarters of the
time of MKL's, which torch takes by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

# Rows and columns of one product: its result, which oneDNN allocates, is then small enough for the
# allocator to give the same memory again, and copied while in cache.
PRODUCT_ROWS, PRODUCT_COLUMNS = 512, 8192


def has_onednn() -> bool:
    """Whether torch was built with oneDNN."""
    return torch.backends.mkldnn.is_available()


class PackedMatrix:
    """A float32 matrix of shape (n_out, n_in) in oneDNN's own layout, made once for all products.

    With a bias of shape (n_out,) it is a linear layer.
    """

    def __init__(self, matrix: Tensor, bias: Tensor | None = None) -> None:
        parts = matrix.split(PRODUCT_COLUMNS)
        shares = [None] * len(parts) if bias is None else bias.split(PRODUCT_COLUMNS)
        self.parts = [
            (part.to_mkldnn(), None if share is None else share.to_mkldnn())
            for part, share in zip(parts, shares, strict=True)
        ]

    def write(self, rows: Tensor, out: Tensor) -> None:
        """Leave ``rows @ matrix.T``, and the bias added, in ``out``."""
        for block, target in zip(rows.split(PRODUCT_ROWS), out.split(PRODUCT_ROWS), strict=True):
            block = block.to_mkldnn()
            places = target.split(PRODUCT_COLUMNS, dim=1)
            for (part, bias), place in zip(self.parts, places, strict=True):
                place.copy_(linear(block, part, bias).to_dense())

    def dense(self) -> Tensor:
        """The matrix itself."""
        return torch.cat([part.to_dense() for part, _ in self.parts])
