"""Where the arrays of a store lie: in parts, as clip-retrieval has them, or in two plain files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import pairwise
from operator import eq
from pathlib import Path

from isoenergy.errors import InputError
from isoenergy.files import check_file, visible

ARRAYS = {"image": "img_emb", "text": "text_emb", "source": "source_emb"}
PLAIN = {"image": "image.npy", "text": "text.npy"}
# Class vectors of labelled classes.
CLASSES = "classes.npy"
ALLOWED = (
    "a store holds img_emb/img_emb_0000.npy and text_emb/text_emb_0000.npy, or two plain files "
    "image.npy and text.npy"
)
# How many names of files a message lists.
_LISTED = 5
_MEND = "copy the part that is missing, or number the parts one after another"


def find_arrays(folder: Path) -> dict[str, list[Path]]:
    """The files of every array of a store, in the order of their numbers.

    Files whose names begin with a dot are passed over.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict of {"image", "text", "source"} to list of Path
        ``source`` only where there is such a folder.

    Raises
    ------
    InputError
        If an array is missing or no regular file, if both layouts are there, if a file is named
        almost as a part, if one part is there in two spellings, or if images and texts are in as
        many parts but under other numbers.
    """
    parts = {name: _parts(folder / prefix, prefix) for name, prefix in ARRAYS.items()}
    plain = {n: folder / file for n, file in PLAIN.items() if os.path.lexists(folder / file)}
    in_parts = [name for name in PLAIN if parts[name]]
    if plain and in_parts:
        raise InputError(
            f"{folder} has {PLAIN[next(iter(plain))]} and {ARRAYS[in_parts[0]]}/; keep one of both"
        )
    for name in PLAIN:
        if name not in plain and not parts[name]:
            missing = PLAIN[name] if plain else f"{ARRAYS[name]}/{ARRAYS[name]}_*.npy"
            raise InputError(f"{folder} has no {missing}{_told(folder)}; {ALLOWED}")
    if (folder / ARRAYS["source"]).is_dir() and not parts["source"]:
        raise InputError(f"{folder} has no {ARRAYS['source']}/{ARRAYS['source']}_*.npy")
    found = {name: [path] for name, path in plain.items()} or {
        name: paths for name, paths in parts.items() if paths
    }
    for path in (path for paths in found.values() for path in paths):
        check_file(path)
    if not plain:
        _check_matching(found["image"], found["text"])
    return found


def find_metadata(folder: Path) -> list[Path]:
    """The parquet files of a store's metadata in the order of their numbers; none without any.

    Raises
    ------
    InputError
        If one is no regular file, is there in two spellings, or is named almost as a part.
    """
    inside = visible(_folder(folder / "metadata").glob("*"))
    found = [path for path in inside if path.suffix == ".parquet"]
    _check_others(inside, found, ".parquet", "metadata_0000.parquet")
    paths = sorted(found, key=lambda path: (_numbers(path), path.name))
    for path in paths:
        check_file(path)
    _check_spellings(paths)
    return paths


def check_numbering(paths: Sequence[Path], rows: Sequence[int]) -> None:
    """Refuse parts between which one is missing, by their numbers.

    Parameters
    ----------
    paths : sequence of Path
        Parts of one array in the order of their numbers.
    rows : sequence of int
        Rows of each.

    Raises
    ------
    InputError
        If the parts are numbered neither one after another, from any number on, nor by their first
        rows from 0 on.
    """
    numbers = [number for path in paths if (number := part_number(path)) is not None]
    if len(numbers) < len(paths):
        return
    steps = [after - before for before, after in pairwise(numbers)]
    by_rows = sum(map(eq, steps, rows)) > steps.count(1)
    for step, n, (path, further) in zip(steps, rows, pairwise(paths), strict=False):
        if step != (n if by_rows else 1):
            raise InputError(
                f"{path} is followed by {further.name}; a part between them is missing: {_MEND}"
            )
    if by_rows and numbers[0]:
        raise InputError(
            f"{paths[0]} begins with row {numbers[0]}, as parts are numbered by their first rows; "
            f"what comes before it is missing: {_MEND}"
        )


def part_number(path: Path) -> int | None:
    """The number of a part of an array or of metadata; None of what is not named as a part."""
    found = re.fullmatch(rf"(?:{'|'.join(ARRAYS.values())}|metadata)_([0-9]+)", path.stem)
    return int(found[1]) if found else None


def store_files(folder: str | Path) -> list[Path]:
    """Every file of a store, so that a change can be noticed; others in its folder are left out."""
    folder = Path(folder)
    names = [f"{prefix}/*.npy" for prefix in ARRAYS.values()]
    names += [*PLAIN.values(), CLASSES, "metadata/*.parquet"]
    paths = visible(path for name in names for path in folder.glob(name) if path.is_file())
    return sorted(paths)


def _parts(folder: Path, prefix: str) -> list[Path]:
    """Parts of one array, part 10 after part 9."""
    inside = visible(_folder(folder).glob("*"))
    paths = [path for path in inside if re.fullmatch(rf"{prefix}_[0-9]+\.npy", path.name)]
    _check_others(inside, paths, ".npy", f"{prefix}_0000.npy")
    paths.sort(key=_numbers)
    _check_spellings(paths)
    return paths


def _check_others(inside: Sequence[Path], paths: Sequence[Path], suffix: str, example: str) -> None:
    """Refuse what is almost a part of the files found: its pairs would be left out in silence.

    What lies beside a part, such as its checksum, has its name and a further ending.
    """
    known = {path.stem for path in paths}
    numbered = re.compile(rf"{example.split('_0000')[0]}\D*[0-9]")
    for path in inside:
        name = path.name.lower()
        almost = ".np" in name or suffix in name or (numbered.match(name) and not path.is_dir())
        if path in paths or not almost:
            continue
        if name.endswith(suffix) or path.name.split(".")[0] not in known:
            raise InputError(
                f"{path} is not named as a part, which is {example} with a number of its own; "
                "make it one (rename, unpack or convert it, or copy all of it), or move it out of "
                "the folder"
            )


def _folder(path: Path) -> Path:
    """A folder that need not be there, and is nothing else."""
    if os.path.lexists(path) and not path.is_dir():
        if path.exists():
            raise InputError(f"{path} is a file, and a folder of parts is needed; move it there")
        raise InputError(
            f"{path} is a link to {path.readlink()}, which does not exist; link it to the folder"
        )
    return path


def _numbers(path: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"[0-9]+", path.stem)]


def _check_spellings(paths: Sequence[Path]) -> None:
    known: dict[str, Path] = {}
    for path in paths:
        name = re.sub(r"[0-9]+", lambda digits: str(int(digits[0])), path.stem)
        other = known.setdefault(name, path)
        if other != path:
            raise InputError(
                f"{other} and {path.name} are one part in two spellings, and its pairs would "
                "count twice; delete one of them, or give it the next number"
            )


def _check_matching(images: Sequence[Path], texts: Sequence[Path]) -> None:
    if len(images) != len(texts):
        return  # cut otherwise, which is allowed; their rows are counted
    for image, text in zip(images, texts, strict=True):
        if part_number(image) != part_number(text):
            raise InputError(
                f"{image} and {text.name} have the same place among their parts but not the same "
                "number; a part is missing, copy or make it again"
            )


def _told(folder: Path) -> str:
    """What arrays a folder has instead, for messages."""
    paths = visible(path for pattern in ("*.np[yz]", "*/*.np[yz]") for path in folder.glob(pattern))
    found = sorted(str(path.relative_to(folder)) for path in paths)
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f" (it has {', '.join(found[:_LISTED])}{more})" if found else ""
