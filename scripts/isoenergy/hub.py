"""What the model hub says of a checkpoint or data set, asked before anything is downloaded."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from isoenergy.files import visible

HUB = "https://huggingface.co"
TIMEOUT_SECONDS = 4.0
# What is read of an answer; a data set is described file by file.
_MOST_BYTES = 2**24
# Weights, configs and the tables of tokenizers.
_LOADED = (".safetensors", ".json", ".txt", ".model")
State = Literal["present", "open", "gated", "absent", "silent", "untold", "nameless"]


@dataclass(frozen=True)
class Checkpoint:
    """What is known of a checkpoint.

    Attributes
    ----------
    state : {"present", "open", "gated", "absent", "silent", "untold", "nameless"}
        On this machine; on the hub for everyone, or for those who were let in alone; not on the
        hub; the hub does not answer; it is a tag, which open_clip alone can place; or neither a
        folder nor a name that the hub could have.
    size : int or None
        Bytes of its weights, where the hub tells.
    """

    state: State
    size: int | None = None


def look_up(checkpoint: str, revision: str | None, file: str = "config.json") -> Checkpoint:
    """Ask for a checkpoint: this machine first, then the hub (``HF_ENDPOINT``).

    Parameters
    ----------
    checkpoint : str
        Name on the hub, or a folder.
    revision : str or None
        None is ``main``.
    file : str
        The file that every checkpoint of its family has.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if ":" in checkpoint:
        return Checkpoint("untold")
    if Path(checkpoint).is_dir():
        return Checkpoint("present")
    try:
        cached = try_to_load_from_cache(checkpoint, file, revision=revision)
    except HFValidationError:
        return Checkpoint("nameless")
    if isinstance(cached, str):
        return Checkpoint("present")
    if is_offline():
        return Checkpoint("silent")
    where = f"{os.environ.get('HF_ENDPOINT', HUB).rstrip('/')}/{checkpoint}"
    where += f"/resolve/{revision or 'main'}"
    status, headers = _head(f"{where}/{file}")
    state = _state(status, headers)
    if state != "open":
        return Checkpoint(state)
    status, headers = _head(f"{where}/model.safetensors")
    size = headers.get("X-Linked-Size") or (headers.get("Content-Length") if status == 200 else "")
    return Checkpoint("open", int(size) if size and size.isdigit() else None)


def checkpoint_files(folder: str | Path) -> list[Path]:
    """Every file that an encoder may be loaded from, so that a change is noticed.

    Parameters
    ----------
    folder : path
        It need not be one: a name on the hub has no files here.
    """
    paths = visible(Path(folder).glob("*"))
    return [path for path in paths if path.suffix in _LOADED and path.is_file()]


def look_up_dataset(name: str) -> Checkpoint:
    """Ask the hub for a data set, whose parquet files are read there.

    Parameters
    ----------
    name : str
    """
    if is_offline():
        return Checkpoint("silent")
    hub = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    status, headers, told = _ask(f"{hub}/api/datasets/{name}", "GET")
    state = _state(status, headers)
    if state != "open" or 300 <= status < 400:  # it has another name now, and can be read by both
        return Checkpoint(state)
    try:
        described = json.loads(told)
        files = [file["rfilename"] for file in described["siblings"]]
        gated = described.get("gated", False)
    except (ValueError, TypeError, KeyError):
        return Checkpoint("silent")
    parquet = sorted(file for file in files if file.endswith(".parquet"))
    if not parquet:
        return Checkpoint("absent")
    if not gated:
        return Checkpoint("open")
    # A gated one is described to everyone; its files are given to those who were let in.
    status, headers = _head(f"{hub}/datasets/{name}/resolve/main/{quote(parquet[0])}")
    return Checkpoint(_state(status, headers))


def is_offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` says that the hub is not to be asked."""
    return os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON")


def _state(status: int | None, headers: Any) -> State:
    if status is None or status >= 500:
        return "silent"
    if status < 400:
        return "open"
    # The hub answers 401 for what does not exist too, and tells which it is in a header.
    if status in (401, 403) and headers.get("X-Error-Code") != "RepoNotFound":
        return "gated"
    return "absent"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A file that lies elsewhere is there; who is logged in must not be told to another host."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def _head(url: str) -> tuple[int | None, Any]:
    """Status and headers; no status where nothing answers in time."""
    return _ask(url, "HEAD")[:2]


def _ask(url: str, method: str) -> tuple[int | None, Any, bytes]:
    """Status, headers and the beginning of the body."""
    from huggingface_hub.utils import build_hf_headers

    opener = urllib.request.build_opener(_NoRedirect)
    try:
        request = urllib.request.Request(url, method=method, headers=build_hf_headers())
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, answer.headers, answer.read(_MOST_BYTES)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, b""
    except (OSError, ValueError, HTTPException):
        return None, {}, b""
