"""Stores made elsewhere in the place of data sets, their unknown encoder in that of models."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from isoenergy.embed.metadata import has_captions
from isoenergy.errors import InputError
from isoenergy.paths import is_folder, name_of
from isoenergy.schema import choose

# The source of a data set whose embeddings were made elsewhere.
STORE = "store"


def unknown_beside(
    config: Mapping[str, Any],
    datasets: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    """What a config with the key ``store`` names that is nowhere, a sentence each.

    A store takes the place of models and data sets, so that nothing else would read these names.

    Parameters
    ----------
    config : mapping
        As it was given, before :func:`name_stores`.
    datasets, models : dict of str to dict
        The registries.
    """
    for name in config["models"]:
        if name not in models and name not in (STORE, name_of(config["store"])):
            told = choose(name, [STORE, *models])
            yield (
                f"key models names {name}, but with store={config['store']} the encoder is the one "
                f"that made the store; {told} (config/models.tsv)"
            )
    for key, named in config["datasets"].items():
        for name in named if isinstance(named, list) else filter(None, [named]):
            if name not in datasets:
                told = choose(name, list(datasets))
                yield (
                    f"key datasets.{key} names {name}, in whose place store={config['store']} is "
                    f"read; {told} (config/datasets.tsv)"
                )


def name_stores(config: Mapping[str, Any]) -> tuple[dict, dict]:
    """The config as its keys ``store`` and ``test_store`` change it, and a row for each of them.

    Parameters
    ----------
    config : mapping
        Its key ``store`` is not None.

    Returns
    -------
    config : dict
        Trains on the store; models, data sets and the folder of results are named after it.
    rows : dict of str to dict
        Rows of data sets of source ``store``.
    """
    name = name_of(config["store"])
    folders = {name: config["store"]}
    if config["test_store"] is not None:
        test = name_of(config["test_store"])
        folders[test if test != name else f"{name}-test"] = config["test_store"]
    rows = {
        key: {"dataset": key, "source": STORE, "kind": "pairs", "title": key} for key in folders
    }
    changed = {
        **config,
        "results": str(Path(config["results"]) / name),
        "models": [name],
        "folders": {**config["folders"], **folders},
        "datasets": {
            **dict.fromkeys(("classes", "classes_train", "edits")),
            "train": name,
            "transfer": list(folders)[1:],
        },
    }
    return changed, rows


def adopt_stores(
    config: Mapping[str, Any],
    source: str,
    datasets: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, Mapping[str, Any]],
) -> tuple[Mapping, Mapping, Mapping]:
    """Config, data sets and models, where SAEs are trained on a store made elsewhere.

    The run has one model then, the unknown encoder of that store, and every other data set is a
    store by the same encoder. Any other config is returned as it is.

    Raises
    ------
    InputError
        If stores and other data sets are mixed, there are several models, a folder is not told
        or none, fewer rows are asked of a store, or two stores are one.
    """
    parts = config["datasets"]
    told = [parts["train"], *parts["transfer"]]
    others = [parts["classes"], parts["classes_train"], parts["edits"]]
    named = [name for name in (*told, *filter(None, others)) if name in datasets]
    stores = [name for name in named if datasets[name]["source"] == STORE]
    if not stores:
        return config, datasets, models
    for name in named:
        if name not in stores:
            raise InputError(
                f"{source}: {stores[0]} is a store made elsewhere and {name} is none; all data "
                "sets of a run are embedded by the same encoders, so use stores alone, or none"
            )
    for name in stores:
        if name not in config["folders"]:
            raise InputError(
                f"{source}: key folders.{name} is missing; it says where {name} lies on this "
                "machine"
            )
        _check_folder(source, _key_of(config, name), config["folders"][name])
        if name in config["rows"]:
            raise InputError(
                f"{source}: key rows.{name} is {config['rows'][name]}, but a store made elsewhere "
                "is read whole; leave the key out, or store as many pairs as are wanted"
            )
    if len(config["models"]) > 1:
        raise InputError(
            f"{source}: key models has {len(config['models'])} names; a store made elsewhere is "
            f"by one encoder, and any name will do, such as [{STORE}]"
        )
    _check_apart(source, config, stores)
    adopted = {
        name: {
            **datasets[name],
            "path": config["folders"][name],
            "has_captions": has_captions(Path(config["folders"][name])),
        }
        for name in stores
    }
    model = config["models"][0]
    known = {"model": model, "beta": 0.0, "title": model, **models.get(model, {})}
    # Nothing is embedded by it, whatever the registry says of it.
    known |= {"checkpoint": "", "dim": None}
    return config, {**datasets, **adopted}, {**models, model: known}


def _key_of(config: Mapping[str, Any], name: str) -> str:
    """The key that says where a store lies."""
    keys = {config["test_store"]: "test_store", config["store"]: "store"}
    return keys.get(config["folders"][name], f"folders.{name}")


def _check_apart(source: str, config: Mapping[str, Any], names: list[str]) -> None:
    """Refuse one folder in two places: what is measured on the second would be called unseen."""
    first: dict[str, str] = {}
    for name in dict.fromkeys(names):
        folder = config["folders"][name]
        if (same := first.setdefault(folder, name)) != name:
            # Both keys of the command line have the same value.
            keys = [_key_of(config, same), _key_of(config, name)]
            keys = keys if keys[0] != keys[1] else ["store", "test_store"]
            raise InputError(
                f"{source}: keys {keys[0]} and {keys[1]} are the same folder, {folder}; leave the "
                "second out, or name one that no SAE is trained on"
            )


def _check_folder(source: str, key: str, folder: str) -> None:
    path = Path(folder)
    if is_folder(path):
        return
    where = "" if path.is_absolute() else _where(path)
    if path.suffix in (".npy", ".npz"):
        told = "put images and texts into one folder as image.npy and text.npy (links will do)"
    else:
        told = "name a folder with img_emb/ and text_emb/, or with image.npy and text.npy"
    if "$" in folder:
        told = "variables of the shell are not read here, write the path itself"
    if re.match(r"[a-z][a-z0-9+.-]+:/", folder):
        told = "addresses are not read, download it and name the folder"
    raise InputError(f"{source}: key {key} is {folder}, which is not a folder{where}; {told}")


def _where(path: Path) -> str:
    """Where a relative path was looked for, and where it would have been found."""
    told = f" (looked for at {path.absolute()}"
    called = Path(os.environ.get("PWD", os.curdir), path)
    if is_folder(called) and called.resolve() != Path(os.path.realpath(path)):
        told += f"; with --directory relative paths start there, and {called} is a folder"
    return f"{told})"
