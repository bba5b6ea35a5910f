"""Train one SAE on one embedding store, with or without an alignment term (SPEC 2.4)."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from isoenergy.embed.store import EmbeddingStore, Rows, open_store
from isoenergy.errors import InputError
from isoenergy.files import write_parquet
from isoenergy.measure.metric import read_metric
from isoenergy.progress import LOG, Progress
from isoenergy.seeds import derive_seed, generator
from isoenergy.train.alignment import ALIGNMENTS
from isoenergy.train.checkpoint import build_sae, save_sae
from isoenergy.train.resume import load_state, save_state
from isoenergy.train.sae import SAE

if TYPE_CHECKING:
    import pandas as pd

_SAVE_SECONDS = 60.0
_HASHED = 4096  # rows at a time


@dataclass(frozen=True)
class Training:
    """How an SAE is trained.

    Attributes
    ----------
    epochs : int
    batch_size : int
        Pairs per step; the images and the texts of a batch go through the SAE together.
    peak_rate : float
        Peak learning rate of Adam's one-cycle schedule (30 % warm-up from 1/25 of it, cosine
        decay to 1e-4 / 25 of it, beta1 cycled 0.95 -> 0.85 -> 0.95: torch's defaults).
    clip_norm : float
        Global gradient norm is clipped to this.
    alignment : str or None
        A key of ``ALIGNMENTS``; None for a plain SAE.
    beta : float or None
        Weight of the alignment term, relative to the squared error per dimension (X2); None where
        a sweep selects it, see :func:`train_sae`.
    """

    epochs: int
    batch_size: int
    peak_rate: float
    clip_norm: float
    alignment: str | None
    beta: float | None


class _Totals:
    """Sums over an unfinished epoch, kept as tensors so that they can be saved and restored."""

    def __init__(self, n_atoms: int) -> None:
        # loss, reconstruction, alignment, r2, non-zeros; each weighted by rows; then the rows.
        self.sums = torch.zeros(6, dtype=torch.float64)
        self.used = torch.zeros(n_atoms, dtype=torch.bool)

    def tensors(self) -> dict[str, Tensor]:
        return {"sums": self.sums, "used": self.used}

    def add(self, figures: list[float], rows: int, indices: Tensor, values: Tensor) -> None:
        self.sums[:5] += rows * torch.tensor(figures, dtype=torch.float64)
        self.sums[5] += rows
        self.used[indices[values != 0]] = True

    def figures(self) -> dict[str, float]:
        names = ("loss", "reconstruction", "alignment", "r2", "l0")
        means = (self.sums[:5] / self.sums[5].clamp_min(1)).tolist()
        dead = int((~self.used).sum())
        return {**dict(zip(names, means, strict=True)), "dead_atoms": dead}

    def reset(self) -> None:
        self.sums.zero_()
        self.used.zero_()


class _Pairs:
    """Reads batches of pairs and keeps account of the time that training waits for them."""

    def __init__(self, image: Rows, text: Rows) -> None:
        self._sides = image, text
        self._waited, self._start = 0.0, time.monotonic()

    def read(self, rows: np.ndarray) -> list[np.ndarray]:
        start = time.monotonic()
        batch = [side[rows] for side in self._sides]
        self._waited += time.monotonic() - start
        return batch

    def share(self) -> str:
        """Share of the time since the beginning."""
        return f"{self._waited / max(time.monotonic() - self._start, 1e-9):.1%}"


def fit(
    sae: SAE, image: Rows, text: Rows, training: Training, seed: int, state: str | Path, what: str
) -> pd.DataFrame:
    """Train ``sae`` in place; goes on from ``state`` if that belongs to the same training.

    Parameters
    ----------
    sae : SAE
    image, text : Rows of shape (n, dim)
        Row i of each is one pair.
    training : Training
    seed : int
        Orders the pairs, anew in every epoch.
    state : path
        Trainer state, written at least every minute and after every epoch.
    what : str
        Name for messages.

    Returns
    -------
    DataFrame
        One row per epoch: epoch, loss, reconstruction (mean squared error per dimension),
        alignment, r2 (the authors' scalar-mean form, averaged over batches, X5), l0 and
        dead_atoms (not used in the epoch).
    """
    import pandas as pd

    n = len(image)
    steps = -(-n // training.batch_size)
    optimiser = torch.optim.Adam(sae.parameters(), lr=training.peak_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, training.peak_rate, total_steps=training.epochs * steps
    )
    identity = {
        **asdict(training),
        **sae.config(),
        "architecture": type(sae).__name__,
        "data": _identify(image, text),
        "seed": seed,
    }
    totals = _Totals(sae.n_atoms)
    start = {"epoch": 0, "step": 0, "history": []}
    progress = load_state(state, sae, optimiser, schedule, identity, totals.tensors()) or start
    history = progress["history"]
    done = progress["epoch"] * steps + progress["step"]
    saved = time.monotonic()
    pairs = _Pairs(image, text)
    with Progress(what, training.epochs * steps, "steps", done=done) as bar:
        for epoch in range(progress["epoch"], training.epochs):
            order = generator(seed, "epoch", epoch).permutation(n)
            first = progress["step"] if epoch == progress["epoch"] else 0
            for step in range(first, steps):
                rows = order[step * training.batch_size : (step + 1) * training.batch_size]
                _step(sae, *pairs.read(rows), training, optimiser, totals)
                schedule.step()
                bar.step(figures=lambda: _shown(totals, pairs))
                if time.monotonic() - saved > _SAVE_SECONDS and step + 1 < steps:
                    at = {"epoch": epoch, "step": step + 1, "history": history}
                    save_state(state, sae, optimiser, schedule, identity, at, totals.tensors())
                    saved = time.monotonic()
            history.append({"epoch": epoch + 1, **totals.figures()})
            totals.reset()
            at = {"epoch": epoch + 1, "step": 0, "history": history}
            save_state(state, sae, optimiser, schedule, identity, at, totals.tensors())
            saved = time.monotonic()
    LOG.info("%s: %s of the time spent waiting for data", what, pairs.share())
    sae.normalise_atoms()
    return pd.DataFrame(history)


def _identify(image: Rows, text: Rows) -> str:
    """A hash of every pair, in order."""
    digest = hashlib.sha256(f"{image.shape}".encode())
    for rows in (image, text):
        for _, block in rows.blocks(_HASHED):
            digest.update(block.tobytes())
    return digest.hexdigest()


def _shown(totals: _Totals, pairs: _Pairs) -> dict[str, str]:
    figures = totals.figures()
    return {
        "loss": f"{figures['loss']:.3g}",
        "R2": f"{figures['r2']:.4f}",
        "l0": f"{figures['l0']:.1f}",
        "dead": str(figures["dead_atoms"]),
        "waiting": pairs.share(),
    }


def _step(
    sae: SAE,
    image: np.ndarray,
    text: np.ndarray,
    training: Training,
    optimiser: torch.optim.Optimizer,
    totals: _Totals,
) -> None:
    x = torch.from_numpy(np.concatenate([image, text]))
    sae.normalise_atoms()
    codes, reconstruction = sae(x)
    error = sae.loss(x, reconstruction, codes)
    half = len(image)
    alignment = torch.zeros(())
    if training.alignment is not None:
        alignment = ALIGNMENTS[training.alignment](codes[:half], codes[half:])
    loss = error + training.beta * alignment
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(sae.parameters(), training.clip_norm)
    optimiser.step()
    sae.after_step(codes)
    with torch.no_grad():
        squared = (x - reconstruction).square().mean()
        r2 = 1 - squared / ((x - x.mean()).square().mean() + 1e-6)
        l0 = (codes.values != 0).sum() / len(x)
        figures = [value.item() for value in (loss, squared, alignment, r2, l0)]
        totals.add(figures, len(x), codes.indices, codes.values)


def _read_beta(path: str | Path | None) -> float:
    if path is None:
        raise InputError("training has no beta; give a number, or a selected_beta to read it from")
    beta = read_metric(path).value
    if not math.isfinite(beta):
        raise InputError(
            f"{path}: no beta of the sweep keeps R² within 0.05 of the base without atoms that are "
            "always on; sweep smaller ones (key beta_sweep.low) or give beta as a number"
        )
    return beta


def train_sae(
    store: str | Path,
    weights: str | Path,
    config: str | Path,
    history: str | Path,
    state: str | Path,
    architecture: str,
    expansion: int,
    l0: int,
    training: Training,
    seed: int,
    what: str,
    selected_beta: str | Path | None = None,
) -> None:
    """Train one SAE on one store and write its checkpoint.

    Parameters
    ----------
    store : path
        Embedding store of pairs.
    weights, config, history : path
        ``sae.safetensors``, ``config.json`` and ``history.parquet`` to write.
    state : path
        Trainer state, kept while training and removed at the end.
    architecture : str
        A key of ``ARCHITECTURES``.
    expansion : int
        Atoms per dimension: K = expansion * d.
    l0 : int
        Non-zeros per code.
    training : Training
    seed : int
    what : str
        Name for messages, e.g. ``"SceneCLIP SAE-A seed 0"``.
    selected_beta : path, optional
        The metric that holds the beta to train with, where ``training`` leaves it open.

    Raises
    ------
    InputError
        If the store is broken, a name or number is not allowed, or there is no beta.
    """
    if training.beta is None:
        training = replace(training, beta=_read_beta(selected_beta))
    opened: EmbeddingStore = open_store(store)
    if training.alignment is not None:
        ALIGNMENTS[training.alignment]  # refuses an unknown name before any work
    if len(opened) < 2:
        raise InputError(f"{store} has {len(opened)} pair; training needs at least 2")
    sae = build_sae(
        architecture, opened.dim, expansion * opened.dim, l0, derive_seed(seed, "atoms")
    )
    sae.train()
    table = fit(sae, opened.image, opened.text, training, derive_seed(seed, "order"), state, what)
    trained = {**asdict(training), "rows": len(opened), "seed": seed}
    write_parquet(history, table)
    save_sae(sae, architecture, weights, config, trained)
    Path(state).unlink(missing_ok=True)
