"""Embed a data set with one dual encoder and write it as an embedding store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isoenergy.data.pairs import read_pairs
from isoenergy.data.shards import decode_picture, read_pictures
from isoenergy.embed.encoder import DualEncoder, EncoderSpec
from isoenergy.embed.encoders import load_encoder
from isoenergy.embed.store import write_store
from isoenergy.errors import InputError
from isoenergy.files import read_json
from isoenergy.progress import Progress

if TYPE_CHECKING:
    import pandas as pd


def embed_texts(
    encoder: DualEncoder, texts: Sequence[str], batch_size: int, what: str
) -> np.ndarray:
    """Embed texts in batches, each different text once.

    Returns
    -------
    ndarray of shape (len(texts), dim), float32
    """
    unique, position = np.unique(np.asarray(texts, dtype=object), return_inverse=True)
    vectors = np.empty((len(unique), encoder.spec.dim), dtype=np.float32)
    with Progress(what, len(unique), "texts") as bar:
        for start in range(0, len(unique), batch_size):
            batch = unique[start : start + batch_size]
            vectors[start : start + len(batch)] = encoder.embed_texts(list(batch))
            bar.step(len(batch))
    return vectors[position]


def embed_pictures(
    encoder: DualEncoder, images: str | Path, wanted: Iterable[str], batch_size: int, what: str
) -> tuple[dict[str, int], np.ndarray, dict[str, str]]:
    """Embed the wanted pictures of a folder of shards.

    Returns
    -------
    position : dict of str to int
        Row of each picture's key that was embedded.
    vectors : ndarray of shape (n, dim), float32
    failed : dict of str to str
        Why each other wanted picture was not: absent, or cannot be decoded.
    """
    wanted = set(wanted)
    failed = dict.fromkeys(wanted, "not in the shards")
    position: dict[str, int] = {}
    blocks: list[np.ndarray] = []
    keys: list[str] = []
    pictures = []
    seen: set[str] = set()

    def flush() -> None:
        if keys:
            blocks.append(encoder.embed_pictures(pictures))
            position.update({key: len(position) + i for i, key in enumerate(keys)})
            keys.clear()
            pictures.clear()

    with Progress(what, len(wanted), "pictures") as bar:
        for key, content in read_pictures(images):
            if key not in wanted:
                continue
            if key in seen:
                raise InputError(f"{images} holds two pictures with the key {key}; make it again")
            seen.add(key)
            bar.step()
            try:
                pictures.append(decode_picture(content))
            except InputError as error:
                failed[key] = str(error)
                continue
            keys.append(key)
            del failed[key]
            if len(keys) == batch_size:
                flush()
        flush()
    if not blocks:
        raise InputError(f"none of the {len(wanted)} pictures in {images} can be embedded")
    return position, np.concatenate(blocks), failed


def class_vectors(
    encoder: DualEncoder, names: Sequence[str], templates: Sequence[str], batch_size: int
) -> np.ndarray:
    """Zero-shot class vectors: the mean over templates of unit prompt vectors, made unit again.

    Parameters
    ----------
    encoder : DualEncoder
    names : sequence of str
        Class names.
    templates : sequence of str
        Prompts with one ``{}`` for the name.

    Returns
    -------
    ndarray of shape (len(names), dim), float32
        Unit-norm rows (SPEC 1.4).
    """
    prompts = [template.replace("{}", name, 1) for name in names for template in templates]
    vectors = embed_texts(encoder, prompts, batch_size, f"{encoder.spec.model}: class prompts")
    means = vectors.reshape(len(names), len(templates), -1).mean(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def embed_dataset(
    pairs: str | Path,
    images: str | Path,
    store: str | Path,
    dataset: str,
    kind: str,
    encoder: EncoderSpec,
    batch_size: int,
    dtype: str,
) -> None:
    """Embed one data set and write its store.

    Parameters
    ----------
    pairs : path
        Pairs table of the data stage.
    images : path
        Its folder of picture shards.
    store : path
        ``store.json`` to write; the arrays go beside it.
    dataset, kind : str
        Name, and one of ``"pairs"``, ``"classes"``, ``"edits"``.
    encoder : EncoderSpec
    batch_size : int
        Pictures or texts at a time.
    dtype : {"float32", "float16"}
        How vectors are stored; they are computed in float32.

    Raises
    ------
    InputError
        If the encoder or the data cannot be read. A picture that cannot be decoded is no error:
        its rows are left out and told in ``store.json``.
    """
    table = read_pairs(pairs, kind)
    model = load_encoder(encoder)
    name = f"{encoder.model}: {dataset}"
    wanted = set(table["image"]) | (set(table["source"]) if kind == "edits" else set())
    position, vectors, failed = embed_pictures(model, images, wanted, batch_size, name)
    sides = ["image", "source"] if kind == "edits" else ["image"]
    present = table[sides].isin(position.keys()).all(axis=1)
    dropped = {
        row["id"]: next(failed[row[side]] for side in sides if row[side] in failed)
        for _, row in table[~present].iterrows()
    }
    table = table[present].reset_index(drop=True)
    arrays = {side: vectors[table[side].map(position)] for side in sides}
    classes = None
    if kind == "classes":
        told = read_json(Path(images) / "classes.json")
        classes = class_vectors(model, told["names"], told["templates"], batch_size)
        arrays["text"] = classes[_labels(table, len(classes), pairs)]
    else:
        arrays["text"] = embed_texts(model, table["caption"].tolist(), batch_size, name)
    ids = table["id"].tolist()
    write_store(
        Path(store).parent,
        {side: values.astype(dtype) for side, values in arrays.items()},
        table.drop(columns="status"),
        dict.fromkeys(arrays, ids),
        {
            "model": encoder.model,
            "dataset": dataset,
            "kind": kind,
            "encoder": model.describe(),
            "dropped": dropped,
        },
        classes,
    )


def _labels(table: pd.DataFrame, n_classes: int, where: str | Path) -> np.ndarray:
    labels = table["label"].to_numpy()
    if labels.max() >= n_classes:
        raise InputError(
            f"{where}: label {labels.max()} is not one of the {n_classes} classes in classes.json"
        )
    return labels
