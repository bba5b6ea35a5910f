"""Picture shards: plain tar files of pictures, the layout that img2dataset writes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from isoenergy.data.colours import to_rgb
from isoenergy.errors import InputError
from isoenergy.files import is_visible, replacing, visible, write_parquet

if TYPE_CHECKING:
    import pandas as pd

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
# A picture of more pixels is refused before it is decoded (decompression bombs).
MAX_PIXELS = 64_000_000
# Why a picture cannot be used; more of such a reason may follow in brackets.
TOO_MANY_PIXELS = "picture has too many pixels"
ONE_PIXEL = "picture has a side of one pixel"
# Pictures per shard.
SHARD_ROWS = 2000


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode one RGB picture, ndarray of shape (height, width, 3), uint8, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def write_shard(path: str | Path, pictures: Iterable[tuple[str, bytes]], suffix: str) -> None:
    """Write one shard atomically; equal pictures give equal bytes.

    Parameters
    ----------
    path : path
        The tar file.
    pictures : iterable of (key, encoded picture)
        Keys are unique and hold no slash or dot.
    suffix : str
        File suffix of the encoding, e.g. ``".png"``; empty where every key ends in its own.
    """
    with (
        replacing(path) as temporary,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for key, content in pictures:
            member = tarfile.TarInfo(f"{key}{suffix}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def list_shards(folder: str | Path) -> list[Path]:
    """The shards of a folder in order.

    Raises
    ------
    InputError
        If there are none.
    """
    shards = visible(Path(folder).glob("*.tar"))
    if not shards:
        raise InputError(f"{folder} holds no picture shards (*.tar); run the data stage again")
    return shards


def read_pictures(
    folder: str | Path, keys: Collection[str] | None = None
) -> Iterator[tuple[str, bytes]]:
    """Pictures of a folder's shards in stored order, as (key, encoded picture).

    Members are read in place and never unpacked to disk; members that are not pictures
    (img2dataset's ``.txt`` and ``.json``) are passed over.

    Parameters
    ----------
    folder : path
    keys : collection of str, optional
        Read these alone, and no shard behind that of the last of them; a key that is not there is
        passed over. By default every picture is read.

    Raises
    ------
    InputError
        If a shard is truncated or is not a tar file.
    """
    waiting = None if keys is None else set(keys)
    for shard in list_shards(folder):
        if waiting is not None and not waiting:
            return
        with _opened(shard) as tar:
            for key, member in _members(tar):
                if waiting is not None:
                    if key not in waiting:
                        continue
                    waiting.remove(key)
                content = tar.extractfile(member)
                yield key, content.read() if content else b""


def broken_shard(shard: Path, why: object) -> InputError:
    """The error that a broken shard ends in."""
    return InputError(f"{shard} is broken ({why}); delete {shard.parent} and run again")


@contextmanager
def _opened(shard: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(shard, "r:") as tar:
            yield tar
    except tarfile.TarError as error:
        raise broken_shard(shard, error) from None


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """The pictures of a shard by key; at the end it is checked that the shard is whole."""
    for member in tar:
        name = Path(member.name)
        seen = member.isfile() and is_visible(name.name)
        if seen and name.suffix.lower() in PICTURE_SUFFIXES:
            yield name.stem, member
    _check_end(tar)


def locate_pictures(folder: str | Path) -> pd.DataFrame:
    """Where every picture of a folder's shards lies, so that it can be read without its shard.

    Only headers are read.

    Returns
    -------
    DataFrame
        ``key``, ``shard`` (name of the file), ``offset`` and ``size`` (bytes in it), in stored
        order.

    Raises
    ------
    InputError
        If a shard is broken, or two pictures have one key.
    """
    import pandas as pd

    rows = []
    for shard in list_shards(folder):
        with _opened(shard) as tar:
            rows += [
                (key, shard.name, member.offset_data, member.size) for key, member in _members(tar)
            ]
    places = pd.DataFrame(rows, columns=["key", "shard", "offset", "size"])
    twice = places["key"].duplicated()
    if twice.any():
        key = places["key"][twice].iloc[0]
        raise InputError(
            f"{folder} holds two pictures with the key {key}; delete {folder} and run again"
        )
    return places


def index_pictures(images: str | Path, index: str | Path) -> None:
    """Write where every picture lies, for the jobs that embed ranges of them.

    Parameters
    ----------
    images : path
        Folder of picture shards.
    index : path
        Parquet to write, see :func:`locate_pictures`.

    Raises
    ------
    InputError
        As :func:`locate_pictures`.
    """
    write_parquet(index, locate_pictures(images))


def _check_end(tar: tarfile.TarFile) -> None:
    """Refuse a tar file without its end mark: ``tarfile`` takes a broken header for the end."""
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("a header is missing or broken")


def decode_picture(content: bytes) -> Image.Image:
    """Decode one picture to RGB; the data stage leaves none with transparency.

    Raises
    ------
    InputError
        If it cannot be decoded, is larger than ``MAX_PIXELS``, has a side of one pixel, or has
        colours that :func:`isoenergy.data.colours.to_rgb` refuses.
    """
    try:
        picture = Image.open(io.BytesIO(content))
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise InputError(f"{TOO_MANY_PIXELS} ({width} x {height}, over {MAX_PIXELS})")
        if min(width, height) < 2:
            raise InputError(f"{ONE_PIXEL} ({width} x {height})")
        return to_rgb(picture)
    except InputError:
        raise
    except Exception as error:  # Pillow raises many kinds for broken files
        raise InputError(f"picture cannot be decoded ({type(error).__name__})") from None
