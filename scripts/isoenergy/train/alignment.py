"""Alignment loss terms: what asks a shared concept for equal energy in both modalities.

Each takes the codes of the images and of their texts (same rows, same slots) and returns a scalar
to minimise; the trainer adds it to the reconstruction loss times beta (paper Eq. 1, SPEC 2.3, X1).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from isoenergy.registry import Registry
from isoenergy.train.codes import SparseCodes

AlignmentLoss = Callable[[SparseCodes, SparseCodes], Tensor]
ALIGNMENTS: Registry[AlignmentLoss] = Registry("alignment loss")

_EPSILON = 1e-8


def pair_cosines(
    values_a: Tensor, indices_a: Tensor, values_b: Tensor, indices_b: Tensor
) -> Tensor:
    """Cosine of each row's two codes, from the chosen atoms alone.

    All arguments have shape (rows, slots); repeats merged (see ``codes.merge_repeats``). Norms
    are floored at 1e-8, as ``torch.nn.functional.cosine_similarity`` does.
    """
    same = (indices_a.unsqueeze(2) == indices_b.unsqueeze(1)).to(values_a.dtype)
    dot = torch.einsum("rs,rst,rt->r", values_a, same, values_b)
    # The square root is kept off 0, where its gradient is infinite.
    norm_a = values_a.square().sum(1).clamp_min(_EPSILON**2).sqrt()
    norm_b = values_b.square().sum(1).clamp_min(_EPSILON**2).sqrt()
    return dot / (norm_a * norm_b)


@ALIGNMENTS.register("cosine")
def cosine(image_codes: SparseCodes, text_codes: SparseCodes) -> Tensor:
    """Minus the mean cosine of full codes: the paper's Eq. 1 read literally (SPEC 2.3 "prime")."""
    return -pair_cosines(
        image_codes.values, image_codes.indices, text_codes.values, text_codes.indices
    ).mean()


@ALIGNMENTS.register("masked_cosine")
def masked_cosine(image_codes: SparseCodes, text_codes: SparseCodes) -> Tensor:
    """The authors' default: as ``cosine``, after zeroing each pair's two strongest atoms.

    Per pair, the image's strongest atom and the text's strongest atom are removed from both
    codes: they carry the modality, which is never shared (SPEC 2.3, X1).
    """
    top_image = image_codes.indices.gather(1, image_codes.values.argmax(1, keepdim=True))
    top_text = text_codes.indices.gather(1, text_codes.values.argmax(1, keepdim=True))
    kept = [
        codes.values * ((codes.indices != top_image) & (codes.indices != top_text))
        for codes in (image_codes, text_codes)
    ]
    return -pair_cosines(kept[0], image_codes.indices, kept[1], text_codes.indices).mean()
