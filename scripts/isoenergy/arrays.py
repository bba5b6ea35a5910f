"""The method on arrays of your own, from Python: nothing is read from files or written to them.

What comes out is what the workflow makes of a store with the same arrays. Progress is a bar on a
terminal; elsewhere ``logging.basicConfig(level=logging.INFO)`` shows it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from numbers import Integral, Real

import numpy as np

from isoenergy.demand import training_memory
from isoenergy.embed.contents import scan
from isoenergy.embed.rows import Rows, check_array, check_rows
from isoenergy.embed.store import check_shapes
from isoenergy.encode.codes import Codes
from isoenergy.encode.encode import encode_rows
from isoenergy.errors import InputError
from isoenergy.memory import gigabytes, machine_memory
from isoenergy.progress import Progress
from isoenergy.train.fit import Training, fit_together, start
from isoenergy.train.sae import SAE

_SCALE = "to scale them: x / np.linalg.norm(x, axis=1, keepdims=True)"
# Atoms per dimension, the defaults' key sae.expansion.
_EXPANSION = 8


def train_on_arrays(
    image: np.ndarray,
    text: np.ndarray,
    *,
    architecture: str = "matching_pursuit",
    n_atoms: int | None = None,
    l0: int = 20,
    alignment: str | None = None,
    beta: float | None = None,
    epochs: int = 15,
    batch_size: int = 512,
    peak_rate: float = 1e-3,
    clip_norm: float = 1.0,
    seed: int = 0,
) -> SAE:
    """Train an SAE on pairs: the paper's SAE, or with ``alignment`` its SAE-A (Section 3, Eq. 1).

    Defaults are those of ``config/store.yaml``, whose beta is 2e-4. Fewer than some 200 steps,
    ``epochs`` times pairs over ``batch_size``, leave an SAE near where it started.

    Parameters
    ----------
    image, text : ndarray of shape (n, dim), float16 or float32
        Unit-norm embeddings, row i of each being one pair; n is at least ``batch_size``. Arrays
        may be memory-mapped. Of other floating-point types they are read as float32, which a
        warning says.
    architecture : str
        A key of ``ARCHITECTURES``, e.g. ``"matching_pursuit"`` or ``"topk"``.
    n_atoms : int, optional
        K, by default 8 atoms per dimension.
    l0 : int
        Non-zeros per code, in [1, K].
    alignment : str, optional
        A key of ``ALIGNMENTS``; ``"masked_cosine"`` is that of the authors' SAE-A. None trains
        without alignment.
    beta : float, optional
        Weight of the alignment term, at least 0; needed with ``alignment`` and only then.
    epochs, batch_size, peak_rate, clip_norm
        See :class:`isoenergy.train.fit.Training`.
    seed : int
        Draws the first atoms and orders the pairs.

    Returns
    -------
    SAE
        In evaluation mode, on the CPU. Its weights are, bit for bit, those of a checkpoint of
        the workflow trained on the same machine on a store of these arrays, with the same
        settings and the ``seed`` in its ``config.json``.
        :func:`isoenergy.train.checkpoint.save_sae` writes such a checkpoint.

    Raises
    ------
    InputError
        One sentence for: what is no array of floating-point numbers, unequal rows or widths, values
        that are not finite, rows that are not of unit norm, sides whose rows are all equal or those
        of the other, fewer pairs than a batch, more atoms than this machine's memory holds, an
        unknown name, a number that is not allowed, alignment without beta or beta without
        alignment.
    """
    _check_number("beta", beta or 0, "from 0", lambda found: found >= 0)
    for name, number in {"peak_rate": peak_rate, "clip_norm": clip_norm}.items():
        _check_number(name, number, "above 0", lambda found: found > 0)
    for name, number in {"epochs": epochs, "batch_size": batch_size, "l0": l0}.items():
        _check_whole(name, number)
    _check_whole("n_atoms", 1 if n_atoms is None else n_atoms)
    if alignment is None and beta:
        raise InputError(
            f"beta is {beta} and alignment is None; give alignment='masked_cosine' for SAE-A, or "
            "no beta for an SAE without alignment"
        )
    if not isinstance(seed, Integral):
        raise InputError(f"seed is {seed!r}; allowed are whole numbers")
    images, texts = _check_pairs(image, text)
    if len(images) == 1:
        raise InputError("there is 1 pair; an SAE is trained on many")
    for note in scan(images, texts, scale=_SCALE):
        warnings.warn(note, stacklevel=2)
    if len(images) < batch_size:
        raise InputError(
            f"there are {len(images)} pairs and batch_size is {batch_size}; give a batch_size of "
            f"at most {len(images)}"
        )
    dim = images.shape[1]
    size = (dim, _EXPANSION * dim if n_atoms is None else n_atoms, l0)
    _check_memory(*size, batch_size)
    training = Training(epochs, batch_size, peak_rate, clip_norm, alignment, beta)
    one = start(architecture, size, training, seed, None, f"train {architecture}")
    fit_together([one], images, texts, "")
    return one.sae.eval()


def encode_arrays(sae: SAE, image: np.ndarray, text: np.ndarray, block: int = 4096) -> Codes:
    """Codes of pairs, as the functions of :mod:`isoenergy.measure` take them.

    Parameters
    ----------
    sae : SAE
        Put in evaluation mode.
    image, text : ndarray of shape (n, dim), float16 or float32
        As of :func:`train_on_arrays`, any number of pairs.
    block : int
        Rows at a time; bounds the working memory. The workflow's is ``encode.block``.

    Returns
    -------
    Codes
        ``image`` and ``text`` are csr_matrix of shape (n, K), float32.

    Raises
    ------
    InputError
        As :func:`train_on_arrays` for the arrays, and for those of another width than the SAE's.
    """
    _check_whole("block", block)
    sides = _check_pairs(image, text)
    for side in sides:
        check_rows(side, scale=_SCALE)
    sae.eval()
    with Progress("encode", 2 * len(image), "rows") as bar:
        return Codes(*(encode_rows(sae, rows, block, bar) for rows in sides), ids="")


def _check_pairs(image: np.ndarray, text: np.ndarray) -> tuple[Rows, Rows]:
    """Rows of two arrays whose shapes and types are checked as those of a store are."""
    rows = {}
    for name, array in {"image": image, "text": text}.items():
        # Rows of masked arrays would be read with what their mask hides.
        if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
            raise InputError(
                f"{name} is a {type(array).__name__}; allowed is a numpy array of shape (pairs, "
                "width)"
            )
        check_array(name, array, "give it")
        rows[name] = Rows([array], where=name)
    check_shapes("the input", rows, {})
    if cast := {side.where: side.cast[0] for side in rows.values() if side.cast}:
        told = " and ".join(f"{name} is {kind}" for name, kind in cast.items())
        warnings.warn(f"{told}, read as float32", stacklevel=3)
    return rows["image"], rows["text"]


def _check_memory(dim: int, n_atoms: int, l0: int, batch_size: int) -> None:
    needed, memory = training_memory(0, dim, n_atoms, l0, batch_size, 4), machine_memory()
    if needed > memory.size:
        raise InputError(
            f"n_atoms is {n_atoms}, so that training takes at least {gigabytes(needed)} of memory, "
            f"and {memory.where} has {gigabytes(memory.size)}; lower it, or batch_size"
        )


def _check_whole(name: str, number: int) -> None:
    if not isinstance(number, Integral) or number < 1:
        raise InputError(f"{name} is {number!r}; allowed are whole numbers from 1")


def _check_number(name: str, number: float, allowed: str, inside: Callable[[float], bool]) -> None:
    if not isinstance(number, Real) or not (math.isfinite(number) and inside(number)):
        raise InputError(f"{name} is {number!r}; allowed are numbers {allowed}")
