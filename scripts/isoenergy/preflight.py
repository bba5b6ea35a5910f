"""What a run needs and this machine lacks, found before the first job."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from isoenergy.config import Run
from isoenergy.errors import InputError

HUB = "https://huggingface.co"
TIMEOUT_SECONDS = 4.0
# Rough figures for the estimate, none of them measured by us: bytes of a stored picture, pictures
# that one data-centre GPU embeds per second, pairs that SAE training takes per second on it with
# expansion 8 and 20 non-zeros per code; its work grows with both.
PICTURE_BYTES, PICTURES_PER_SECOND, PAIRS_PER_SECOND = 30_000, 400, 50_000
_GB = 1e9


def missing(run: Run, root: str | Path, conda: bool = False) -> list[str]:
    """What is missing for a run, a sentence each; empty when it can start.

    Parameters
    ----------
    run : Run
    root : path
        Relative paths of the config start here.
    conda : bool
        Whether jobs get environments of their own, that of downloads among them.
    """
    told = [*_missing_gpu(run), *_missing_models(run), *_missing_folders(run, Path(root))]
    if not conda and any(map(run.is_fetched, run.drawn())):
        told += _missing_fetcher(run, Path(root))
    return told


def estimate(run: Run) -> str:
    """Roughly what a run needs in disk and GPU hours, as a phrase."""
    rows = {
        name: run.config["rows"].get(name) or run.datasets[name].get("rows") or 0
        for name in run.drawn()
    }
    models = [run.models[name] for name in run.config["models"]]
    width = sum(model["dim"] or 0 for model in models)
    pictures = sum(rows.values())
    pairs = rows.get(run.train, 0)
    sizes = [run.sae_sizes(sae) for _, sae in run.trained()]
    codes = len(run.config["seeds"]) * pairs * 2 * sum(l0 for _, l0 in sizes)
    passes = len(run.config["seeds"]) * run.config["sae_training"]["epochs"]
    work = sum(expansion * l0 for expansion, l0 in sizes) / (8 * 20)
    vector_bytes = 2 if run.config["embed"]["dtype"] == "float16" else 4
    disk = (pictures * (PICTURE_BYTES + 2 * width * vector_bytes) + codes * 8) / _GB
    seconds = pictures * len(models) / PICTURES_PER_SECOND
    seconds += passes * pairs * work / PAIRS_PER_SECOND
    if run.swept():
        swept = len(run.swept()) * len(run.sweep_betas()) * run.config["beta_sweep"]["epochs"]
        seconds += swept * pairs / PAIRS_PER_SECOND
    return f"about {_round(disk)} GB of disk and {_round(seconds / 3600)} GPU hours"


def _round(number: float) -> str:
    """Two significant digits, without an exponent."""
    return f"{float(f'{max(number, 1):.2g}'):.0f}"


def _hub_models(run: Run) -> list[str]:
    return [
        name
        for name in run.config["models"]
        if run.models[name]["checkpoint"] and not run.is_local(name)
    ]


def _missing_gpu(run: Run) -> Iterator[str]:
    if not _hub_models(run):
        return
    smi = shutil.which("nvidia-smi")
    found = smi and subprocess.run([smi, "-L"], capture_output=True, check=False).returncode == 0
    if not found:
        yield "no NVIDIA GPU is found (nvidia-smi), and its encoders are too large for a CPU"


def _missing_models(run: Run) -> Iterator[str]:
    from huggingface_hub import try_to_load_from_cache

    absent = []
    for name in _hub_models(run):
        row = run.models[name]
        if not Path(row["checkpoint"]).is_dir() and not isinstance(
            try_to_load_from_cache(row["checkpoint"], "config.json", revision=row["revision"]), str
        ):
            absent.append(name)
    if absent and not _hub_answers():
        yield (
            f"the model hub cannot be reached, and {', '.join(absent)} "
            f"{'are' if len(absent) > 1 else 'is'} not in the local cache (HF_HOME)"
        )


def _hub_answers() -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    request = urllib.request.Request(os.environ.get("HF_ENDPOINT", HUB), method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True  # it answers, whatever it says of this page
    except (OSError, ValueError):
        return False


def _missing_folders(run: Run, root: Path) -> Iterator[str]:
    from isoenergy.data.folder import find_layout

    for name in run.drawn():
        if run.is_fetched(name):
            yield from (f"data set {name}: {told}" for told in _missing_download(run, name, root))
        if not run.reads_folder(name):
            continue
        try:
            find_layout(root / run.config["folders"][name], run.datasets[name]["source"])
        except InputError as error:
            yield f"data set {name}: {error}"


def _missing_download(run: Run, name: str, root: Path) -> Iterator[str]:
    metadata = run.config["download"]["lists"].get(name)
    if metadata is None and not _hub_answers():
        yield "the hub, which lists its links, cannot be reached (key download.lists)"
    if metadata is not None and not (root / metadata).exists():
        yield f"{metadata} does not exist; correct the key download.lists"


def _missing_fetcher(run: Run, root: Path) -> Iterator[str]:
    from isoenergy.data.fetch import find_python

    python = run.config["download"]["python"]
    try:
        if not (root / (python or find_python())).exists():
            yield f"{python}, which is to fetch pictures, does not exist (key download.python)"
    except InputError as error:
        yield str(error)
