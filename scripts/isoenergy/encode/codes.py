"""Sparse codes on disk: CSR arrays, memory-mapped, written once and read by every metric."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from isoenergy.errors import InputError
from isoenergy.files import growing_npy, open_npy, read_json, write_json

SIDES, SOURCE = ("image", "text"), "source"
Block = tuple[np.ndarray, np.ndarray, np.ndarray]
_DTYPES = {"values": np.float32, "indices": np.int32, "indptr": np.int64}
FILES = tuple(f"{side}_{part}.npy" for side in SIDES for part in _DTYPES)
# What the codes of edits have besides.
SOURCE_FILES = tuple(f"{SOURCE}_{part}.npy" for part in _DTYPES)
# Non-zeros of a block of codes.
BLOCK = 2**18
# Row pointers checked at a time.
_CHECKED = 2**20


class StoredCodes:
    """Codes whose three arrays stay on disk; rows are read as a csr_matrix when asked for.

    A csr_matrix of the same arrays would copy all row pointers, and from 2^31 non-zeros on every
    index as well.

    Parameters
    ----------
    data : ndarray of shape (nonzeros,), float32
    indices : ndarray of shape (nonzeros,), int32
    indptr : ndarray of shape (n + 1,), int64
        As of a csr_matrix; memory-mapped.
    n_atoms : int
        K.
    """

    def __init__(
        self, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, n_atoms: int
    ) -> None:
        self.data, self.indices, self.indptr = data, indices, indptr
        self.shape = (len(indptr) - 1, n_atoms)
        self.nnz = len(data)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> csr_matrix:
        """Codes of some rows, csr_matrix of shape (rows, K), in the order asked for.

        ``rows`` is a slice without a step, or row numbers from 0.
        """
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            pointers = np.asarray(self.indptr[start : max(start, stop) + 1])
            entries: slice | np.ndarray = slice(int(pointers[0]), int(pointers[-1]))
            pointers = pointers - pointers[0]
        else:
            starts = np.asarray(self.indptr[rows])
            counts = np.asarray(self.indptr[np.asarray(rows) + 1]) - starts
            pointers = np.concatenate([[0], np.cumsum(counts)])
            entries = np.repeat(starts - pointers[:-1], counts) + np.arange(pointers[-1])
        parts = (np.array(self.data[entries]), np.array(self.indices[entries]))
        return csr_matrix((*parts, pointers), shape=(len(pointers) - 1, self.shape[1]))


CodeRows = csr_matrix | StoredCodes


def row_blocks(*codes: CodeRows, entries: int = BLOCK) -> Iterator[slice]:
    """Consecutive rows, as many as have at most ``entries`` non-zeros in each of ``codes``.

    Parameters
    ----------
    codes : CodeRows of shape (n, K)
        Of the same n rows.
    entries : int
        A single row may have more.

    Yields
    ------
    slice
        The same for codes on disk and in memory, so that sums over blocks agree to the last bit.
    """
    start, n = 0, codes[0].shape[0]
    while start < n:
        ends = (
            int(np.searchsorted(side.indptr, int(side.indptr[start]) + entries, side="right")) - 1
            for side in codes
        )
        stop = min(max(min(ends), start + 1), n)
        yield slice(start, stop)
        start = stop


@dataclass(frozen=True)
class Codes:
    """Codes of every image and every text of a store; of edits, those of every triplet.

    Attributes
    ----------
    image, text : CodeRows of shape (n, K), float32
        A csr_matrix, or one on disk. Without stored zeros, indices ascending within a row. Of
        edits: the targets, and the means of the triplets' captions.
    ids : str
        Hash of the pairs' ids (see ``embed.store``), or "" where the store has none.
    checkpoint : str
        Hash of the SAE's weights, or "" where it is not known.
    source : CodeRows of shape (n, K), float32, optional
        Of edits: the source pictures.
    """

    image: CodeRows
    text: CodeRows
    ids: str
    checkpoint: str = ""
    source: CodeRows | None = None

    @property
    def n_atoms(self) -> int:
        """K."""
        return self.image.shape[1]

    @property
    def sides(self) -> tuple[str, ...]:
        """Names of the matrices that are there."""
        return SIDES if self.source is None else (*SIDES, SOURCE)

    def __len__(self) -> int:
        return self.image.shape[0]


def write_codes(path: str | Path, codes: Codes) -> None:
    """Write codes: ``path`` is ``codes.json``, which comes last; the arrays go beside it."""
    blocks = {}
    for side in codes.sides:
        matrix = getattr(codes, side)
        blocks[side] = [(matrix.data, matrix.indices, np.diff(matrix.indptr))]
    write_blocks(path, blocks, codes.n_atoms, codes.ids, codes.checkpoint)


def write_blocks(
    path: str | Path, sides: Mapping[str, Iterable[Block]], n_atoms: int, ids: str, checkpoint: str
) -> None:
    """Write codes that come in blocks of rows, of which one is in memory at a time.

    Parameters
    ----------
    path : path
        ``codes.json``, which comes last; the arrays go beside it.
    sides : mapping of str to iterable of (values, indices, counts)
        Non-zeros of consecutive rows, their atoms, and how many each row has.
    n_atoms : int
        K.
    ids, checkpoint : str
        See :class:`Codes`.
    """
    folder, rows, nonzeros = Path(path).parent, 0, {}
    for side, blocks in sides.items():
        rows, nonzeros[side] = 0, 0
        with ExitStack() as stack:
            values, indices, indptr = (
                stack.enter_context(growing_npy(folder / f"{side}_{part}.npy", dtype))
                for part, dtype in _DTYPES.items()
            )
            indptr(np.zeros(1))
            for found, atoms, counts in blocks:
                values(found)
                indices(atoms)
                indptr(nonzeros[side] + np.cumsum(counts, dtype=np.int64))
                nonzeros[side] += len(found)
                rows += len(counts)
    write_json(
        path,
        {
            "rows": rows,
            "n_atoms": n_atoms,
            "nonzeros": nonzeros,
            "ids": ids,
            "checkpoint": checkpoint,
        },
    )


def open_codes(path: str | Path) -> Codes:
    """Open codes, which stay on disk (:class:`StoredCodes`); ``path`` is ``codes.json``.

    Raises
    ------
    InputError
        If a file is missing or truncated, or they do not belong together; says which to delete.
    """
    folder = Path(path).parent
    told = read_json(path)
    try:
        shape, ids = (int(told["rows"]), int(told["n_atoms"])), told["ids"]
        checkpoint = told["checkpoint"]
        sides = (*SIDES, SOURCE) if SOURCE in told["nonzeros"] else SIDES
        counts = {side: int(told["nonzeros"][side]) for side in sides}
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path} does not describe codes; delete it and run again") from None
    matrices = {}
    for side in sides:
        parts = [open_npy(folder / f"{side}_{part}.npy") for part in _DTYPES]
        if not _belong(*parts, shape, counts[side]):
            raise InputError(
                f"{folder}: the {side} codes do not match codes.json; delete {path} and run again"
            )
        matrices[side] = StoredCodes(*parts, shape[1])
    return Codes(**matrices, ids=ids, checkpoint=checkpoint)


def _belong(
    values: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    shape: tuple[int, int],
    nonzeros: int,
) -> bool:
    """Whether three arrays are one CSR matrix of that shape; scipy would read past a wrong one."""
    found = [(part.dtype, part.shape) for part in (values, indices, indptr)]
    lengths = (nonzeros, nonzeros, shape[0] + 1)
    wanted = [(dtype, (n,)) for dtype, n in zip(_DTYPES.values(), lengths, strict=True)]
    if found != wanted:
        return False
    if indptr[0] != 0 or indptr[-1] != nonzeros:
        return False
    for start in range(0, len(indptr), _CHECKED):
        if (np.diff(indptr[start : start + _CHECKED + 1]) < 0).any():
            return False
    return nonzeros == 0 or (indices.min() >= 0 and indices.max() < shape[1])
