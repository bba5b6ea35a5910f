"""SAEs that differ by beta alone, measured side by side (Figures 7 and 8, SPEC 2.5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isoenergy.embed.store import EmbeddingStore, open_store
from isoenergy.encode.encode import encode_rows
from isoenergy.errors import InputError
from isoenergy.files import write_parquet
from isoenergy.measure.energy import DEGENERATE_FREQUENCY, AtomEnergies, atom_energies
from isoenergy.measure.metric import write_metric
from isoenergy.measure.reconstruction import mean_squared_error, r_squared
from isoenergy.measure.selection import RULES, select_beta, selection_metrics
from isoenergy.progress import Progress
from isoenergy.train.checkpoint import load_sae
from isoenergy.train.sae import SAE


def energy_shares(energies: AtomEnergies, tau: float) -> dict[str, float]:
    """How the energy is shared by atoms that are always on and the others (paper Appendix B).

    Parameters
    ----------
    energies : AtomEnergies
    tau : float
        Modality threshold.

    Returns
    -------
    dict of str to float, in [0, 1]
        ``share_degenerate``: in atoms active in more than 0.9 of the codes.
        ``share_bimodal``: in bimodal atoms that are not degenerate.
    """
    energy = energies.both
    always = energies.frequency > DEGENERATE_FREQUENCY
    bimodal = (energies.groups(tau) == "bimodal") & ~always
    return {
        "share_degenerate": float(energy[always].sum() / energy.sum()),
        "share_bimodal": float(energy[bimodal].sum() / energy.sum()),
    }


def measure_swept(
    sae: SAE, store: EmbeddingStore, block: int, tau: float, bar: Progress
) -> dict[str, float]:
    """One SAE of a sweep on one store; its codes are kept sparse and in memory alone.

    Returns
    -------
    dict of str to float
        mse, r2 (the authors' form, SPEC X5), energy (summed over atoms), the shares of
        :func:`energy_shares`, and atoms_degenerate, how many are always on.
    """
    sides = [(rows, encode_rows(sae, rows, block, bar)) for rows in (store.image, store.text)]
    dictionary = sae.dictionary.detach().numpy()
    energies = atom_energies(*(codes for _, codes in sides))
    errors = [mean_squared_error(rows, codes, dictionary) for rows, codes in sides]
    explained = [r_squared(rows, codes, dictionary)["code"] for rows, codes in sides]
    return {
        "mse": float(np.mean(errors)),
        "r2": float(np.mean(explained)),
        "energy": float(energies.both.sum()),
        **energy_shares(energies, tau),
        "atoms_degenerate": int((energies.frequency > DEGENERATE_FREQUENCY).sum()),
    }


def measure_sweep(
    store: str | Path,
    weights: Sequence[str | Path],
    betas: Sequence[float],
    table: str | Path,
    folder: str | Path,
    block: int,
    tau: float,
    what: str,
) -> None:
    """Measure every SAE of a sweep, and select a beta by the paper's rule.

    Parameters
    ----------
    store : path
        Embedding store that they were trained on.
    weights : sequence of path
        ``sae.safetensors`` of each.
    betas : sequence of float
        Weight of the alignment term of each, the base (0) among them.
    table : path
        Table to write: a row per beta, see :func:`measure_swept`, and whether each rule of
        ``RULES`` selects it.
    folder : path
        Where the files of ``SELECTION_METRICS`` go.
    block : int
        Rows encoded at a time.
    tau : float
        Modality threshold.
    what : str
        Name for messages.

    Raises
    ------
    InputError
        If a checkpoint or the store is broken, or their widths differ.
    """
    import pandas as pd

    opened = open_store(store)
    rows = []
    with Progress(f"measure {what}", 2 * len(opened) * len(weights), "rows") as bar:
        for path, beta in zip(weights, betas, strict=True):
            sae = load_sae(path)
            if sae.dim != opened.dim:
                raise InputError(
                    f"{store} is {opened.dim} wide and {path} was trained on {sae.dim}; "
                    "a checkpoint encodes stores of its own model only"
                )
            rows.append({"beta": beta, **measure_swept(sae, opened, block, tau, bar)})
    sweep = pd.DataFrame(rows).sort_values("beta", ignore_index=True)
    runs = [sweep[name].to_numpy() for name in ("beta", "r2", "share_degenerate")]
    for rule in RULES:
        sweep[f"selected_{rule}"] = sweep["beta"] == select_beta(*runs, rule).beta
    write_parquet(table, sweep)
    for metric in selection_metrics(*runs, len(opened)):
        write_metric(folder, metric)
