"""Stores made elsewhere in the place of data sets, their unknown encoder in that of models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isoenergy.embed.metadata import has_captions
from isoenergy.errors import InputError

# The source of a data set whose embeddings were made elsewhere.
STORE = "store"


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
    name = _slug(config["store"])
    folders = {name: config["store"]}
    if config["test_store"] is not None:
        test = _slug(config["test_store"])
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
        If stores and other data sets are mixed, there are several models, or a folder is not told
        or none.
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
        key = {config["store"]: "store", config["test_store"]: "test_store"}
        folder = config["folders"][name]
        _check_folder(source, key.get(folder, f"folders.{name}"), folder)
    if len(config["models"]) > 1:
        raise InputError(
            f"{source}: key models has {len(config['models'])} names; a store made elsewhere is "
            f"by one encoder, and any name will do, such as [{STORE}]"
        )
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


def _check_folder(source: str, key: str, folder: str) -> None:
    path = Path(folder)
    if path.is_dir():
        return
    if path.suffix in (".npy", ".npz"):
        told = "put images and texts into one folder as image.npy and text.npy (links will do)"
    else:
        told = "name a folder with img_emb/ and text_emb/, or with image.npy and text.npy"
    raise InputError(f"{source}: key {key} is {folder}, which is not a folder; {told}")


def _slug(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(path).resolve().name).strip("-.") or "store"
