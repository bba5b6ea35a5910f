"""Embed a data set with one dual encoder, in one job or a range of its pictures per job."""

from __future__ import annotations

import shutil
from pathlib import Path

from isoenergy.embed.encoder import EncoderSpec
from isoenergy.embed.join import join_ranges
from isoenergy.embed.parts import Embedding, embed_parts


def embed_dataset(
    pairs: str | Path,
    images: str | Path,
    store: str | Path,
    work: str | Path,
    dataset: str,
    kind: str,
    encoder: EncoderSpec,
    embedding: Embedding,
) -> None:
    """Embed one data set and write its store; killed and started again, it goes on where it was.

    Parameters
    ----------
    pairs : path
        Pairs table of the data stage.
    images : path
        Its folder of picture shards.
    store : path
        ``store.json`` to write; the arrays go beside it.
    work : path
        Folder for finished parts, removed at the end.
    dataset, kind : str
        Name, and one of ``"pairs"``, ``"classes"``, ``"edits"``.
    encoder : EncoderSpec
    embedding : Embedding

    Raises
    ------
    InputError
        If the encoder or the data cannot be read, or no picture can. A picture that cannot be
        decoded is no error: its rows are left out and told in ``store.json``.
    """
    what = f"{encoder.model}: {dataset}"
    parts = embed_parts(pairs, images, work, kind, encoder, embedding, what)
    join_ranges(pairs, images, [parts], store, dataset, kind, encoder.model)
    shutil.rmtree(work)


def embed_range(
    pairs: str | Path,
    images: str | Path,
    index: str | Path,
    folder: str | Path,
    work: str | Path,
    dataset: str,
    kind: str,
    encoder: EncoderSpec,
    embedding: Embedding,
    first: int,
    parts: int | None,
) -> None:
    """Embed some parts of a data set; killed and started again, it goes on where it was.

    Parameters
    ----------
    pairs, images, dataset, kind, encoder, embedding
        As for :func:`embed_dataset`.
    index : path
        Where pictures lie, as written by :func:`isoenergy.data.shards.index_pictures`.
    folder : path
        Folder of parts to write, for :func:`join_ranges`.
    work : path
        Folder for finished parts, removed at the end.
    first : int
        Number of the first part.
    parts : int or None
        How many; None takes all that follow. There may be fewer, and none.

    Raises
    ------
    InputError
        If the encoder or the data cannot be read.
    """
    what = f"{encoder.model}: {dataset} from part {first}"
    made = embed_parts(pairs, images, work, kind, encoder, embedding, what, first, parts, index)
    shutil.rmtree(folder, ignore_errors=True)
    made.replace(folder)
    shutil.rmtree(work)
