"""Embed a data set part by part: each finished part is kept, whatever becomes of the job."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isoenergy.data.pairs import OK, check_pairs
from isoenergy.data.shards import list_shards, locate_pictures
from isoenergy.embed.encoder import DualEncoder, EncoderSpec
from isoenergy.embed.encoders import load_encoder
from isoenergy.embed.finished import read_part, record_path
from isoenergy.embed.layout import ARRAYS, CLASSES
from isoenergy.embed.pictures import CHUNK, Batches, PictureChunks, lowest_cosine, read_chunks
from isoenergy.embed.texts import class_prompts, class_vectors, embed_texts
from isoenergy.errors import InputError
from isoenergy.files import (
    hash_strings,
    open_npy,
    read_json,
    read_parquet,
    write_json,
    write_npy,
    write_parquet,
)
from isoenergy.progress import LOG, Progress

if TYPE_CHECKING:
    import pandas as pd

ABSENT = "not in the shards"
# Below this cosine to float32 another precision is refused.
LOWEST_COSINE = 0.9999


@dataclass(frozen=True)
class Embedding:
    """How a data set is embedded.

    Attributes
    ----------
    batch_size : int
        Pictures or texts at a time.
    dtype : {"float32", "float16"}
        How vectors are stored.
    precision : {"float32", "float16"}
        What the products within the encoder are computed in. Other than in float32, the first
        pictures and texts of every part are computed in float32 too, and a cosine below
        ``LOWEST_COSINE`` between both ends the job.
    short_texts : bool
        Sort texts by length and pad each batch to its longest, where the encoder hides its
        padding: faster, the same but for rounding.
    part : int
        Pictures per part of the store.
    workers : int
        Processes that read, decode and preprocess ahead of the encoder; 0 for none but the job's.
    """

    batch_size: int
    dtype: str
    precision: str
    short_texts: bool
    part: int
    workers: int


def split_parts(table: pd.DataFrame, part: int) -> np.ndarray:
    """The part that every row of a pairs table belongs to, ndarray of shape (rows,), int.

    Pictures are counted by their first row, so that rows of one picture are of one part and it is
    embedded once. Rows without a picture count too: parts are known before any is fetched.
    """
    import pandas as pd

    return pd.factorize(table["image"])[0] // part


def embed_parts(
    pairs: str | Path,
    images: str | Path,
    work: str | Path,
    kind: str,
    encoder: EncoderSpec,
    embedding: Embedding,
    what: str,
    first: int = 0,
    parts: int | None = None,
    index: str | Path | None = None,
) -> Path:
    """Embed some parts of a data set; those that are there already, and whole, are kept.

    Parameters
    ----------
    pairs, images : path
        Pairs table and picture shards.
    work : path
        Folder for finished parts. What other data, encoders or settings left in it is removed.
    kind : {"pairs", "classes", "edits"}
    encoder : EncoderSpec
    embedding : Embedding
    what : str
        Encoder and data set, for messages.
    first : int
        Number of the first part.
    parts : int, optional
        How many; None takes all that follow.
    index : path, optional
        Where pictures lie, as written by :func:`isoenergy.data.shards.index_pictures`; else the
        shards are looked through.

    Returns
    -------
    Path
        Folder in ``work`` with, for each part, its arrays and metadata under the names they have
        in a store, and ``part_0000.json``, which comes last; the first part of labelled classes
        also has the class vectors.

    Raises
    ------
    InputError
        If the encoder or the data cannot be read, or the precision is not good enough. A picture
        that cannot be decoded is no error: its rows are left out and told.
    """
    table = read_parquet(pairs)
    check_pairs(table, kind, pairs)
    number = split_parts(table, embedding.part)
    end = number.max() + 1 if parts is None else first + parts
    chosen = (number >= first) & (number < end) & (table["status"] == OK).to_numpy()
    table, number = table[chosen].drop(columns="status"), number[chosen]
    classes = read_json(Path(images) / "classes.json") if kind == "classes" else None
    if classes and len(table) and table["label"].max() >= len(classes["names"]):
        raise InputError(
            f"{pairs}: label {table['label'].max()} is not one of the {len(classes['names'])} "
            "classes in classes.json"
        )
    if table.empty:
        # Fewer pictures than were expected when the ranges were planned.
        return _prepare(Path(work), "empty")
    model = load_encoder(encoder)
    model.precision = embedding.precision
    told = model.describe()
    columns = ["key", "shard", "offset", "size"]
    places = locate_pictures(images) if index is None else read_parquet(index, columns)
    folder = _prepare(Path(work), _identity(table, images, told, asdict(embedding), classes))
    task = _Task(folder, Path(images), what, kind, model, told, embedding)
    if classes and first == 0 and not _holds(folder / CLASSES, partial(open_npy, folder / CLASSES)):
        task.write_classes(classes["names"], classes["templates"])
    rows = {int(n): table[number == n].reset_index(drop=True) for n in np.unique(number)}
    records = {n: record_path(folder, n) for n in rows}
    done = {n for n, path in records.items() if _holds(path, partial(read_part, path))}
    task.run({n: part for n, part in rows.items() if n not in done}, places)
    return folder


def _holds(path: Path, read: Callable[[], object]) -> bool:
    """Whether a finished part is there and whole; one that is broken is made again, and told."""
    if not path.exists():
        return False
    try:
        read()
    except InputError as error:
        LOG.warning("%s is embedded again: %s", path.stem, str(error).partition(";")[0])
        return False
    return True


def _prepare(work: Path, identity: str) -> Path:
    """The folder for parts of this identity; others beside it are removed."""
    folder = work / identity
    folder.mkdir(parents=True, exist_ok=True)
    for other in work.iterdir():
        if other != folder:
            shutil.rmtree(other)
    return folder


def _identity(
    table: pd.DataFrame,
    images: str | Path,
    encoder: Mapping[str, object],
    embedding: Mapping[str, object],
    classes: object,
) -> str:
    """What parts are made of, so that none of another making is taken for one of these."""
    how = {key: value for key, value in embedding.items() if key != "workers"}
    shards = [(path.name, path.stat()) for path in list_shards(images)]
    files = [f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in shards]
    told = json.dumps([encoder, how, classes, list(table.columns)], sort_keys=True)
    cells = (str(cell) for name in table.columns for cell in table[name])
    return hash_strings([told, *files, *cells])[:16]


@dataclass(frozen=True)
class _Task:
    folder: Path
    images: Path
    what: str
    kind: str
    model: DualEncoder
    told: Mapping[str, object]
    embedding: Embedding

    def run(self, rows: Mapping[int, pd.DataFrame], places: pd.DataFrame) -> None:
        """Embed and write the parts of these numbers and rows."""
        wanted = {number: set(_keys(part, self.sides)) for number, part in rows.items()}
        found = {number: places[places["key"].isin(keys)] for number, keys in wanted.items()}
        total = sum(map(len, found.values()))
        with Progress(self.what, total, "pictures") as bar:
            embedded = self._pictures(found, bar)
            for number, (position, vectors, failed) in embedded:
                failed |= dict.fromkeys(wanted[number] - position.keys() - failed.keys(), ABSENT)
                self._write(number, rows[number], position, vectors, failed)

    def write_classes(self, names: Sequence[str], templates: Sequence[str]) -> None:
        """Embed and write the class vectors."""
        size = self.embedding.batch_size
        self.check_precision(
            partial(self.model.embed_texts, class_prompts(names[:1], templates)[:size])
        )
        short = self.embedding.short_texts
        write_npy(self.folder / CLASSES, class_vectors(self.model, names, templates, size, short))

    @property
    def sides(self) -> list[str]:
        return ["image", "source"] if self.kind == "edits" else ["image"]

    def _pictures(
        self, found: Mapping[int, pd.DataFrame], bar: Progress
    ) -> Iterator[tuple[int, tuple[dict[str, int], np.ndarray, dict[str, str]]]]:
        """Each part's pictures: row of each key that was embedded, vectors, why others were not.

        One set of workers serves all parts, so that none waits for the start of processes.
        """
        import pandas as pd

        if not found:
            return
        places = pd.concat(list(found.values()), ignore_index=True)
        ends = np.cumsum([len(part) for part in found.values()])
        spans = [
            (start, min(start + CHUNK, end))
            for first, end in zip([0, *ends[:-1]], ends, strict=True)
            for start in range(first, end, CHUNK)
        ]
        keys = places["key"].to_numpy()
        chunks = PictureChunks(self.images, places, spans, self.model.preprocess)
        size = self.embedding.batch_size
        reader = iter(read_chunks(chunks, self.embedding.workers, 2 * size))
        batches = Batches(self.model, size)
        first = 0
        for number, end in zip(found, ends, strict=True):
            position: dict[str, int] = {}
            failed: dict[str, str] = {}
            for _ in range(-(-(end - first) // CHUNK)):
                chunk = next(reader)
                if len(chunk.pixels) and not position:
                    self.check_precision(partial(self.model.embed_pixels, chunk.pixels))
                position |= {keys[row]: len(position) + i for i, row in enumerate(chunk.rows)}
                failed |= {keys[row]: reason for row, reason in chunk.failed.items()}
                batches.add(chunk.pixels)
                bar.step(len(chunk.rows) + len(chunk.failed))
            first = end
            yield number, (position, batches.finish(), failed)

    def _write(
        self,
        number: int,
        table: pd.DataFrame,
        position: Mapping[str, int],
        vectors: np.ndarray,
        failed: Mapping[str, str],
    ) -> None:
        present = table[self.sides].isin(position.keys()).all(axis=1)
        dropped = {
            row["id"]: next(failed[row[side]] for side in self.sides if row[side] in failed)
            for _, row in table[~present].iterrows()
        }
        table = table[present].reset_index(drop=True)
        arrays = {}
        if len(table):
            arrays = {side: vectors[table[side].map(position)] for side in self.sides}
            if self.kind != "classes":
                arrays["text"] = self._texts(table["caption"].tolist())
            for side, values in arrays.items():
                name = f"{ARRAYS[side]}_{number:04d}.npy"
                write_npy(self.folder / name, values.astype(self.embedding.dtype))
            write_parquet(self.folder / f"metadata_{number:04d}.parquet", table)
        content = {
            "number": number,
            "rows": len(table),
            "dropped": dropped,
            "ids": hash_strings(table["id"]),
            "encoder": self.told,
            "precision": self.embedding.precision,
            "dtype": self.embedding.dtype,
        }
        write_json(record_path(self.folder, number), content)

    def _texts(self, texts: Sequence[str]) -> np.ndarray:
        size = self.embedding.batch_size
        self.check_precision(partial(self.model.embed_texts, texts[:size]))
        return embed_texts(self.model, texts, size, self.what, self.embedding.short_texts)

    def check_precision(self, embed: Callable[[], np.ndarray]) -> None:
        """Refuse a precision in which these vectors are not those of float32."""
        if self.model.precision == "float32":
            return
        cosine = lowest_cosine(self.model, embed)
        if not cosine >= LOWEST_COSINE:
            raise InputError(
                f"{self.what}: a vector computed in {self.model.precision} has cosine {cosine:.6f} "
                f"to the one in float32, below {LOWEST_COSINE}; set embed.precision to float32"
            )


def _keys(table: pd.DataFrame, sides: Iterable[str]) -> list[str]:
    return [key for side in sides for key in table[side]]
