"""Pairs in a seeded order, read ahead of the training in contiguous blocks.

Blocks of neighbouring pairs are shuffled, windows of many blocks are read, and the pairs of a
window are shuffled: memory holds two windows however large the store is. A store no larger than
a window is shuffled as a whole.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from isoenergy.embed.rows import Rows
from isoenergy.seeds import generator
from isoenergy.train import ranks

BLOCK = 1024  # pairs that lie side by side
WINDOW = 32 * BLOCK
_HASHED = 4096  # rows at a time


def identify(image: Rows, text: Rows) -> str:
    """A hash of every pair, in order."""
    digest = hashlib.sha256(f"{image.shape}".encode())
    for rows in (image, text):
        for _, block in rows.blocks(_HASHED):
            digest.update(block.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Batch:
    """Pairs of one step.

    Attributes
    ----------
    sides : list of two ndarray of shape (n, dim), float32
        Images and their texts, the share of this process.
    size : int
        Pairs of the whole batch.
    """

    sides: list[np.ndarray]
    size: int


class Pairs:
    """Batches of pairs, every pair once an epoch.

    Parameters
    ----------
    image, text : Rows of shape (n, dim)
        Row i of each is one pair.
    seed : int
        Orders the pairs, anew in every epoch.
    batch_size : int
        Pairs of a batch; the last one of an epoch may have fewer. Where several processes train
        together each reads its share of every batch.

    Attributes
    ----------
    steps : int
        Batches of an epoch.
    """

    def __init__(self, image: Rows, text: Rows, seed: int, batch_size: int) -> None:
        self._sides = image, text
        self._n, self._seed, self._size = len(image), seed, batch_size
        self.steps = -(-self._n // batch_size)
        # Windows hold whole batches.
        self._window = -(-WINDOW // batch_size)
        self._waited, self._start = 0.0, time.monotonic()

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """The batches from step ``first`` to before ``last``, counted over all epochs.

        The next window is read while one is trained on.
        """
        windows = self._windows(first, last)
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(next, windows, [])
            while window := self._wait(ahead):
                ahead = pool.submit(next, windows, [])
                yield from window

    def waiting(self) -> float:
        """Share of the time since the beginning that was spent waiting for pairs."""
        return self._waited / max(time.monotonic() - self._start, 1e-9)

    def _wait(self, ahead: Future[list[Batch]]) -> list[Batch]:
        start = time.monotonic()
        window = ahead.result()
        self._waited += time.monotonic() - start
        return window

    def _windows(self, first: int, last: int) -> Iterator[list[Batch]]:
        while first < last:
            epoch, step = divmod(first, self.steps)
            window = step // self._window
            stop = min((window + 1) * self._window, self.steps, step + last - first)
            order = self.order(epoch, window)
            starts = (np.arange(step, stop) - window * self._window) * self._size
            sizes = np.minimum(self._size, self._n - np.arange(step, stop) * self._size)
            own = zip(starts, *ranks.share(sizes), strict=True)
            rows = [order[start + begin : start + end] for start, begin, end in own]
            edges = np.cumsum([len(part) for part in rows])[:-1]
            sides = [np.split(_read(side, np.concatenate(rows)), edges) for side in self._sides]
            yield [Batch(list(s), int(n)) for *s, n in zip(*sides, sizes, strict=True)]
            first += stop - step

    def order(self, epoch: int, window: int) -> np.ndarray:
        """Numbers of the pairs of one window of an epoch, in the order of training, int64."""
        if self._n <= self._window * self._size:
            return generator(self._seed, "epoch", epoch).permutation(self._n)
        blocks = generator(self._seed, "epoch", epoch).permutation(-(-self._n // BLOCK))
        ends = np.cumsum(np.minimum(BLOCK, self._n - blocks * BLOCK))
        start = window * self._window * self._size
        stop = min(start + self._window * self._size, self._n)
        first, last = np.searchsorted(ends, [start, stop - 1], side="right")
        covering = blocks[first : last + 1]
        parts = [np.arange(b * BLOCK, min((b + 1) * BLOCK, self._n)) for b in covering]
        begin = start - (ends[first] - len(parts[0]))
        rows = np.concatenate(parts)[begin : begin + stop - start]
        return generator(self._seed, "epoch", epoch, "window", window).permutation(rows)


def _read(side: Rows, rows: np.ndarray) -> np.ndarray:
    """These rows, read in the order in which they lie on disk."""
    places = np.argsort(rows)
    values = np.empty((len(rows), side.shape[1]), dtype=np.float32)
    values[places] = side[rows[places]]
    return values
