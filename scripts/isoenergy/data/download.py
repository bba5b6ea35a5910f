"""Download the files that data sets are published as, going on where an earlier try stopped."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from isoenergy.data import guard
from isoenergy.data.fetch import CUT_OFF, may_pass, reason_of
from isoenergy.errors import InputError
from isoenergy.files import write_json
from isoenergy.progress import Progress

DIFFERS = "is not the file that is published (another digest)"
# Bytes a second; a server that is slower on the whole is given up, and what it sent is kept.
SLOWEST = 200_000
# How long preflight waits for an answer.
ASKED_SECONDS = 4.0
_CHUNK = 2**20
# Of a response, beside the file.
_HEADERS = 2**16
_FAILURES = (OSError, HTTPException, ValueError)


@dataclass(frozen=True)
class Downloading:
    """How files are downloaded.

    Attributes
    ----------
    timeout : int
        Seconds without a byte after which a try ends.
    shard_seconds : float
        Longest time for a file; a large one has longer, see ``SLOWEST``.
    retries : int
        Further tries in a row that bring nothing.
    pause : float
        Seconds before the first of these; each later pause is twice as long.
    private_addresses : bool
        Allow loopback, private and link-local addresses.
    """

    timeout: int
    shard_seconds: float
    retries: int
    pause: float
    private_addresses: bool


def download_file(
    path: str | Path,
    urls: Sequence[str],
    size: int,
    digest: str | None,
    downloading: Downloading,
) -> None:
    """Download one file, from the first address that gives it.

    What has arrived stays beside ``path`` as ``.NAME.part`` until the file is whole and checked; a
    try, or a job that was killed, goes on behind it where the server can and has the same file.

    Parameters
    ----------
    path : path
        File to write.
    urls : sequence of str
        Addresses of http or https, asked in this order; proxies are not used.
    size : int
        Bytes; of a file without a digest the most it may have.
    digest : str or None
        ``sha256:`` or ``md5:`` and hexadecimal digits, where one is published.
    downloading : Downloading

    Raises
    ------
    InputError
        Which address failed why, and what to do.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    end = time.time() + max(downloading.shard_seconds, size / SLOWEST)
    told: dict[str, str] = {}
    failures = 0
    with Progress(f"download {path.name}", size, "bytes", _length(part)) as bar:
        while failures <= downloading.retries and time.time() < end:
            if failures:
                pause = downloading.pause * 2 ** (failures - 1)
                time.sleep(max(0.0, min(pause, end - time.time())))
            before = _length(part)
            asked = [url for url in urls if url not in told or may_pass(told[url])]
            if not asked:
                break
            for url in asked:
                try:
                    start = _fetch(url, part, size, digest, downloading, end, bar)
                except _FAILURES as error:
                    told[url] = reason_of(str(error))
                    continue
                if _is_right(part, digest):
                    part.replace(path)
                    _state(part).unlink(missing_ok=True)
                    return
                part.unlink()
                # What was there before may be what is wrong.
                told[url] = CUT_OFF if start else DIFFERS
            failures = 0 if _length(part) > before else failures + 1
    reasons = "; ".join(f"{url}: {why}" for url, why in told.items())
    raise InputError(
        f"{path.name} cannot be downloaded ({reasons}); run again to go on, or get the data set by "
        "other means and name its folder under the key folders"
    )


def own_address(server: str | None, source: str, file: str) -> str | None:
    """Where a server of the user's own has a file; None without one."""
    return f"{server.rstrip('/')}/{source}/{file}" if server else None


def why_not(urls: Sequence[str], private_addresses: bool) -> str | None:
    """Ask addresses for a file without taking it; None where one has it, else why not.

    Parameters
    ----------
    urls : sequence of str
    private_addresses : bool
    """
    told = []
    for url in urls:
        limits = guard.Limits(
            ASKED_SECONDS, time.time() + ASKED_SECONDS, _HEADERS, private_addresses
        )
        try:
            request = urllib.request.Request(url, method="HEAD")
            with guard.build_opener(limits).open(request, timeout=ASKED_SECONDS):
                return None
        except _FAILURES as error:
            told.append(f"{url}: {reason_of(str(error))}")
    return "; ".join(told)


def _fetch(
    url: str,
    part: Path,
    size: int,
    digest: str | None,
    downloading: Downloading,
    end: float,
    bar: Progress,
) -> int:
    """Append to what has arrived, or start over where that is not the same file; where it began."""
    start, validator = _resumable(url, part, digest)
    # A server may give all of it again, and in chunks that have headers too.
    most = size + size // 100 + _HEADERS
    limits = guard.Limits(end - time.time(), end, most, downloading.private_addresses)
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        if validator:
            request.add_header("If-Range", validator)
    try:
        response = guard.build_opener(limits).open(request, timeout=downloading.timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and _total(error.headers) == start:
            return start
        if error.code == 416:
            part.unlink(missing_ok=True)
        raise
    with response:
        if response.status == 206 and _first(response) != start:
            part.unlink(missing_ok=True)
            raise OSError("IncompleteRead: another part than was asked for")
        if response.status != 206:
            start = 0
            headers = response.headers
            tag = headers.get("ETag", "")
            told = headers.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag
            write_json(_state(part), {"url": url, "validator": told})
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            bar.done = start
            _take(response, file, size - start, bar)
            file.flush()
            os.fsync(file.fileno())
    return start


def _take(response: HTTPResponse, file, most: int, bar: Progress) -> None:
    """Copy a body to a file as it arrives, and say if it ends early or goes on too long."""
    announced, taken = response.length, 0
    while chunk := response.read1(_CHUNK):
        taken += len(chunk)
        if taken > most:
            raise guard.RefusedError(guard.TOO_LARGE)
        file.write(chunk)
        bar.step(len(chunk))
    if announced is not None and taken < announced:
        raise OSError(f"IncompleteRead: {taken} of {announced} bytes")


def _resumable(url: str, part: Path, digest: str | None) -> tuple[int, str]:
    """Bytes that need not be asked for again, and what the server calls that state of the file."""
    try:
        state = json.loads(_state(part).read_text(encoding="utf-8"))
        validator = str(state["validator"]) if state["url"] == url else ""
    except (OSError, ValueError, KeyError, TypeError):
        return 0, ""
    # Without either nothing would tell a file that was changed in between.
    return (_length(part), validator) if validator or digest else (0, "")


def _is_right(part: Path, digest: str | None) -> bool:
    if digest is None:
        return True
    name, _, wanted = digest.partition(":")
    with part.open("rb") as file:
        return hashlib.file_digest(file, name).hexdigest() == wanted


def _state(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _first(response: HTTPResponse) -> int:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _total(headers) -> int:
    found = re.fullmatch(r"bytes \*/(\d+)", headers.get("Content-Range", ""))
    return int(found[1]) if found else -1
