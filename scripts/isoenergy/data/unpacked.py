"""Files of folders and of the zip archives in them, read within limits and without unpacking."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from isoenergy.errors import InputError
from isoenergy.files import visible

# Why a file of a data set cannot be read.
ABSENT = "is not in the folder"
UNREADABLE = "cannot be read"
OUTSIDE = "lies outside the folder"
BROKEN = "is broken in its archive"
# Other methods make gigabytes of one block that is read.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
# The captions of COCO 2017 train take 91 MB.
_MOST_JSON = 2**30


class Unpacked:
    """Folders as if the zip archives that lie in them were unpacked there.

    Nothing of an archive is written to disk: no name in it can lead anywhere, COCO's 19 GB are not
    there twice, and what a file says of its size is not believed.

    Parameters
    ----------
    *folders : path
        One that has a file goes before those after it, and a file before one in an archive.
    """

    def __init__(self, *folders: str | Path):
        self.folders = [Path(folder) for folder in folders]
        self._roots = [folder.resolve() for folder in self.folders]
        self._archives: list[zipfile.ZipFile] | None = None

    def __enter__(self) -> Unpacked:
        return self

    def __exit__(self, *_: object) -> None:
        for archive in self._archives or ():
            archive.close()
        self._archives = None

    def __str__(self) -> str:
        return " and ".join(map(str, self.folders))

    def has(self, path: str) -> bool:
        """Whether a file is there; one that a path or a link leads out of the folders to is not.

        Raises
        ------
        InputError
            If an archive is broken.
        """
        if self._file(path) is not None:
            return True
        return self._is_inside(path) and self._member(path) is not None

    def read(self, path: str, most: int) -> bytes:
        """The bytes of one file.

        Parameters
        ----------
        path : str
            Below the folders, with slashes.
        most : int
            Bytes; a larger file is refused before it is in memory.

        Raises
        ------
        InputError
            Why it cannot be read.
        """
        file = self._file(path)
        if file is not None:
            try:
                with file.open("rb") as opened:
                    content = opened.read(most + 1)
            except OSError as error:
                raise InputError(f"{UNREADABLE} ({error.strerror})") from None
        else:
            content = self._read_member(path, most)
        if len(content) > most:
            raise InputError(f"is larger than {most} bytes")
        return content

    def read_json(self, path: str) -> Any:
        """Read one JSON file.

        Raises
        ------
        InputError
            If it is missing, too large, or no JSON.
        """
        try:
            return json.loads(self.read(path, _MOST_JSON))
        except InputError as error:
            raise InputError(f"{path} {error}: {self}") from None
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{path} of {self} is not valid JSON ({error}); copy or download it again"
            ) from None

    def _file(self, path: str) -> Path | None:
        for root in self._roots:
            file = _resolved(root, path)
            if file is not None and file.is_relative_to(root) and file.is_file():
                return file
        return None

    def _is_inside(self, path: str) -> bool:
        places = [_resolved(root, path) for root in self._roots]
        return any(
            place is None or place.is_relative_to(root)
            for place, root in zip(places, self._roots, strict=True)
        )

    def _read_member(self, path: str, most: int) -> bytes:
        if not self._is_inside(path):
            raise InputError(OUTSIDE)
        found = self._member(path)
        if found is None:
            raise InputError(ABSENT)
        archive, member = found
        if member.compress_type not in _METHODS or member.flag_bits & _ENCRYPTED:
            raise InputError(f"{BROKEN}, or encrypted or packed in a way that is not read")
        if member.file_size > most:
            raise InputError(f"is larger than {most} bytes")
        try:
            # No more is made of it than the archive says, whatever there is.
            with archive.open(member) as opened:
                return opened.read()
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError):
            raise InputError(BROKEN) from None

    def _member(self, path: str) -> tuple[zipfile.ZipFile, zipfile.ZipInfo] | None:
        """The first archive that has a file of this path, and the file's entry."""
        name = str(PurePosixPath(path))
        for archive in self._open():
            if name in archive.NameToInfo:
                return archive, archive.NameToInfo[name]
        return None

    def _open(self) -> list[zipfile.ZipFile]:
        if self._archives is None:
            paths = [path for root in self._roots for path in visible(root.glob("*.zip"))]
            self._archives = []
            for path in dict.fromkeys(paths):
                try:
                    self._archives.append(zipfile.ZipFile(path))
                except (zipfile.BadZipFile, OSError, ValueError) as error:
                    raise InputError(
                        f"{path} is no whole zip archive ({error}); copy or download it again"
                    ) from None
        return self._archives


def _resolved(root: Path, path: str) -> Path | None:
    """Where links lead; None for what no file can be: too long, with NUL, or links in a loop."""
    try:
        place = (root / path).resolve()
        place.is_file()
    except (OSError, ValueError, RuntimeError):
        return None
    return place
