"""Alignment loss terms: what asks a shared concept for equal energy in both modalities.

Each takes the codes of the images and of their texts (same rows, same slots) and returns a scalar
to minimise; the trainer adds it to the reconstruction loss times beta (paper Eq. 1, SPEC 2.3, X1).
Several processes may have a share of the batch each: a mean over pairs is theirs to take, anything
else that is of the whole batch goes through ``ranks``.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from isoenergy.registry import Registry
from isoenergy.train import ranks
from isoenergy.train.codes import SparseCodes

AlignmentLoss = Callable[[SparseCodes, SparseCodes], Tensor]
ALIGNMENTS: Registry[AlignmentLoss] = Registry("alignment loss")

_EPSILON = 1e-8
_ENERGY_EPSILON = 1e-5


def pair_cosines(
    values_a: Tensor, indices_a: Tensor, values_b: Tensor, indices_b: Tensor, n_atoms: int
) -> Tensor:
    """Cosine of each row's two codes, from the chosen atoms alone.

    Tensors have shape (rows, slots), indices are in [0, n_atoms), repeats are merged (see
    ``codes.merge_repeats``). Norms are floored at 1e-8, as in torch's ``cosine_similarity``.
    """
    if indices_a.shape[1] * indices_b.shape[1] <= n_atoms:
        same = indices_a.unsqueeze(2) == indices_b.unsqueeze(1)
        dot = ((same * values_b.unsqueeze(1)).sum(2) * values_a).sum(1)
    else:  # with many slots one dense side costs less than every pair of slots
        dense = values_a.new_zeros(len(values_a), n_atoms).scatter_add(1, indices_a, values_a)
        dot = (dense.gather(1, indices_b) * values_b).sum(1)
    # The square root is kept off 0, where its gradient is infinite.
    norm_a = values_a.square().sum(1).clamp_min(_EPSILON**2).sqrt()
    norm_b = values_b.square().sum(1).clamp_min(_EPSILON**2).sqrt()
    return dot / (norm_a * norm_b)


@ALIGNMENTS.register("cosine")
def cosine(image_codes: SparseCodes, text_codes: SparseCodes) -> Tensor:
    """Minus the mean cosine of full codes: the paper's Eq. 1 read literally (SPEC 2.3 "prime")."""
    return -pair_cosines(
        image_codes.values,
        image_codes.indices,
        text_codes.values,
        text_codes.indices,
        image_codes.n_atoms,
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
    return -pair_cosines(
        kept[0], image_codes.indices, kept[1], text_codes.indices, image_codes.n_atoms
    ).mean()


def batch_energies(codes: SparseCodes) -> Tensor:
    """Mean squared code of every atom over the whole batch, Tensor (K,), differentiable."""
    zeros = codes.values.new_zeros(codes.n_atoms)
    squares = codes.values.square().flatten()
    own = zeros.scatter_add(0, codes.indices.flatten(), squares) / len(codes.values)
    return ranks.batch_mean(own, len(codes.values))


@ALIGNMENTS.register("energy_relative")
def energy_relative(image_codes: SparseCodes, text_codes: SparseCodes) -> Tensor:
    """Mean over atoms of (E_I - E_T) / (E_I + E_T), signed as in the pre-release (SPEC 2.3)."""
    image, text = batch_energies(image_codes), batch_energies(text_codes)
    return ((image - text) / (image + text + _ENERGY_EPSILON)).mean()


@ALIGNMENTS.register("energy_global")
def energy_global(image_codes: SparseCodes, text_codes: SparseCodes) -> Tensor:
    """Mean over atoms of E_I - E_T over the energy of all atoms, signed (SPEC 2.3)."""
    image, text = batch_energies(image_codes), batch_energies(text_codes)
    return (image - text).mean() / ((image + text).sum() / 2 + _ENERGY_EPSILON)


@ALIGNMENTS.register("energy_absolute")
def energy_absolute(image_codes: SparseCodes, text_codes: SparseCodes) -> Tensor:
    """Mean over atoms of abs(E_I - E_T) / (E_I + E_T): the release's iso-energy mean (SPEC 2.3)."""
    image, text = batch_energies(image_codes), batch_energies(text_codes)
    return ((image - text).abs() / (image + text + _ENERGY_EPSILON)).mean()
