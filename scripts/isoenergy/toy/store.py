"""Write a toy data set: an embedding store like any other, and the truth beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from isoenergy.embed.store import write_store
from isoenergy.errors import InputError
from isoenergy.files import replacing
from isoenergy.seeds import generator
from isoenergy.toy.process import (
    ToyAtoms,
    ToyPairs,
    ToySetting,
    draw_atoms,
    draw_pairs,
    truth_codes,
)

TRUTHS = ("merged", "split")


def draw_toy(rows: int, setting: ToySetting, seed: int) -> tuple[ToyAtoms, ToyPairs]:
    """The atoms and pairs of a toy data set; equal arguments give equal ones."""
    atoms = draw_atoms(setting, generator(seed, "atoms"))
    return atoms, draw_pairs(rows, setting, atoms, generator(seed, "pairs"))


def write_toy(
    store: str | Path, truth: str | Path, name: str, rows: int, setting: ToySetting, seed: int
) -> None:
    """Draw a toy data set and write it.

    Parameters
    ----------
    store : path
        ``store.json`` to write; the arrays go beside it.
    truth : path
        ``truth.safetensors`` to write: for each of ``TRUTHS`` the ``dictionary`` (float32) and
        the codes of both sides as CSR arrays (``{truth}.{side}_values`` and so on).
    name : str
        Name of the data set.
    rows : int
        Pairs, at least 1.
    setting : ToySetting
    seed : int

    Raises
    ------
    InputError
        If the setting is not allowed or next to infeasible.
    """
    if rows < 1:
        raise InputError(f"rows is {rows}; a toy data set has at least 1 pair")
    atoms, pairs = draw_toy(rows, setting, seed)
    tensors = {}
    for which in TRUTHS:
        dictionary = atoms.split() if which == "split" else atoms.merged(setting.tau_1)
        tensors[f"{which}.dictionary"] = dictionary.astype(np.float32)
        codes = truth_codes(pairs, setting, which)
        for side, matrix in zip(("image", "text"), codes, strict=True):
            matrix.sort_indices()
            tensors[f"{which}.{side}_values"] = matrix.data.astype(np.float32)
            tensors[f"{which}.{side}_indices"] = matrix.indices.astype(np.int32)
            tensors[f"{which}.{side}_indptr"] = matrix.indptr.astype(np.int64)
    with replacing(truth) as temporary:
        save_file(tensors, temporary)
    ids = [f"{name}-{i:08d}" for i in range(rows)]
    write_store(
        Path(store).parent,
        {"image": pairs.image.astype(np.float32), "text": pairs.text.astype(np.float32)},
        pd.DataFrame({"id": ids, "beta": pairs.beta}),
        {"image": ids, "text": ids},
        {"model": "toy", "dataset": name, "kind": "pairs", "redrawn": pairs.redrawn},
    )
