"""Encode a whole store with one SAE."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix

from isoenergy.embed.rows import Rows
from isoenergy.embed.store import open_store
from isoenergy.embed.triplets import open_triplets
from isoenergy.encode.codes import Block, write_blocks
from isoenergy.files import hash_file, hash_strings
from isoenergy.progress import Progress
from isoenergy.train.checkpoint import load_sae_for
from isoenergy.train.sae import SAE


def encode_rows(sae: SAE, rows: Rows, block: int, bar: Progress) -> csr_matrix:
    """Codes of one modality, in memory; parameters as of :func:`encode_blocks`.

    Returns
    -------
    csr_matrix of shape (n, K), float32
    """
    values, indices, counts = zip(*encode_blocks(sae, rows, block, bar), strict=True)
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    return csr_matrix(
        (np.concatenate(values), np.concatenate(indices), indptr), shape=(len(rows), sae.n_atoms)
    )


def encode_blocks(sae: SAE, rows: Rows, block: int, bar: Progress) -> Iterator[Block]:
    """Codes of one modality, block by block.

    Parameters
    ----------
    sae : SAE
    rows : Rows of shape (n, dim)
    block : int
        Rows at a time; bounds the working memory.
    bar : Progress

    Yields
    ------
    values : ndarray of shape (nonzeros,), float32
        Non-zeros of the block's rows, one row after the other.
    indices : ndarray of shape (nonzeros,), int32
        Their atoms, ascending within a row.
    counts : ndarray of shape (rows of the block,), int64
        How many each row has.
    """
    for _, x in rows.blocks(block):
        codes = sae.encode(torch.from_numpy(x))
        order = codes.indices.argsort(dim=1, stable=True)
        kept = codes.values.gather(1, order)
        where = kept != 0
        atoms = codes.indices.gather(1, order)[where].numpy().astype(np.int32)
        yield kept[where].numpy(), atoms, where.sum(dim=1).numpy()
        bar.step(len(x))


def encode_store(
    weights: str | Path, store: str | Path, codes: str | Path, block: int, what: str
) -> None:
    """Encode both modalities of a store and write the codes; of edits, every triplet once.

    Parameters
    ----------
    weights : path
        ``sae.safetensors`` of a checkpoint.
    store : path
        Embedding store.
    codes : path
        ``codes.json`` to write; arrays beside it.
    block : int
        Rows at a time.
    what : str
        Name for messages.

    Raises
    ------
    InputError
        If checkpoint or store is broken, or their widths or encoders differ.
    """
    opened = open_store(store)
    sae = load_sae_for(opened, weights)
    if opened.source is None:
        ids = next(iter(opened.description.get("ids", {}).values()), "")
        sides = {"image": opened.image, "text": opened.text}
    else:
        triplets = open_triplets(opened)
        ids, sides = hash_strings(triplets.names), triplets.sides()
    with Progress(f"encode {what}", len(sides) * len(sides["image"]), "rows") as bar:
        encoded = {side: encode_blocks(sae, rows, block, bar) for side, rows in sides.items()}
        write_blocks(codes, encoded, sae.n_atoms, ids, hash_file(weights))
