"""Embed texts, and the names of classes as the means of their prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isoenergy.embed.encoder import DualEncoder
from isoenergy.progress import Progress


def embed_texts(
    encoder: DualEncoder, texts: Sequence[str], batch_size: int, what: str, short: bool = False
) -> np.ndarray:
    """Embed texts in batches, each different text once.

    Parameters
    ----------
    encoder : DualEncoder
    texts : sequence of str
    batch_size : int
    what : str
        For messages.
    short : bool
        Put texts of like length together and pad each batch to its longest, where the encoder
        hides its padding; vectors are the same but for rounding.

    Returns
    -------
    ndarray of shape (len(texts), dim), float32
    """
    unique, position = np.unique(np.asarray(texts, dtype=object), return_inverse=True)
    short = short and encoder.hides_padding
    order = np.arange(len(unique))
    if short:
        counts = [
            encoder.count_tokens(unique[start : start + batch_size])
            for start in range(0, len(unique), batch_size)
        ]
        order = np.argsort(np.concatenate(counts), kind="stable")
    vectors = np.empty((len(unique), encoder.spec.dim), dtype=np.float32)
    with Progress(what, len(unique), "texts") as bar:
        for start in range(0, len(unique), batch_size):
            batch = order[start : start + batch_size]
            vectors[batch] = encoder.embed_texts(list(unique[batch]), longest=short)
            bar.step(len(batch))
    return vectors[position]


def class_prompts(names: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Every template with every name, names in the outer loop; a template has one ``{}``."""
    return [template.replace("{}", name, 1) for name in names for template in templates]


def class_vectors(
    encoder: DualEncoder,
    names: Sequence[str],
    templates: Sequence[str],
    batch_size: int,
    short: bool = False,
) -> np.ndarray:
    """Zero-shot class vectors: the mean over templates of unit prompt vectors, made unit again.

    Parameters
    ----------
    encoder : DualEncoder
    names : sequence of str
        Class names.
    templates : sequence of str
        Prompts with one ``{}`` for the name.
    batch_size : int
    short : bool
        See :func:`embed_texts`.

    Returns
    -------
    ndarray of shape (len(names), dim), float32
        Unit-norm rows (SPEC 1.4).
    """
    prompts = class_prompts(names, templates)
    what = f"{encoder.spec.model}: class prompts"
    vectors = embed_texts(encoder, prompts, batch_size, what, short)
    means = vectors.reshape(len(names), len(templates), -1).mean(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)
