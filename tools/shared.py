"""Share a run through a DVC remote, and draw tables and figures from a shared one (docs/dvc.md).

``python tools/shared.py push`` sends what `dvc repro` has finished. ``python tools/shared.py pull``
fetches a whole run; with tables and figures named behind it, only the numbers that these are made
of, and then draws them. What was fetched gets new times; so that Snakemake takes it for what it is,
each file is recorded as made by the config at hand, which has to be the one it was made with.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
AGAIN = "what has arrived is kept, and a second try goes on from there"
# What DVC's messages mean, the first that fits, and what to do.
REASONS = {
    r"Unable to locate credentials|NoCredentials": (
        "it asks for credentials and there are none; set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws"
    ),
    r"Forbidden|\(403\)|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch": (
        "it refuses these credentials; ask its owner, or set others"
    ),
    r"Permission denied|Operation not permitted|Read-only file system": (
        "its files may not be read or written by you; ask its owner"
    ),
    r"No space left on device|disk is full|Errno 28|File too large|Errno 27|Disk quota": (
        f"no room is left on the disk; make some, {AGAIN}"
    ),
    r"NoSuchBucket|bucket does not exist": "there is no such bucket; see `dvc remote list`",
    r"Could not connect|ConnectionError|EndpointConnection|Connection refused|Connection reset|"
    r"Connection was closed|ServerDisconnected|Server disconnected|[Tt]imed? ?out|ClientOSError|"
    r"IncompleteRead|ClientPayloadError|InternalError|\(50\d\)|Cannot connect|Name or service": (
        f"it cannot be reached, or was lost on the way; {AGAIN}"
    ),
}

# s3fs tries five times what botocore has tried so often, five times unless told: a minute for each
# object of a server that is gone.
ATTEMPTS = {"AWS_MAX_ATTEMPTS": os.environ.get("AWS_MAX_ATTEMPTS", "2")}


class StopError(Exception):
    """Something that ends the program with one sentence."""


def main(words: list[str]) -> None:
    """Push, or pull and draw."""
    if not words or words[0] not in ("push", "pull") or (words[0] == "push" and words[1:]):
        raise StopError("say `push`, `pull`, or `pull figure_07 table_06 ...`")
    for program, made_by in (("dvc", "make dvc-env"), ("snakemake", "make env")):
        if shutil.which(program) is None:
            raise StopError(
                f"there is no {program}; run `{made_by}` and `source .venv/bin/activate`"
            )
    if not (ROOT / "dvc.lock").is_file():
        raise StopError(
            "no run is shared here, there is no dvc.lock; whoever shares one commits it after "
            "`dvc repro`, and pushes"
        )
    remote = default_remote()
    if words[0] == "push":
        transfer("push", remote, [])
        return
    config = chosen_config()
    check_config(config)
    targets = words[1:]
    inputs = snakemake("inputs", *targets, "--configfile", config, quiet=True) if targets else ""
    paths = inputs.split()
    if paths or not targets:
        transfer("pull", remote, paths)
        settle = paths or ["all"]
        told = ("--touch", *settle, "--forceall", "--configfile", config, "--quiet", "all")
        snakemake(*told, quiet=True)
    if targets:
        snakemake(*targets, "--configfile", config)


def chosen_config() -> str:
    """The config that dvc.yaml names."""
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())["vars"][0]


def default_remote() -> str:
    """The name of the remote in use."""
    name = dvc("config", "core.remote").stdout.strip()
    if not name:
        raise StopError("DVC has no remote; name one, `dvc remote add --default shared URL`")
    if not dvc("config", f"remote.{name}.url").stdout.strip():
        raise StopError(
            f"DVC's remote is {name}, and there is none of that name; see `dvc remote list`, or "
            f"name one, `dvc remote add --default {name} URL`"
        )
    return name


@contextlib.contextmanager
def verified(remote: str) -> Iterator[dict[str, str]]:
    """What to call DVC with so that downloads are checked, unless its configuration says otherwise.

    Without it DVC takes from S3 whatever comes under a name. It is written where it yields to all
    else, a copy of the system's configuration, and for this call alone: left in the local one, it
    would outlive the remote, and DVC then refuses to remove or use any.
    """
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder, "config")
        listed = dvc("config", "--system", "--list", "--show-origin").stdout
        if listed.strip():
            shutil.copyfile(ROOT / listed.partition("\t")[0], own)
        section = f"['remote \"{remote}\"']\n"
        if not own.exists() or section not in own.read_text():
            with own.open("a") as file:
                file.write(f"\n{section}verify = true\n")
        yield {"DVC_SYSTEM_CONFIG_DIR": folder}


def check_config(config: str) -> None:
    """Refuse a config other than what the shared run was made with."""
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    ours = yaml.safe_load((ROOT / config).read_text())
    shared: dict[str, Any] = {}
    for stage in lock.values():
        if config not in stage.get("params", {}):
            told = ", ".join(stage.get("params", {})) or "none"
            raise StopError(f"the run shared here is of {told}, and dvc.yaml names {config}")
        shared |= stage["params"][config]
    changed = sorted(k for k, v in shared.items() if as_numbers(v) != as_numbers(look_up(ours, k)))
    if changed:
        raise StopError(
            f"{config} differs from that of the shared run in {', '.join(changed)}; put it back "
            f"(`git checkout {config}`) to use the shared numbers, or make your own (`dvc repro`)"
        )


def look_up(config: dict[str, Any], key: str) -> Any:
    """The value of a key of a config, or of a nested one, ``measure.gap``."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def as_numbers(value: Any) -> Any:
    """The same with text such as 5e-05 as a number: DVC and PyYAML read and write those unlike."""
    if isinstance(value, dict):
        return {key: as_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_numbers(inner) for inner in value]
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def transfer(what: str, remote: str, paths: list[str]) -> None:
    """`dvc push` or `dvc pull`, with its progress shown and failures told in a sentence."""
    start, told = f"remote {remote}: ", ""
    with verified(remote) as system:
        # DVC drops what an earlier try left damaged, fetches it only when asked again, and says of
        # some failures only with -v what they were.
        for more in ((), ("-v",)):
            done = dvc(what, *more, "--remote", remote, *paths, **system, **ATTEMPTS)
            if done.returncode == 0:
                shown = [line for line in done.stdout.splitlines() if " DEBUG: " not in line]
                print("\n".join(shown).strip(), flush=True)
                return
            told = done.stdout + done.stderr
            for pattern, sentence in REASONS.items():
                if re.search(pattern, told):
                    raise StopError(start + sentence)
    address = dvc("config", f"remote.{remote}.url").stdout.strip()
    if "://" not in address and not Path(address).is_dir():
        raise StopError(f"{start}its folder {address} is not there; is its disk mounted?")
    if lacking := what_lacks(told):
        named = ", ".join([*lacking[:3], *(["..."] if lacking[3:] else [])])
        raise StopError(
            f"{start}what it has of {named} is missing or damaged; whoever shared it deletes what "
            f"is damaged there, and the .dir object of its folder, and pushes again; {AGAIN}"
        )
    raise StopError(start + last_error(told))


def what_lacks(told: str) -> list[str]:
    """Files, with their objects, or else folders or objects, that DVC says it could not have."""
    files = re.findall(r"failed to create '(.+?)' from '(.+?)' - .*No such file", told)
    found = [
        f"{os.path.relpath(path, ROOT)} (object {'/'.join(Path(object).parts[-2:])})"
        for path, object in files
    ]
    folders = re.findall(r"failed for following targets:\n((?:\S+\n)+)", told)
    found = found or "".join(folders).split() or re.findall(r"^md5: (\S+)$", told, flags=re.M)
    return list(dict.fromkeys(found))


def last_error(told: str) -> str:
    """The last of the errors among what DVC printed."""
    return (re.findall(r"\bERROR: (.*)$", told, flags=re.M) or ["dvc failed"])[-1]


def dvc(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run DVC quietly; its statistics are never sent."""
    return call("dvc", *words, DVC_NO_ANALYTICS="1", **environment)


def snakemake(*words: str, quiet: bool = False) -> str:
    """Run Snakemake; what it prints is shown, or told if it fails. Returns what it printed."""
    if not quiet:
        done = subprocess.run(["snakemake", *words], cwd=ROOT, check=False)
        if done.returncode:
            sys.exit(done.returncode)
        return ""
    called = call("snakemake", *words)
    if called.returncode:
        lines = [x for x in called.stderr.splitlines() if x.startswith("error: ")]
        raise StopError((lines or [called.stderr.strip()])[-1].removeprefix("error: "))
    return called.stdout


def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in the repository and keep what it prints."""
    return subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except StopError as stopped:
        sys.exit(f"error: {stopped}")
