"""One toy experiment: draw pairs, train an SAE on them, compare it with the truth (Table 5)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from isoenergy.embed.rows import Rows
from isoenergy.encode.encode import encode_rows
from isoenergy.errors import InputError
from isoenergy.files import write_parquet
from isoenergy.measure.metric import Metric, why_not_finite
from isoenergy.measure.reconstruction import reconstruction_errors, unexplained
from isoenergy.measure.record import write_metrics
from isoenergy.measure.toy import (
    TOY_METRICS,
    TRUTHS,
    Explained,
    distances_to_truth,
    matching_accuracies,
)
from isoenergy.progress import Progress
from isoenergy.seeds import derive_seed
from isoenergy.toy.process import CONCEPTS_PER_BIAS, ToyAtoms, ToyPairs, ToySetting, truth_codes
from isoenergy.toy.store import draw_toy
from isoenergy.train.checkpoint import build_sae, save_sae
from isoenergy.train.fit import Training, fit

_BLOCK = 4096


@dataclass(frozen=True)
class Readings:
    """How Table 5 reads its two numbers; all other readings are stored beside.

    Attributes
    ----------
    distance, matching : str
        A key of what :func:`isoenergy.measure.toy.distances_to_truth` and
        :func:`isoenergy.measure.toy.matching_accuracies` return.
    """

    distance: str
    matching: str


def true_explanations(
    atoms: ToyAtoms, pairs: ToyPairs, setting: ToySetting
) -> tuple[dict[str, Explained], slice]:
    """Every truth of drawn pairs, by the names in ``TRUTHS``, and the split one's shared atoms."""
    merged = Explained(atoms.merged(setting.tau_1), *truth_codes(pairs, setting, "merged"))
    split = Explained(atoms.split(), *truth_codes(pairs, setting, "split"))
    shared = slice(2 * setting.k, (2 + CONCEPTS_PER_BIAS) * setting.k)
    truths = {"merged": merged, "split": split, "live": split.first(shared.stop)}
    assert tuple(truths) == TRUTHS
    return truths, shared


def run_toy(
    folder: str | Path,
    weights: str | Path,
    config: str | Path,
    history: str | Path,
    state: str | Path,
    setting: ToySetting,
    rows: int,
    architecture: str,
    n_atoms: int,
    l0: int,
    training: Training,
    readings: Readings,
    data_seed: int,
    seed: int,
    what: str,
) -> None:
    """Draw pairs, train an SAE on them, encode them, and compare it with the truth.

    Parameters
    ----------
    folder : path
        Where ``{metric}.json`` go: ``TOY_METRICS``.
    weights, config, history : path
        The checkpoint to write, see :class:`isoenergy.train.saes.Recipe`.
    state : path
        Trainer state, kept while training and removed at the end.
    setting : ToySetting
    rows : int
        Pairs, at least 2.
    architecture : str
        A key of ``ARCHITECTURES``.
    n_atoms : int
        K.
    l0 : int
        Non-zeros per code.
    training : Training
    readings : Readings
        Which protocols are the default ones.
    data_seed : int
        Draws atoms and pairs, the same as :func:`isoenergy.toy.store.write_toy` does from it.
    seed : int
        Draws the SAE's first atoms and orders the pairs.
    what : str
        Name for messages.

    Raises
    ------
    InputError
        If a setting, name or number is not allowed.
    """
    if rows < 2:
        raise InputError(f"rows is {rows}; training needs at least 2 pairs")
    atoms, pairs = draw_toy(rows, setting, data_seed)
    sides = [Rows([side.astype(np.float32)]) for side in (pairs.image, pairs.text)]
    sae = build_sae(architecture, setting.dim, n_atoms, l0, derive_seed(seed, "atoms"))
    sae.train()
    table = fit(sae, *sides, training, derive_seed(seed, "order"), state, what)
    sae.eval()
    with Progress(f"encode {what}", 2 * rows, "rows") as bar:
        codes = [encode_rows(sae, side, _BLOCK, bar) for side in sides]
    learned = Explained(sae.dictionary.detach().numpy(), *codes)
    truths, shared = true_explanations(atoms, pairs, setting)
    n = {"pairs": rows, "atoms": n_atoms}
    explained = [
        reconstruction_errors(*side, learned.dictionary).r_squared()
        for side in zip(sides, codes, strict=True)
    ]
    r2 = {name: float(np.mean([side[name] for side in explained])) for name in explained[0]}
    live = float(learned.energies().live.sum())
    distances = distances_to_truth(learned, truths, shared)
    matching = matching_accuracies(learned, truths)
    notes = [
        why_not_finite(values, "no learned atom has energy") for values in (distances, matching)
    ]
    metrics = (
        Metric("r2", r2, n, note=unexplained(r2)),
        Metric("distance_to_truth", distances, n, protocol=readings.distance, note=notes[0]),
        Metric("matching_accuracy", matching, n, protocol=readings.matching, note=notes[1]),
        Metric("atoms_live", {"code": live}, n),
    )
    write_metrics(folder, metrics, TOY_METRICS, "isoenergy.measure.toy.TOY_METRICS")
    write_parquet(history, table)
    trained = {**asdict(training), "toy": asdict(setting), "rows": rows, "seed": seed}
    save_sae(sae, architecture, weights, config, trained)
    Path(state).unlink(missing_ok=True)
