"""Conda packages, written file by file, and the index of the channel that they lie in."""

import hashlib
import io
import json
import stat
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import zstandard

SUBDIR = "linux-64"


class Package:
    """A ``.conda`` file that is being written: a context, at whose end it is whole.

    Parameters
    ----------
    channel : path
    name, version : str
    depends : iterable of str
        Specifications of other packages.
    """

    def __init__(self, channel: Path, name: str, version: str, depends: Iterable[str] = ()) -> None:
        self._stem = f"{name}-{version}-0"
        self._path = channel / SUBDIR / f"{self._stem}.conda"
        self._paths: list[dict] = []
        self._index = {
            "name": name,
            "version": version,
            "build": "0",
            "build_number": 0,
            "depends": list(depends),
            "subdir": SUBDIR,
            "platform": "linux",
            "arch": "x86_64",
        }

    def __enter__(self) -> "Package":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._zip = zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED)
        self._zip.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
        self._member = self._zip.open(f"pkg-{self._stem}.tar.zst", "w", force_zip64=True)
        self._stream = zstandard.ZstdCompressor(1, threads=-1).stream_writer(self._member)
        self._tar = tarfile.open(fileobj=self._stream, mode="w|", format=tarfile.PAX_FORMAT)
        return self

    def add(self, path: str, content: bytes, executable: bool = False) -> None:
        """Add a file at a path below the environment."""
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode = len(content), 0o755 if executable else 0o644
        self._tar.addfile(entry, io.BytesIO(content))
        self._note(path, "hardlink", content)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        entry = tarfile.TarInfo(path)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(entry)
        self._note(path, "softlink", b"")

    def add_file(self, path: str, source: Path) -> None:
        """Add a file of this machine as it is, a link as what it leads to."""
        mode = source.stat().st_mode
        self.add(path, source.read_bytes(), bool(mode & stat.S_IXUSR))

    def _note(self, path: str, kind: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        told = {"_path": path, "path_type": kind, "sha256": digest, "size_in_bytes": len(content)}
        self._paths.append(told)

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self._tar.close()
        self._stream.close()
        self._member.close()
        if kind is None:
            files = "".join(f"{entry['_path']}\n" for entry in self._paths)
            info = {
                "info/index.json": json.dumps(self._index),
                "info/paths.json": json.dumps({"paths": self._paths, "paths_version": 1}),
                "info/files": files,
                "info/about.json": "{}",
            }
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as tar:
                for path, text in info.items():
                    entry = tarfile.TarInfo(path)
                    entry.size = len(text.encode())
                    tar.addfile(entry, io.BytesIO(text.encode()))
            packed = zstandard.ZstdCompressor().compress(buffer.getvalue())
            self._zip.writestr(f"info-{self._stem}.tar.zst", packed)
        self._zip.close()
        if kind is not None:
            self._path.unlink()


def write_index(channel: Path) -> int:
    """Write ``repodata.json`` of a channel, and return how many packages it has."""
    packages = {}
    for path in sorted((channel / SUBDIR).glob("*.conda")):
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.startswith("info-"))
            unpacked = zstandard.ZstdDecompressor().decompress(archive.read(name))
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
            record = json.load(tar.extractfile("info/index.json"))
        for algorithm in ("md5", "sha256"):
            with path.open("rb") as file:
                record[algorithm] = hashlib.file_digest(file, algorithm).hexdigest()
        packages[path.name] = {**record, "size": path.stat().st_size}
    for subdir, found in ((SUBDIR, packages), ("noarch", {})):
        told = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": found, "removed": []}
        place = channel / subdir / "repodata.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({**told, "repodata_version": 1}))
    return len(packages)
