"""What pairs of embeddings hold as a whole: whether numbers made of them would mean anything."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from isoenergy.embed.rows import CHECKED, NORM_TOLERANCE, SCALE, Rows, check_values
from isoenergy.errors import InputError

# Rows are called equal where they are nearer than float16 keeps them.
_EQUAL = NORM_TOLERANCE
# Of five captions of a picture every fifth picture differs; fewer than these are worth a word.
_FEW_DISTINCT = 0.1
# Bits of float16's other zero.
_NEGATIVE_ZERO = 0x8000
# A share of rows that are where they should not be, from which on it is said.
_MANY = 0.01


def scan(
    image: Rows,
    text: Rows,
    beside: tuple[Rows, Rows] | None = None,
    name: str = "",
    scale: str = SCALE,
) -> list[str]:
    """Read all pairs, refuse rows that are none and pairs that mean nothing.

    Parameters
    ----------
    image, text : Rows of shape (n, dim)
    beside : tuple of two Rows, optional
        Images and texts that SAEs are trained on, where these are others.
    name : str
        What those are called.
    scale : str
        How rows are scaled, for messages.

    Returns
    -------
    list of str
        What makes numbers doubtful, a sentence each: few rows that differ, repeated pairs, images
        among the texts, pairs of the others among these.

    Raises
    ------
    InputError
        If a row is not finite or not of unit norm, or all rows of a side are equal, images and
        texts are the same rows, or the pairs are those of ``beside``.
    """
    contents = Contents(image, text)
    for start, *sides in _blocks(image, text):
        contents.add(start, *sides, scale)
    notes = contents.notes()
    if beside is not None:
        others = np.concatenate([_pairs(*sides) for _, *sides in _blocks(*beside)])
        notes += _overlap(image.where, contents.pairs(), others, name)
    return notes


def peek(image: Rows, text: Rows, beside: tuple[Rows, Rows] | None, name: str) -> list[str]:
    """As :func:`scan`, but of a store of many rows the first ones alone, and those of no other."""
    if len(image) > CHECKED:
        for rows in (image, text):
            check_values(rows.where, 0, rows[:CHECKED])
        return []
    return scan(image, text, beside if beside and len(beside[0]) <= CHECKED else None, name)


class Contents:
    """Counts over pairs, block by block.

    Parameters
    ----------
    image, text : Rows of shape (n, dim)
    """

    def __init__(self, image: Rows, text: Rows) -> None:
        self._sides = image, text
        self._first = [rows[:1] for rows in self._sides]
        self._alike = [True, True]
        self._twins = 0
        self._hashes: list[list[np.ndarray]] = [[], []]

    def add(self, start: int, image: np.ndarray, text: np.ndarray, scale: str) -> None:
        """Check and count pairs from row ``start`` on; both of shape (m, dim), float32."""
        for side, values in enumerate((image, text)):
            check_values(self._sides[side].where, start, values, scale)
            self._alike[side] = self._alike[side] and bool(_near(values, self._first[side]).all())
            self._hashes[side].append(_hash(values))
        self._twins += int(_near(image, text).sum())

    def pairs(self) -> np.ndarray:
        """A number for every pair, equal for equal ones, shape (n,), uint64."""
        return _joined(*map(np.concatenate, self._hashes))

    def notes(self) -> list[str]:
        """What is doubtful about all that was added, see :func:`scan`."""
        image, text = (rows.where for rows in self._sides)
        n = len(self._sides[0])
        for rows, alike in zip(self._sides, self._alike, strict=True):
            if alike:
                raise InputError(
                    f"{rows.where}: all {n} rows are equal, so that nothing can be learnt from "
                    "them; embed again"
                )
        images, texts = map(np.concatenate, self._hashes)
        within = max(self._twins, int(np.isin(texts, images).sum()))
        if within == n:
            raise InputError(
                f"{text} holds the same rows as {image}, and texts are to be texts; put the "
                "embeddings of the texts there"
            )
        notes = []
        if within > _MANY * n:
            notes.append(f"{within:,} of the {n:,} rows of {text} are rows of {image} too")
        for where, hashes in ((image, images), (text, texts)):
            distinct = len(np.unique(hashes))
            if distinct < _FEW_DISTINCT * n:
                notes.append(f"only {distinct:,} of the {n:,} rows of {where} differ")
        repeated = n - len(np.unique(self.pairs()))
        if repeated > _MANY * n:
            notes.append(f"{repeated:,} of the {n:,} pairs of {image} repeat others")
        return notes


def _overlap(where: str, own: np.ndarray, others: np.ndarray, name: str) -> list[str]:
    shared = int(np.isin(own, others).sum())
    if shared == len(own) and np.isin(others, own).all():
        raise InputError(
            f"{where} and its texts hold the same pairs as {name}, on which SAEs are trained; a "
            "second store is to hold others"
        )
    if shared > _MANY * len(own):
        return [f"{shared:,} of the {len(own):,} pairs of {where} are pairs of {name} too"]
    return []


def _blocks(image: Rows, text: Rows) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    for (start, images), (_, texts) in zip(
        image.blocks(CHECKED), text.blocks(CHECKED), strict=True
    ):
        yield start, images, texts


def _near(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.linalg.norm(values - others, axis=1) <= _EQUAL


def _pairs(image: np.ndarray, text: np.ndarray) -> np.ndarray:
    return _joined(_hash(image), _hash(text))


def _joined(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    return _mixed(images) + np.uint64(3) * texts


def _hash(values: np.ndarray) -> np.ndarray:
    """A number for every row, equal for rows that are equal as float16; shape (n,), uint64."""
    with np.errstate(over="ignore"):
        bits = np.pad(
            values.astype(np.float16).view(np.uint16), ((0, 0), (0, -values.shape[1] % 4))
        )
    bits[bits == _NEGATIVE_ZERO] = 0
    words = bits.view(np.uint64)
    drawn = np.random.default_rng(0).integers(2**64, size=words.shape[1], dtype=np.uint64)
    return _mixed(words * (drawn | np.uint64(1))).sum(axis=1, dtype=np.uint64)


def _mixed(words: np.ndarray) -> np.ndarray:
    return words ^ (words >> np.uint64(32))
