"""What a run needs and what this machine has of it, found before the first job."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoenergy.config import Run
from isoenergy.devices import count_gpus
from isoenergy.errors import InputError
from isoenergy.hub import Checkpoint, look_up

# Rough figures for estimates. On one data-centre GPU, not measured by us: pictures that it embeds
# per second, and pairs that SAE training takes per second with expansion 8 and 20 non-zeros per
# code; its work grows with both.
PICTURE_BYTES, PICTURES_PER_SECOND, PAIRS_PER_SECOND = 30_000, 400, 50_000
# On one CPU core, measured on a machine shared with other work: ViT-B/32, whose embeddings are 512
# wide, and an SAE of 2,048 atoms of 256 with 20 non-zeros per code. Wider encoders are larger.
CPU_PICTURES_PER_SECOND, CPU_TEXTS_PER_SECOND, CPU_PAIRS_PER_SECOND = 2, 3, 2_000
SMALL_WIDTH, LARGER = 512, 10
# Without a GPU a run may take a night.
MOST_CPU_HOURS = 12
_GB = 1e9


@dataclass(frozen=True)
class Needed:
    """What targets need that is not made yet.

    Attributes
    ----------
    stores : tuple of (str, str)
        Model and data set of every store to embed.
    datasets : tuple of str
        Data sets to read.
    trains : bool
        Whether SAEs are trained.
    """

    stores: tuple[tuple[str, str], ...]
    datasets: tuple[str, ...]
    trains: bool


def needed_by(
    run: Run,
    paths: Iterable[str] | None,
    embedded: Callable[[str, str], bool] = lambda model, dataset: False,
    read: Callable[[str], bool] = lambda dataset: False,
) -> Needed:
    """What the run needs for some of its files, told by the names in their paths.

    Parameters
    ----------
    run : Run
    paths : iterable of str or None
        Files of the run; None for all it can make.
    embedded : callable
        Whether the store of a model and a data set is made.
    read : callable
        Whether a data set is read.
    """
    stores, datasets, trains = set(), set(), paths is None
    drawn = run.drawn()
    if paths is None:
        training = run.config["encoder_training"] if run.local_models() else None
        only_trained = {training["dataset"]} - _embedded(run) if training else set()
        stores = {(m, d) for m in run.config["models"] for d in drawn if d not in only_trained}
        datasets = set(drawn)
    for path in paths or ():
        place = Path(path)
        below = place.is_relative_to(run.results)
        parts = (place.relative_to(run.results) if below else place).parts
        own = {part for part in parts if part in drawn}
        models = [part for part in parts if part in run.config["models"]]
        if any(part in run.saes for part in parts):
            trains = True
            own.add(run.train)
        if Path(path).stem.startswith("classifier"):
            own.add(run.config["datasets"]["classes_train"])
        stores |= {(model, name) for model in models for name in own if name in drawn}
        datasets |= own if not models else set()
        if any(run.is_local(model) for model in models) and run.config["encoder_training"]:
            datasets.add(run.config["encoder_training"]["dataset"])
    stores = {pair for pair in stores if not embedded(*pair)}
    datasets = {d for d in datasets | {d for _, d in stores} if d in drawn and not read(d)}
    return Needed(
        tuple((m, d) for m in run.config["models"] for d in drawn if (m, d) in stores),
        tuple(d for d in drawn if d in datasets),
        trains,
    )


def _embedded(run: Run) -> set[str]:
    parts = run.config["datasets"]
    return {*run.measured(), *filter(None, [parts["classes_train"], parts["edits"]])}


@dataclass(frozen=True)
class Item:
    """A line of the report: what it is, what is known of it, and the sentence if it is missing."""

    kind: str
    name: str
    state: str
    licence: str = ""
    size: str = ""
    missing: str | None = None


def inspect(
    run: Run, root: str | Path, needed: Needed, deployed: bool = False, queued: bool = False
) -> list[Item]:
    """Every data set, encoder and resource that is needed, and whether it is at hand.

    Parameters
    ----------
    run : Run
    root : path
        Relative paths of the config start here.
    needed : Needed
    deployed : bool
        Whether jobs get environments of their own, that of downloads among them.
    queued : bool
        Whether jobs go to the queue of a cluster, so that GPUs of this machine do not matter.
    """
    root = Path(root)
    items = [_store(run, name) for name in run.measured() if run.adopted(name)]
    items += [_dataset(run, root, name) for name in needed.datasets]
    if not deployed and any(map(run.is_fetched, needed.datasets)):
        items.append(_fetcher(run, root))
    models = list(dict.fromkeys(model for model, _ in needed.stores))
    hub = [model for model in models if not run.is_local(model)]
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = list(pool.map(_look_up, [run.models[model] for model in hub]))
    items += [Item("encoder", m, "is trained here") for m in models if run.is_local(m)]
    items += [_encoder(run, m, told) for m, told in zip(hub, found, strict=True)]
    items.append(_disk(run, root, needed))
    items.append(_gpu(run, needed, queued))
    return items


def missing(items: Sequence[Item]) -> list[str]:
    """What is missing, a sentence each; empty when the run can start."""
    silent = [item.name for item in items if item.state == SILENT]
    told = [item.missing for item in items if item.missing]
    if silent:
        told.insert(
            0,
            f"the model hub cannot be reached, and {', '.join(silent)} "
            f"{'are' if len(silent) > 1 else 'is'} not in the local cache (HF_HOME)",
        )
    return told


def write_items(items: Sequence[Item]) -> str:
    """Items as a plain table for the terminal."""
    rows = [("", "", "state", "licence to accept", "size")]
    rows += [(item.kind, item.name, item.state, item.licence, item.size) for item in items]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


SILENT = "the hub does not answer"
_STATES = {
    "present": "is on this machine",
    "open": "on the hub, open",
    "gated": "on the hub, gated",
    "absent": "not on the hub",
    "silent": SILENT,
    "untold": "a tag of open_clip",
}


def _look_up(row: Mapping[str, Any]) -> Checkpoint:
    file = "open_clip_config.json" if row["family"] == "open_clip" else "config.json"
    return look_up(row["checkpoint"], row["revision"], file)


def _encoder(run: Run, model: str, told: Checkpoint) -> Item:
    row = run.models[model]
    lacking = {
        "gated": f"model {model} ({row['checkpoint']}) is gated: accept its licence on the hub "
        "and run `hf auth login`",
        "absent": f"model {model}: the hub has no {row['checkpoint']} at revision "
        f"{row['revision'] or 'main'}; correct config/models.tsv",
    }
    size = f"{_round(told.size / _GB)} GB" if told.size else ""
    state = _STATES[told.state]
    return Item("encoder", model, state, row["licence"] or "", size, lacking.get(told.state))


def _dataset(run: Run, root: Path, name: str) -> Item:
    from isoenergy.data.folder import find_layout

    row = run.datasets[name]
    pictures, _ = rows_of(run, name)
    size = f"{_round(pictures * PICTURE_BYTES / _GB)} GB"
    if run.is_fetched(name):
        return _links(run, root, name, size)
    if row["source"] == "scenes":
        return Item("data set", name, "is drawn here", "", size)
    folder = run.config["folders"][name]
    try:
        find_layout(root / folder, row["source"])
    except InputError as error:
        told = f"data set {name}: {error}"
        return Item("data set", name, f"not in {folder}", row["licence"] or "", size, told)
    return Item("data set", name, f"is in {folder}", row["licence"] or "", size)


def _links(run: Run, root: Path, name: str, size: str) -> Item:
    metadata = run.config["download"]["lists"].get(name)
    row = run.datasets[name]
    if metadata is None:
        return Item("data set", name, f"links from {row['primary']}", row["licence"] or "", size)
    told = f"data set {name}: {metadata} does not exist; correct the key download.lists"
    lacking = None if (root / metadata).exists() else told
    return Item("data set", name, f"links from {metadata}", row["licence"] or "", size, lacking)


def _fetcher(run: Run, root: Path) -> Item:
    from isoenergy.data.fetch import find_python

    try:
        python = run.config["download"]["python"] or find_python()
    except InputError as error:
        return Item("program", "img2dataset", "is not installed", missing=str(error))
    told = f"{python}, which is to fetch pictures, does not exist (key download.python)"
    lacking = None if (root / python).exists() else told
    return Item("program", "img2dataset", f"with {python}", missing=lacking)


def _store(run: Run, name: str) -> Item:
    folder = run.datasets[name]["path"]
    try:
        rows, dim = shape_of_store(folder)
    except InputError as error:
        return Item("store", name, f"not in {folder}", missing=f"data set {name}: {error}")
    return Item("store", name, f"{rows:,} rows of {dim} in {folder}")


def shape_of_store(folder: str) -> tuple[int, int]:
    """Rows and width of the images of a store made elsewhere, by the headers of its files."""
    from isoenergy.embed.layout import find_arrays
    from isoenergy.files import open_npy

    shapes = [open_npy(path).shape for path in find_arrays(Path(folder))["image"]]
    return sum(shape[0] for shape in shapes), shapes[0][-1]


def _disk(run: Run, root: Path, needed: Needed) -> Item:
    place = (root / run.results).resolve()
    while not place.exists():
        place = place.parent
    free, wanted = shutil.disk_usage(place).free / _GB, disk(run, needed)
    lacking = (
        f"{place} has {_round(free)} GB free, and about {_round(wanted)} GB are needed; set key "
        "results to a folder on a larger disk"
    )
    told = f"{_round(free)} GB free"
    return Item("disk", "", told, "", f"{_round(wanted)} GB", lacking if free < wanted else None)


def _gpu(run: Run, needed: Needed, queued: bool) -> Item:
    gpu_hours = hours(run, needed, 0)
    if queued:
        return Item("time", "", f"in the queue; {_told(gpu_hours)} on one GPU")
    found, cores = count_gpus(), os.cpu_count() or 1
    cpu_hours = hours(run, needed, cores)
    on_hub = any(not run.is_local(model) for model, _ in needed.stores)
    if found:
        return Item("time", "", f"{found} GPU{'s' * (found > 1)}; {_told(gpu_hours)} on one")
    on_cpu = f"no GPU; {_told(cpu_hours)} on {cores} CPU core{'s' * (cores > 1)}"
    lacking = None
    if on_hub and cpu_hours > MOST_CPU_HOURS:
        lacking = (
            "no NVIDIA GPU is found (nvidia-smi), and without one its encoders and SAEs take "
            f"{_told(cpu_hours)} on {cores} CPU cores, more than {MOST_CPU_HOURS} hours"
        )
    return Item("time", "", on_cpu, missing=lacking)


def estimate(run: Run, needed: Needed) -> str:
    """Roughly what a run needs in disk and hours of one GPU, as a phrase."""
    wanted, time = _round(disk(run, needed)), _round(hours(run, needed, 0))
    return f"about {wanted} GB of disk and {time} GPU hours"


def disk(run: Run, needed: Needed) -> float:
    """Roughly how many GB pictures, embeddings and codes take."""
    vector_bytes = 2 if run.config["embed"]["dtype"] == "float16" else 4
    size = sum(rows_of(run, name)[0] * PICTURE_BYTES for name in needed.datasets)
    for model, name in needed.stores:
        size += 2 * rows_of(run, name)[1] * (run.models[model]["dim"] or 0) * vector_bytes
    if needed.trains and run.train in run.drawn():
        non_zeros = sum(run.sae_sizes(sae)[1] for _, sae in run.trained())
        size += len(run.config["seeds"]) * rows_of(run, run.train)[1] * 2 * non_zeros * 8
    return size / _GB


def hours(run: Run, needed: Needed, cores: int) -> float:
    """Roughly how long embedding and training take, on so many CPU cores or for 0 on one GPU.

    Small encoders are left out; they take minutes.
    """
    seconds = 0.0
    for model, name in needed.stores:
        if run.is_local(model):
            continue
        pictures, texts = rows_of(run, name)
        slower = 1 if (run.models[model]["dim"] or 0) <= SMALL_WIDTH else LARGER
        if cores:
            seconds += slower * pictures / (cores * CPU_PICTURES_PER_SECOND)
            seconds += slower * texts / (cores * CPU_TEXTS_PER_SECOND)
        else:
            seconds += texts / PICTURES_PER_SECOND
    if needed.trains:
        seconds += _training_seconds(run, cores)
    return seconds / 3600


def _training_seconds(run: Run, cores: int) -> float:
    widths = {model: run.models[model]["dim"] or 0 for model in run.config["models"]}
    if run.adopted(run.train):
        try:
            pairs, width = shape_of_store(run.datasets[run.train]["path"])
        except InputError:
            return 0.0
        widths = dict.fromkeys(widths, width)
    else:
        pairs = rows_of(run, run.train)[1]
    passes = len(run.config["seeds"]) * run.config["sae_training"]["epochs"]
    jobs = [(model, *run.sae_sizes(sae), passes) for model, sae in run.trained()]
    for model in run.swept():
        sweep = run.config["beta_sweep"]
        sizes = run.sae_sizes(sweep["sae"])
        jobs.append((model, *sizes, len(run.sweep_betas()) * sweep["epochs"]))
    if not cores:
        work = sum(times * expansion * l0 / (8 * 20) for _, expansion, l0, times in jobs)
        return work * pairs / PAIRS_PER_SECOND
    work = sum(
        times * expansion * l0 * widths[model] ** 2 / (8 * 20 * 256**2)
        for model, expansion, l0, times in jobs
    )
    return work * pairs / (cores * CPU_PAIRS_PER_SECOND)


def rows_of(run: Run, name: str) -> tuple[int, int]:
    """About how many pictures and how many rows a data set has."""
    row = run.datasets[name]
    rows = run.config["rows"].get(name) or row.get("rows") or 0
    return -(-rows // (row.get("captions") or 1)), rows


def _told(time: float) -> str:
    if time < 1 / 12:
        return "minutes"
    if time < 1:
        return f"about {5 * round(time * 12)} minutes"
    return f"about {_round(time)} hour{'s' * (_round(time) != '1')}"


def _round(number: float) -> str:
    """Two significant digits, without an exponent."""
    return f"{float(f'{max(number, 0.1 if number < 1 else 1):.2g}'):.{int(number < 1)}f}"
