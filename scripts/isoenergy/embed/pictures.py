"""Pictures read, decoded and preprocessed in worker processes, ahead of the encoder."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import DataLoader, Dataset

from isoenergy.data.shards import broken_shard, decode_picture
from isoenergy.embed.encoder import DualEncoder
from isoenergy.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

# Pictures that a worker hands over together: few, so that what is under way stays small.
CHUNK = 16
# Decoded pixels of pictures that are preprocessed together, which bounds a worker's memory.
_DECODED = 2**24
# Scaled to the encoder's shorter side, a picture more oblong than this would fill the memory.
MOST_OBLONG = 200
# A worker looks this often whether the job that started it is still there.
_WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Chunk:
    """Some pictures in a row of a list of places.

    Attributes
    ----------
    rows : ndarray of shape (n,), int64
        Which of the list could be decoded.
    pixels : ndarray of shape (n, 3, side, side), float32
    failed : dict of int to str
        Why each other could not.
    """

    rows: np.ndarray
    pixels: np.ndarray
    failed: dict[int, str]


class PictureChunks(Dataset):
    """Chunks of pictures, made when they are asked for; small to send to a process.

    Parameters
    ----------
    images : path
        Folder of picture shards.
    places : DataFrame
        Pictures in the order wanted, see :func:`isoenergy.data.shards.locate_pictures`.
    spans : sequence of (int, int)
        First row and end of each chunk.
    preprocess : callable
        See :class:`DualEncoder`.
    """

    def __init__(
        self,
        images: str | Path,
        places: pd.DataFrame,
        spans: Sequence[tuple[int, int]],
        preprocess: Callable[[Sequence[Image.Image]], np.ndarray],
    ) -> None:
        self._images = Path(images)
        # One text for each shard, where a table would hold one for each picture.
        self._shard = places["shard"].astype("category").cat.codes.to_numpy()
        self._shards = places["shard"].astype("category").cat.categories.tolist()
        self._offset = places["offset"].to_numpy(dtype=np.int64)
        self._size = places["size"].to_numpy(dtype=np.int64)
        self._spans = list(spans)
        self._preprocess = preprocess

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, number: int) -> Chunk:
        """The chunk of this number."""
        rows, pictures, pixels, failed = [], [], [], {}
        decoded = 0
        for row, content in self._contents(*self._spans[number]):
            try:
                pictures.append(_decode(content))
            except InputError as error:
                failed[row] = str(error)
                continue
            rows.append(row)
            decoded += pictures[-1].width * pictures[-1].height
            if decoded > _DECODED:
                pixels.append(self._preprocess(pictures))
                pictures, decoded = [], 0
        if pictures:
            pixels.append(self._preprocess(pictures))
        together = np.concatenate(pixels) if pixels else np.empty((0, 3, 0, 0), np.float32)
        return Chunk(np.array(rows, dtype=np.int64), together, failed)

    def _contents(self, first: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Rows and their encoded pictures; each shard is opened once where rows keep its order."""
        for number, rows in groupby(range(first, end), self._shard.__getitem__):
            path = self._images / self._shards[number]
            if not path.is_file():
                raise broken_shard(path, "it is gone")
            with path.open("rb") as shard:
                for row in rows:
                    shard.seek(self._offset[row])
                    content = shard.read(self._size[row])
                    if len(content) < self._size[row]:
                        raise broken_shard(path, "it is truncated")
                    yield row, content


def _decode(content: bytes) -> Image.Image:
    picture = decode_picture(content)
    if max(picture.size) > MOST_OBLONG * min(picture.size):
        width, height = picture.size
        raise InputError(f"picture is too oblong ({width} x {height})")
    return picture


def read_chunks(chunks: PictureChunks, workers: int, ahead: int) -> Iterator[Chunk]:
    """Chunks in order.

    Parameters
    ----------
    chunks : PictureChunks
    workers : int
        Processes that make them; 0 for none but this one.
    ahead : int
        About how many pictures they make ahead of what is used, which bounds the memory.
    """
    if workers == 0 or len(chunks) == 0:
        yield from map(chunks.__getitem__, range(len(chunks)))
        return
    loader = DataLoader(
        _Told(chunks),
        batch_size=None,
        num_workers=workers,
        # Arrays come through pipes: as tensors they would need room in /dev/shm, which containers
        # are short of.
        collate_fn=_as_it_is,
        prefetch_factor=max(2, -(-ahead // (CHUNK * workers))),
        # A fork would copy the threads' locks of torch and the tokenizers as they are just then.
        multiprocessing_context="spawn",
        worker_init_fn=_end_with_the_job,
    )
    for chunk in loader:
        if isinstance(chunk, InputError):
            raise chunk
        yield chunk


class _Told(Dataset):
    """Chunks, or the errors in their place: raised in a worker they would become tracebacks."""

    def __init__(self, chunks: PictureChunks) -> None:
        self._chunks = chunks

    def __len__(self) -> int:
        return len(self._chunks)

    def __getitem__(self, number: int) -> Chunk | InputError:
        try:
            return self._chunks[number]
        except InputError as error:
            return error


def _as_it_is(chunk: Chunk | InputError) -> Chunk | InputError:
    return chunk


def _end_with_the_job(worker: int) -> None:
    """End this worker when the job is gone, killed for example, even amid handing over a chunk."""
    job = multiprocessing.parent_process().pid

    def watch() -> None:
        while os.getppid() == job:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Batches:
    """Embeds chunks in batches of one size, however many pictures of each could be decoded.

    Batches do not depend on how pictures are cut into chunks, nor do the vectors.
    """

    def __init__(self, encoder: DualEncoder, size: int) -> None:
        self._encoder, self._size = encoder, size
        self._waiting: list[np.ndarray] = []
        self._vectors: list[np.ndarray] = []

    def add(self, pixels: np.ndarray) -> None:
        """Take pictures in, and embed what makes full batches."""
        if not len(pixels):
            return
        self._waiting.append(pixels)
        while sum(map(len, self._waiting)) >= self._size:
            together = np.concatenate(self._waiting)
            self._waiting = [together[self._size :]] if len(together) > self._size else []
            self._embed(together[: self._size])

    def finish(self) -> np.ndarray:
        """Embed the rest; vectors of all pictures since the last call, shape (n, dim), float32."""
        if self._waiting:
            self._embed(np.concatenate(self._waiting))
        vectors = self._vectors or [np.empty((0, self._encoder.spec.dim), dtype=np.float32)]
        self._waiting, self._vectors = [], []
        return np.concatenate(vectors)

    def _embed(self, pixels: np.ndarray) -> None:
        self._vectors.append(self._encoder.embed_pixels(pixels))


def lowest_cosine(encoder: DualEncoder, embed: Callable[[], np.ndarray]) -> float:
    """The lowest cosine between rows embedded as the encoder is set and in float32."""
    mixed = embed()
    precision, encoder.precision = encoder.precision, "float32"
    try:
        return float((mixed * embed()).sum(axis=1).min())
    finally:
        encoder.precision = precision
