"""Fetch the pictures of a range of links with img2dataset, and say what became of every one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from isoenergy.data import guard
from isoenergy.data.colours import WHITE
from isoenergy.data.normal import normal_picture
from isoenergy.data.pairs import OK
from isoenergy.data.shards import broken_shard, write_shard
from isoenergy.errors import InputError
from isoenergy.files import hash_strings, read_parquet, write_json, write_parquet
from isoenergy.progress import Progress

TOO_LATE = "shard ran out of time"
NO_ANSWER = "no connection"
TIMED_OUT = "timed out"
CUT_OFF = "connection was cut off"
OTHER = "fetching failed"
NOT_A_URL = "not a http or https URL"
# What img2dataset and the guard say, and the reason in a word; the first that is found counts.
_REASONS = (
    (guard.TOO_LATE, TOO_LATE),
    (guard.TOO_SLOW, "took too long"),
    (guard.TOO_LARGE, "too many bytes"),
    (guard.FORBIDDEN, "address is not public"),
    ("X-Robots-Tag", "opted out (X-Robots-Tag)"),
    ("infinite loop", "redirects in a loop"),
    ("unknown url type", "redirected to no http or https URL"),
    ("not allowed", "redirected to no http or https URL"),
    ("timed out", TIMED_OUT),
    ("IncompleteRead", CUT_OFF),
    ("closed connection", CUT_OFF),
    ("Connection reset", CUT_OFF),
    ("CERTIFICATE_VERIFY_FAILED", "certificate is not valid"),
    ("urlopen error", NO_ANSWER),
)
# Reasons that may be gone a while later; the others are final.
_PASSING = (NO_ANSWER, TIMED_OUT, CUT_OFF, TOO_LATE, "HTTP 429")
# After its end img2dataset has this long to write down what it has before it is killed.
_GRACE_SECONDS = 60.0
# img2dataset's own shards: what is lost when a job is killed.
_BATCH = 1000
# What `make download-env` makes.
_OWN = Path(__file__).resolve().parents[3] / ".venv-download/bin/python"
_COLUMNS = ("id", "url", "image", "status", "sha256", "caption")


@dataclass(frozen=True)
class Fetching:
    """How pictures are fetched.

    Attributes
    ----------
    python : str or None
        Python of an environment with img2dataset; None looks for it, see :func:`find_python`.
    threads : int
        Fetches at a time.
    timeout : int
        Seconds without a byte after which a picture is given up.
    picture_seconds, shard_seconds : float
        Longest time for a picture, and for all of a range.
    retries : int
        Further rounds for what failed for a reason that may pass.
    pause : float
        Seconds before the first of these; each later pause is twice as long.
    max_bytes : int
        Largest file of a picture.
    side : int
        A longer shorter side is reduced to this, in pixels.
    private_addresses : bool
        Allow loopback, private and link-local addresses.
    agent : str or None
        Name that robots rules may address, part of the user agent.
    """

    python: str | None
    threads: int
    timeout: int
    picture_seconds: float
    shard_seconds: float
    retries: int
    pause: float
    max_bytes: int
    side: int
    private_addresses: bool
    agent: str | None


def fetch_range(
    links: str | Path,
    shard: str | Path,
    table: str | Path,
    work: str | Path,
    start: int,
    rows: int,
    fetching: Fetching,
    transparency: str = WHITE,
) -> None:
    """Fetch the pictures of some rows of a list of links into one shard.

    Each different URL is fetched once. A picture that fails is absent from the shard, and the
    table says why; nothing stands in for it. Killed and started again, it goes on where it was.

    Parameters
    ----------
    links : path
        Parquet with the text columns ``id``, ``url`` and ``caption``.
    shard : path
        Tar file of pictures to write; its keys are numbers of rows in ``links``.
    table : path
        Parquet to write, a row for each link of the range: ``id``, ``url``, ``image`` (key of its
        picture), ``status`` (``"ok"`` or the reason), ``sha256`` (of the bytes fetched, or empty)
        and ``caption``.
    work : path
        Folder for what is half done, removed at the end.
    start, rows : int
        The range; it may reach behind the end of the list.
    fetching : Fetching
    transparency : {"white", "drop"}
        See :func:`isoenergy.data.colours.to_rgb`.

    Raises
    ------
    InputError
        If img2dataset is not in the environment, or fails without fetching anything.
    """
    wanted = read_parquet(links, ["id", "url", "caption"]).iloc[start : start + rows]
    wanted = wanted.assign(row=range(start, start + len(wanted)))
    firsts = wanted.drop_duplicates("url")
    told = {url: NOT_A_URL for url in firsts["url"] if not _is_web(url)}
    end = time.time() + fetching.shard_seconds
    # What is left of another list or of other limits is of no use.
    same = hash_strings([*wanted["id"], *wanted["url"], json.dumps(asdict(fetching))])
    work = Path(work)
    folder = work / same[:16]
    if work.is_dir():
        for other in work.iterdir():
            if other != folder:
                shutil.rmtree(other)
    names = {url: f"{row:09d}" for url, row in zip(firsts["url"], firsts["row"], strict=True)}
    pending = [url for url in names if url not in told]
    found: dict[str, tuple[Path, str]] = {}
    for attempt in range(1 + fetching.retries):
        if not pending or (attempt and time.time() >= end):
            break
        # Named for what it fetches: of a list cut short by a killed run nothing is mistaken.
        batch = folder / f"round_{attempt}_{hash_strings(pending)[:16]}"
        if attempt and not batch.exists():
            pause = fetching.pause * 2 ** (attempt - 1)
            time.sleep(max(0.0, min(pause, end - time.time())))
        _run(batch, pending, fetching, end)
        for url, status, place in _results(batch):
            told[url] = status
            if place is not None:
                found[url] = place
        pending = [url for url in pending if may_pass(told.get(url, TOO_LATE))]
    told |= {url: TOO_LATE for url in names if url not in told}
    digests = _pack(Path(shard), names, told, found, fetching.side, transparency)
    wanted["status"] = wanted["url"].map(told)
    wanted["image"] = wanted["url"].map(names)
    wanted["sha256"] = [digests.get(url, "") for url in wanted["url"]]
    write_parquet(table, wanted[list(_COLUMNS)])
    shutil.rmtree(work, ignore_errors=True)


def find_python() -> str:
    """Python that can run img2dataset: this one (a conda job's), else that of `make download-env`.

    Raises
    ------
    InputError
        If neither has img2dataset.
    """
    if find_spec("img2dataset"):
        return sys.executable
    if _OWN.exists():
        return str(_OWN)
    raise InputError(
        "img2dataset, which fetches pictures, is not installed; `make download-env` does that, "
        "`--use-conda` too, and key download.python names a Python that has it"
    )


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def may_pass(status: str) -> bool:
    """Whether a reason may be gone a while later."""
    return status in _PASSING or re.fullmatch(r"HTTP 5\d\d", status) is not None


def reason_of(message: str | None) -> str:
    """The reason, of few that there are, in what img2dataset says of a failure."""
    message = message or ""
    code = re.match(r"HTTP Error (\d{3})", message)
    for part, reason in _REASONS:
        if part in message:
            return reason
    return f"HTTP {code[1]}" if code else OTHER


def _run(batch: Path, urls: list[str], fetching: Fetching, end: float) -> None:
    """Fetch URLs with img2dataset into a folder; what that folder has already is kept."""
    import pandas as pd

    batch.mkdir(parents=True, exist_ok=True)
    write_parquet(batch / "links.parquet", pd.DataFrame({"url": urls}))
    done = len(list(batch.glob("shards/*_stats.json")))
    if done * _BATCH >= len(urls):
        return
    limits = guard.Limits(
        fetching.picture_seconds, end, fetching.max_bytes, fetching.private_addresses
    )
    told = {
        "url_list": str((batch / "links.parquet").resolve()),
        "input_format": "parquet",
        "output_folder": str((batch / "shards").resolve()),
        "output_format": "webdataset",
        "number_sample_per_shard": _BATCH,
        "processes_count": 1,
        "thread_count": fetching.threads,
        "timeout": fetching.timeout,
        "retries": 0,
        "user_agent_token": fetching.agent,
        # Pictures are decoded here, one at a time and within limits.
        "disable_all_reencoding": True,
        "extract_exif": False,
        "compute_hash": None,
    }
    (batch / "shards").mkdir(exist_ok=True)
    write_json(batch / "settings.json", {"limits": asdict(limits), "img2dataset": told})
    python = fetching.python or find_python()
    quiet = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled"}
    with (batch / "img2dataset.log").open("wb") as log:
        try:
            process = subprocess.Popen(
                [python, "-P", guard.__file__, str(batch / "settings.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=quiet,
            )
        except OSError as error:
            raise InputError(
                f"{python} cannot be started ({error.strerror}); key download.python names the "
                "Python of an environment with img2dataset, `make download-env` makes one"
            ) from None
        try:
            process.wait(max(0.0, end - time.time()) + fetching.timeout + _GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()
            process.wait()
    if not list(batch.glob("shards/*_stats.json")) and process.returncode > 0:
        last = (batch / "img2dataset.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise InputError(
            f"{python} cannot run img2dataset ({''.join(last)[:200]}); key download.python names "
            "the Python of an environment with it, `make download-env` makes one"
        )


def _results(batch: Path) -> Iterator[tuple[str, str, tuple[Path, str] | None]]:
    """URL, status, and where its picture is, of all that img2dataset finished in a folder."""
    for stats in sorted(batch.glob("shards/*_stats.json")):
        shard = stats.with_name(stats.name.removesuffix("_stats.json"))
        for row in read_parquet(f"{shard}.parquet").to_dict("records"):
            fetched = row["status"] == "success"
            place = (shard.with_suffix(".tar"), row["key"]) if fetched else None
            yield row["url"], OK if fetched else reason_of(row["error_message"]), place


def _pack(
    shard: Path,
    names: dict[str, str],
    told: dict[str, str],
    found: dict[str, tuple[Path, str]],
    side: int,
    transparency: str,
) -> dict[str, str]:
    """Write the pictures that can be used, in the order of the list, and hash what was fetched.

    Reasons why others cannot be used go to ``told``.
    """
    digests: dict[str, str] = {}
    tars: dict[Path, tarfile.TarFile] = {}

    def pictures() -> Iterator[tuple[str, bytes]]:
        with Progress(f"pack {shard.name}", len(found), "pictures") as bar:
            for url, name in names.items():
                if url not in found:
                    continue
                bar.step()
                path, key = found[url]
                try:
                    if path not in tars:
                        tars[path] = tarfile.open(path, "r:")  # noqa: SIM115, closed below
                    content = tars[path].extractfile(f"{key}.jpg").read()
                except (tarfile.TarError, KeyError) as error:
                    raise broken_shard(path, error) from None
                try:
                    picture, suffix = normal_picture(content, side, transparency)
                except InputError as error:
                    told[url] = str(error)
                    continue
                digests[url] = hashlib.sha256(content).hexdigest()
                yield f"{name}{suffix}", picture

    try:
        write_shard(shard, pictures(), "")
    finally:
        for tar in tars.values():
            tar.close()
    return digests
