"""SAEs that differ by beta alone, measured side by side (Figures 7 and 8, SPEC 2.5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from isoenergy.embed.store import EmbeddingStore, open_store
from isoenergy.encode.encode import encode_blocks
from isoenergy.measure.energy import DEGENERATE_FREQUENCY, AtomEnergies, Moments, energies_of
from isoenergy.measure.reconstruction import BATCH, Errors, reconstruct
from isoenergy.measure.record import write_metrics, write_table
from isoenergy.measure.selection import (
    RULES,
    SELECTION_METRICS,
    select_beta,
    selection_metrics,
)
from isoenergy.measure.vectors import blocks, mean_vector
from isoenergy.progress import Progress
from isoenergy.train.checkpoint import load_sae_for
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
    sae: SAE,
    store: EmbeddingStore,
    means: tuple[np.ndarray, np.ndarray],
    block: int,
    tau: float,
    bar: Progress,
) -> dict[str, float]:
    """One SAE of a sweep on one store, in one pass: no codes are kept.

    Parameters
    ----------
    sae : SAE
    store : EmbeddingStore
    means : ndarray of shape (dim,), twice
        Mean image and mean text.
    block : int
        Rows encoded at a time, rounded to whole batches of R².
    tau : float
        Modality threshold.
    bar : Progress

    Returns
    -------
    dict of str to float
        mse, r2 (the authors' form, SPEC X5), energy (summed over atoms), the shares of
        :func:`energy_shares`, and atoms_degenerate, how many are always on.
    """
    dictionary = sae.dictionary.detach().numpy()
    block = max(block // BATCH, 1) * BATCH
    moments, errors = [], []
    for rows, mean in zip((store.image, store.text), means, strict=True):
        moments.append(Moments(sae.n_atoms))
        errors.append(Errors(mean))
        encoded = encode_blocks(sae, rows, block, bar)
        for x, (values, indices, counts) in zip(blocks(rows, block), encoded, strict=True):
            indptr = np.concatenate([[0], np.cumsum(counts)])
            codes = csr_matrix((values, indices, indptr), shape=(len(x), sae.n_atoms))
            moments[-1].add(codes)
            errors[-1].add(x, reconstruct(codes, dictionary))
    energies = energies_of(*moments, len(store))
    return {
        "mse": float(np.mean([side.mean_squared() for side in errors])),
        "r2": float(np.mean([side.r_squared()["code"] for side in errors])),
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
        If a checkpoint or the store is broken, or their widths or encoders differ.
    """
    import pandas as pd

    opened = open_store(store)
    rows, means = [], (mean_vector(opened.image), mean_vector(opened.text))
    with Progress(f"measure {what}", 2 * len(opened) * len(weights), "rows") as bar:
        for path, beta in zip(weights, betas, strict=True):
            sae = load_sae_for(opened, path)
            rows.append({"beta": beta, **measure_swept(sae, opened, means, block, tau, bar)})
    sweep = pd.DataFrame(rows).sort_values("beta", ignore_index=True)
    runs = [sweep[name].to_numpy() for name in ("beta", "r2", "share_degenerate")]
    for rule in RULES:
        sweep[f"selected_{rule}"] = sweep["beta"] == select_beta(*runs, rule).beta
    settings = {"tau": tau}
    write_table(table, sweep, settings)
    metrics = selection_metrics(*runs, len(opened))
    named = "isoenergy.measure.selection.SELECTION_METRICS"
    write_metrics(folder, metrics, SELECTION_METRICS, named, settings)
