"""Fit SAEs to pairs, with or without an alignment term (SPEC 2.4).

Several that see the pairs in the same order take turns on every batch, so that it is read once;
each comes out as it would alone. Under torchrun every process takes its share of each batch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from isoenergy.embed.rows import Rows
from isoenergy.errors import InputError
from isoenergy.progress import LOG, Progress
from isoenergy.seeds import derive_seed
from isoenergy.train import pairs, ranks
from isoenergy.train.alignment import ALIGNMENTS
from isoenergy.train.checkpoint import build_sae
from isoenergy.train.codes import SparseCodes
from isoenergy.train.pairs import Pairs
from isoenergy.train.resume import load_state, save_state
from isoenergy.train.sae import SAE

if TYPE_CHECKING:
    import pandas as pd

_SAVE_SECONDS = 60.0


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
        there is no such term, or a sweep selects it, see :class:`isoenergy.train.saes.Recipe`.
    """

    epochs: int
    batch_size: int
    peak_rate: float
    clip_norm: float
    alignment: str | None
    beta: float | None


@dataclass(frozen=True)
class Fit:
    """One SAE to be fitted.

    Attributes
    ----------
    sae : SAE
        Trained in place.
    training : Training
    seed : int
        Orders the pairs, anew in every epoch.
    state : path or None
        Trainer state, written at least every minute and after every epoch. Training goes on from
        it if it belongs to the same training, in however many processes that was. None keeps none.
    what : str
        Name for messages.
    """

    sae: SAE
    training: Training
    seed: int
    state: str | Path | None
    what: str


def start(
    architecture: str,
    size: tuple[int, int, int],
    training: Training,
    seed: int,
    state: str | Path | None,
    what: str,
) -> Fit:
    """An SAE to be fitted whose first atoms and order of pairs are drawn from one seed.

    Parameters
    ----------
    architecture : str
        A key of ``ARCHITECTURES``.
    size : tuple of int
        Width of the embeddings, atoms, and non-zeros per code.
    training : Training
    seed : int
    state, what
        See :class:`Fit`.

    Raises
    ------
    InputError
        As :func:`isoenergy.train.checkpoint.build_sae`.
    """
    atoms, order = (derive_seed(seed, name) for name in ("atoms", "order"))
    return Fit(build_sae(architecture, *size, atoms).train(), training, order, state, what)


class Objective(nn.Module):
    """What training minimises, the alignment term included: one module, as torch's DDP wants it.

    Raises
    ------
    InputError
        If there is an alignment term without a weight.
    """

    def __init__(self, sae: SAE, training: Training) -> None:
        super().__init__()
        if training.alignment is not None and training.beta is None:
            raise InputError(
                f"alignment is {training.alignment!r} and beta is None; give beta, the weight of "
                "the alignment term"
            )
        self.sae, self.training_of = sae, training

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, SparseCodes, Tensor]:
        """Loss, alignment term, codes and reconstruction of a batch, images before their texts."""
        codes, reconstruction = self.sae(x)
        loss, alignment = self.sae.loss(x, reconstruction, codes), x.new_zeros(())
        half = len(x) // 2
        if self.training_of.alignment is not None:
            alignment = ALIGNMENTS[self.training_of.alignment](codes[:half], codes[half:])
            loss = loss + self.training_of.beta * alignment
        return loss, alignment, codes, reconstruction


class Totals:
    """Sums over an unfinished epoch, kept as tensors so that they can be saved and restored."""

    def __init__(self, n_atoms: int) -> None:
        # loss, reconstruction, alignment, r2, non-zeros; each weighted by rows; then the rows.
        self.sums = torch.zeros(6, dtype=torch.float64)
        self.used = torch.zeros(n_atoms, dtype=torch.bool)

    def tensors(self) -> dict[str, Tensor]:
        """What there is to save."""
        return {"sums": self.sums, "used": self.used}

    def add(self, figures: list[float], used: Tensor, rows: int) -> None:
        """Count a batch of so many rows, whose codes use these atoms."""
        self.sums[:5] += rows * torch.tensor(figures, dtype=torch.float64)
        self.sums[5] += rows
        self.used |= used.cpu()

    def figures(self) -> dict[str, float]:
        """Means so far."""
        names = ("loss", "reconstruction", "alignment", "r2", "l0")
        means = (self.sums[:5] / self.sums[5].clamp_min(1)).tolist()
        dead = int((~self.used).sum())
        return {**dict(zip(names, means, strict=True)), "dead_atoms": dead}

    def reset(self) -> None:
        """Begin another epoch."""
        self.sums.zero_()
        self.used.zero_()


def take_step(
    objective: nn.Module,
    sae: SAE,
    x: Tensor,
    rows: int,
    training: Training,
    optimiser: torch.optim.Optimizer,
) -> tuple[list[float], Tensor]:
    """One step of gradient descent on a batch.

    Parameters
    ----------
    objective : Module
        :class:`Objective` of ``sae``, or that with gradients averaged over processes.
    sae : SAE
    x : Tensor of shape (n, dim)
        Images, then their texts; the share of this process.
    rows : int
        Images and texts of the whole batch.
    training : Training
    optimiser : Optimizer

    Returns
    -------
    figures : list of float
        Loss, mean squared error, alignment term, r2 and l0 of the whole batch.
    used : Tensor of shape (K,), bool
        Atoms with a non-zero code in it.
    """
    sae.normalise_atoms()
    loss, alignment, codes, reconstruction = objective(x)
    optimiser.zero_grad()
    (loss * ranks.weight(len(x), rows)).backward()
    nn.utils.clip_grad_norm_(sae.parameters(), training.clip_norm)
    optimiser.step()
    sae.after_step(codes)
    with torch.no_grad():
        squared = (x - reconstruction).square().mean()
        l0 = (codes.values != 0).sum() / len(x)
        mean = ranks.batch_mean(x.mean(), len(x))
        known = torch.stack([loss, squared, alignment, (x - mean).square().mean(), l0])
        loss, squared, alignment, variance, l0 = ranks.batch_mean(known, len(x))
        figures = torch.stack([loss, squared, alignment, 1 - squared / (variance + 1e-6), l0])
    return figures.tolist(), ranks.any_process(codes.used())


class _Trainer:
    """An SAE being fitted: its optimiser, its figures and how far it is."""

    def __init__(self, fit: Fit, data: str, steps: int) -> None:
        self.fit, self.steps = fit, steps
        sae, training = fit.sae.to(ranks.device()), fit.training
        self.total = training.epochs * steps
        self.optimiser = torch.optim.Adam(sae.parameters(), lr=training.peak_rate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, training.peak_rate, total_steps=self.total
        )
        self.identity = {
            **asdict(training),
            **sae.config(),
            "architecture": type(sae).__name__,
            "data": data,
            "seed": fit.seed,
            "shuffled": [pairs.BLOCK, pairs.WINDOW],
        }
        self.totals = Totals(sae.n_atoms)
        self.history: list[dict[str, float]] = []
        self.done = 0
        parts = sae, self.optimiser, self.schedule, self.identity, self.totals.tensors()
        if fit.state is not None and (progress := load_state(fit.state, *parts)):
            self.history = progress["history"]
            self.done = progress["epoch"] * steps + progress["step"]
        ranks.agree(self.done, f"{fit.what}: the number of steps in {fit.state}")
        self.objective = ranks.distributed(Objective(sae, training))

    def step(self, x: Tensor, rows: int) -> None:
        fit = self.fit
        told = take_step(self.objective, fit.sae, x, rows, fit.training, self.optimiser)
        self.totals.add(*told, rows)
        self.schedule.step()
        self.done += 1

    def keep(self, due: bool) -> bool:
        """Write the state where an epoch has ended, or where that is due; says whether it has."""
        ended = self.done % self.steps == 0
        if ended:
            self.history.append({"epoch": self.done // self.steps, **self.totals.figures()})
            self.totals.reset()
        if ended or due:
            epoch, step = divmod(self.done, self.steps)
            progress = {"epoch": epoch, "step": step, "history": self.history}
            parts = self.fit.sae, self.optimiser, self.schedule, self.identity
            if self.fit.state is not None and ranks.rank() == 0:
                save_state(self.fit.state, *parts, progress, self.totals.tensors())
        return ended or due


def fit_together(fits: Sequence[Fit], image: Rows, text: Rows, data: str) -> list[pd.DataFrame]:
    """Train SAEs that see the pairs in the same order, in batches of one size.

    Parameters
    ----------
    fits : sequence of Fit
        Of one seed and one batch size. They may be at different steps, and of different epochs.
    image, text : Rows of shape (n, dim)
        Row i of each is one pair.
    data : str
        What :func:`isoenergy.train.pairs.identify` says of them; only states are told by it.

    Returns
    -------
    list of DataFrame
        Of each one row per epoch: epoch, loss, reconstruction (mean squared error per dimension),
        alignment, r2 (the authors' scalar-mean form, averaged over batches, X5), l0 and
        dead_atoms (not used in the epoch).
    """
    import pandas as pd

    (seed, size), *others = {(fit.seed, fit.training.batch_size) for fit in fits}
    if others:
        raise ValueError("SAEs that are fitted together see the pairs in the same order")
    source = Pairs(image, text, seed, size)
    trainers = [_Trainer(fit, data, source.steps) for fit in fits]
    first = min(trainer.done for trainer in trainers)
    last = max(trainer.total for trainer in trainers)
    what = fits[0].what + (f" and {len(fits) - 1} more" if len(fits) > 1 else "")
    saved = time.monotonic()
    with Progress(what, last, "steps", done=first) as bar:
        for step, batch in enumerate(source.batches(first, last), first):
            x = torch.from_numpy(np.concatenate(batch.sides)).to(ranks.device())
            taking = [trainer for trainer in trainers if trainer.done == step < trainer.total]
            for trainer in taking:
                trainer.step(x, 2 * batch.size)
            bar.step(figures=lambda: _shown(trainers, source))
            due = time.monotonic() - saved > _SAVE_SECONDS
            written = [trainer.keep(due) for trainer in taking]
            if any(written):
                saved = time.monotonic()
    LOG.info("%s: %.1f%% of the time spent waiting for data", what, 100 * source.waiting())
    for fit in fits:
        fit.sae.cpu().normalise_atoms()
    return [pd.DataFrame(trainer.history) for trainer in trainers]


def fit(
    sae: SAE,
    image: Rows,
    text: Rows,
    training: Training,
    seed: int,
    state: str | Path | None,
    what: str,
) -> pd.DataFrame:
    """As :func:`fit_together`, for one SAE; see :class:`Fit`."""
    one = Fit(sae, training, seed, state, what)
    data = "" if state is None else pairs.identify(image, text)
    return fit_together([one], image, text, data)[0]


def _shown(trainers: Sequence[_Trainer], source: Pairs) -> dict[str, str]:
    """Figures of the epoch so far; of several SAEs, from the least to the largest."""

    def spread(name: str, form: str) -> str:
        told = sorted(trainer.totals.figures()[name] for trainer in trainers)
        ends = [format(value, form) for value in (told[0], told[-1])]
        return ends[0] if len(trainers) == 1 else " to ".join(ends)

    forms = {"loss": ".3g", "r2": ".4f", "l0": ".1f", "dead_atoms": "d"}
    names = {"r2": "R2", "dead_atoms": "dead"}
    shown: dict[str, Any] = {
        names.get(name, name): spread(name, form) for name, form in forms.items()
    }
    return {**shown, "waiting": f"{source.waiting():.1%}"}
