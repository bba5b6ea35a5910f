"""Edits as triplets: a source picture, a target picture and what captions say (SPEC 1.5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoenergy.embed.rows import Rows
from isoenergy.embed.store import EmbeddingStore
from isoenergy.errors import InputError

TRIPLET, TARGET, CATEGORY = "triplet", "image", "category"


@dataclass(frozen=True)
class Triplets:
    """One row per triplet of a store of edits, whose own rows are captions.

    Attributes
    ----------
    names : list of str
        Ids of the triplets, in the store's order.
    source, target : ndarray of shape (n, dim), float32
        Unit rows.
    caption : ndarray of shape (n, dim), float32
        Mean of the triplet's caption embeddings, not normalised again.
    gallery : ndarray of shape (n,), str
        Key of the target picture, and of its category where there is one: triplets of equal keys
        have the same target.
    category : ndarray of shape (n,), str
        What the triplet's gallery is limited to; all equal where the data set has none.
    """

    names: list[str]
    source: np.ndarray
    target: np.ndarray
    caption: np.ndarray
    gallery: np.ndarray
    category: np.ndarray

    def sides(self) -> dict[str, Rows]:
        """Target, caption and source under the names of codes: image, text and source."""
        return {
            "image": Rows([self.target], False),
            "text": Rows([self.caption], False),
            "source": Rows([self.source], False),
        }


def open_triplets(store: EmbeddingStore) -> Triplets:
    """Read the triplets of a store of edits.

    Raises
    ------
    InputError
        If the store has no source pictures, or its metadata does not say which rows are one
        triplet.
    """
    metadata = store.metadata()
    lacking = [name for name in (TRIPLET, TARGET) if name not in metadata]
    if store.source is None or lacking:
        told = f"metadata lacks {', '.join(lacking)}" if lacking else "there is no source_emb"
        raise InputError(
            f"{store.path} is no store of edits ({told}); embed a data set of the kind edits"
        )
    names, first, member = np.unique(
        metadata[TRIPLET].to_numpy(dtype=str), return_index=True, return_inverse=True
    )
    caption = np.zeros((len(names), store.dim), dtype=np.float64)
    np.add.at(caption, member, store.text[:].astype(np.float64))
    caption /= np.bincount(member)[:, None]
    order = np.argsort(first, kind="stable")
    rows = first[order]
    category = metadata[CATEGORY].to_numpy(dtype=str) if CATEGORY in metadata else None
    categories = np.full(len(rows), "") if category is None else category[rows]
    return Triplets(
        names=names[order].tolist(),
        source=store.source[rows],
        target=store.image[rows],
        caption=caption[order].astype(np.float32),
        gallery=metadata[TARGET].to_numpy(dtype=str)[rows],
        category=categories,
    )
