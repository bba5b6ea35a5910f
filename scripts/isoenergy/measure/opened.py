"""One SAE and its codes of one store, opened and checked to belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from isoenergy.embed.rows import Rows
from isoenergy.embed.store import EmbeddingStore, open_store
from isoenergy.encode.codes import CodeRows, Codes, open_codes
from isoenergy.errors import InputError
from isoenergy.files import check_file, hash_file
from isoenergy.measure.blockwise import BlockMatrix, atom_cosines, cross_covariance
from isoenergy.measure.energy import AtomEnergies, atom_energies
from isoenergy.measure.reconstruction import zero_share


@dataclass(frozen=True)
class Measured:
    """What every metric of one SAE on one store starts from.

    Attributes
    ----------
    store : EmbeddingStore
    codes : Codes
    dictionary : ndarray of shape (K, dim), float32
    energies : AtomEnergies
    """

    store: EmbeddingStore
    codes: Codes
    dictionary: np.ndarray
    energies: AtomEnergies

    @cached_property
    def cosines(self) -> BlockMatrix:
        """D D^T; one object, which keeps the ranks it has found."""
        return atom_cosines(self.dictionary)

    @cached_property
    def covariance(self) -> BlockMatrix:
        """Sigma of images and texts, likewise."""
        return cross_covariance(self.codes.image, self.codes.text)

    def zero_share(self, kept: np.ndarray | None = None) -> dict[str, float]:
        """Share of images, and of texts, without an entry of the atoms kept: all by default."""
        return {name: zero_share(getattr(self.codes, name), kept) for name in ("image", "text")}

    def sides(self) -> Iterator[tuple[Rows, CodeRows]]:
        """Embeddings and codes of the images, then of the texts."""
        yield self.store.image, self.codes.image
        yield self.store.text, self.codes.text


def read_dictionary(weights: str | Path) -> np.ndarray:
    """The atoms of a checkpoint, read without torch: ndarray of shape (K, dim), float32.

    Raises
    ------
    InputError
        If the file is missing, broken or holds no dictionary.
    """
    check_file(weights)
    try:
        return load_file(weights)["dictionary"]
    except (SafetensorError, KeyError) as error:
        raise InputError(
            f"{weights} holds no dictionary ({error}); delete it and run again"
        ) from None


def open_coded(
    store: str | Path, codes: str | Path, check_values: bool = True
) -> tuple[EmbeddingStore, Codes]:
    """Open a store and its codes.

    Parameters
    ----------
    store, codes : path
    check_values : bool
        As :func:`isoenergy.embed.store.open_store`.

    Raises
    ------
    InputError
        If a file is missing or broken, or they do not belong together.
    """
    opened, read = open_store(store, check_values), open_codes(codes)
    told = set(opened.description.get("ids", {}).values())
    if len(read) != len(opened) or (read.ids and told and read.ids not in told):
        raise InputError(f"{codes} was not made from {store}; delete {codes} and run again")
    return opened, read


def open_measured(store: str | Path, weights: str | Path, codes: str | Path) -> Measured:
    """Open a store, an SAE and its codes of that store.

    Raises
    ------
    InputError
        If a file is missing or broken, or they do not belong together.
    """
    opened, read = open_coded(store, codes)
    dictionary = read_dictionary(weights)
    if read.checkpoint and read.checkpoint != hash_file(weights):
        raise InputError(f"{codes} was not made with {weights}; delete {codes} and run again")
    if dictionary.shape != (read.n_atoms, opened.dim):
        raise InputError(f"{codes} and {weights} have different atoms; delete both and run again")
    return Measured(opened, read, dictionary, atom_energies(read.image, read.text))
