"""Train SAEs on one embedding store and write their checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from isoenergy.embed.store import EmbeddingStore, open_store
from isoenergy.errors import InputError
from isoenergy.files import write_parquet
from isoenergy.measure.metric import read_metric
from isoenergy.progress import LOG
from isoenergy.train import ranks
from isoenergy.train.alignment import ALIGNMENTS
from isoenergy.train.checkpoint import build_sae, save_sae
from isoenergy.train.fit import Training, fit_together, start
from isoenergy.train.pairs import identify

# A trained number takes four of float32: itself, its gradient and Adam's two moments.
_BYTES = 16


@dataclass(frozen=True)
class Recipe:
    """One SAE to train, and where its checkpoint goes.

    Attributes
    ----------
    weights, config, history : path
        ``sae.safetensors``, ``config.json`` and ``history.parquet`` to write.
    state : path
        Trainer state, kept until all SAEs of the call are trained.
    architecture : str
        A key of ``ARCHITECTURES``.
    expansion : int
        Atoms per dimension: K = expansion * d.
    l0 : int
        Non-zeros per code.
    training : Training
    seed : int
        Draws the first atoms and orders the pairs.
    what : str
        Name for messages, e.g. ``"SceneCLIP SAE-A seed 0"``.
    selected_beta : path, optional
        The metric that holds the beta to train with, where ``training`` leaves it open.
    """

    weights: str | Path
    config: str | Path
    history: str | Path
    state: str | Path
    architecture: str
    expansion: int
    l0: int
    training: Training
    seed: int
    what: str
    selected_beta: str | Path | None = None


def train_saes(store: str | Path, saes: list[Recipe], memory: float = 4.0) -> None:
    """Train SAEs on one store and write their checkpoints.

    SAEs of one seed and batch size see the pairs in the same order: they are trained side by side,
    on every batch by turns, so that pairs are read once. Others follow one after the other, and
    share the pairs in memory where these fit. Checkpoints are those of separate calls, byte for
    byte. Under torchrun every process takes its share of each batch, and the first one writes.

    Parameters
    ----------
    store : path
        Embedding store of pairs.
    saes : list of Recipe
    memory : float
        GB that SAEs trained side by side may take, with the pairs where these are kept: a limit on
        what is shared, since a single SAE is trained whatever it takes. Of each process.

    Raises
    ------
    InputError
        If the store is broken, a name or number is not allowed, or there is no beta.
    """
    saes = [_with_beta(recipe) for recipe in saes]
    with ranks.joined():
        # The first process reads all values; the others wait for what it says.
        opened = open_store(store, check_values=ranks.rank() == 0)
        for recipe in saes:
            _check(recipe, opened)
        image, text = opened.image, opened.text
        data = ranks.told_by_first(identify(image, text) if ranks.rank() == 0 else None)
        groups = list(_side_by_side(saes, opened.dim, memory * 1e9))
        largest = max(_bytes(group, opened.dim) for group in groups)
        if len(groups) > 1 and largest + image.nbytes + text.nbytes <= memory * 1e9:
            image, text = image.in_memory(), text.in_memory()
        for group in groups:
            if len(group) > 1:
                names = ", ".join(recipe.what for recipe in group)
                LOG.info("%d SAEs side by side: %s", len(group), names)
            fits = [
                start(r.architecture, _size(r, opened.dim), r.training, r.seed, r.state, r.what)
                for r in group
            ]
            tables = fit_together(fits, image, text, data)
            for recipe, fitted, table in zip(group, fits, tables, strict=True):
                trained = {**asdict(recipe.training), "rows": len(opened), "seed": recipe.seed}
                trained |= {"encoder": opened.encoder} if opened.encoder else {}
                if ranks.rank() == 0:
                    paths = recipe.weights, recipe.config
                    write_parquet(recipe.history, table)
                    save_sae(fitted.sae, recipe.architecture, *paths, trained)
        # Until here a run that is started again finds what was trained before it was killed.
        if ranks.rank() == 0:
            for recipe in saes:
                Path(recipe.state).unlink(missing_ok=True)


def _with_beta(recipe: Recipe) -> Recipe:
    if recipe.training.beta is not None:
        return recipe
    beta = _read_beta(recipe.selected_beta)
    return replace(recipe, training=replace(recipe.training, beta=beta))


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


def _check(recipe: Recipe, store: EmbeddingStore) -> None:
    """Refuse what cannot be trained, before any work."""
    if recipe.training.alignment is not None:
        ALIGNMENTS[recipe.training.alignment]
    if len(store) < 2:
        raise InputError(f"{store.path} has {len(store)} pair; training needs at least 2")
    _numbers(recipe.architecture, _size(recipe, store.dim))


def _size(recipe: Recipe, dim: int) -> tuple[int, int, int]:
    return dim, recipe.expansion * dim, recipe.l0


@cache
def _numbers(architecture: str, size: tuple[int, int, int]) -> int:
    """How many numbers an SAE of this kind trains."""
    sae = build_sae(architecture, *size, 0)
    return sum(parameter.numel() for parameter in sae.parameters())


def _bytes(saes: Sequence[Recipe], dim: int) -> int:
    return sum(_BYTES * _numbers(r.architecture, _size(r, dim)) for r in saes)


def _side_by_side(saes: Sequence[Recipe], dim: int, limit: float) -> Iterator[list[Recipe]]:
    """Split SAEs into groups that see the pairs in one order and fit into so many bytes."""
    orders: dict[tuple[int, int], list[Recipe]] = {}
    for recipe in saes:
        orders.setdefault((recipe.seed, recipe.training.batch_size), []).append(recipe)
    for alike in orders.values():
        group: list[Recipe] = []
        for recipe in alike:
            if group and _bytes([*group, recipe], dim) > limit:
                yield group
                group = []
            group.append(recipe)
        yield group
