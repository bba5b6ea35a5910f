"""What a run needs and what this machine has of it, found before the first job."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoenergy.data.download import why_not
from isoenergy.devices import count_gpus
from isoenergy.errors import InputError
from isoenergy.estimate import (
    GB,
    Needed,
    bytes_of_pictures,
    disk,
    hours,
    rounded,
    told_time,
)
from isoenergy.foresight import Looked, few_steps, look_at_stores, pairs_of
from isoenergy.hub import Checkpoint, look_up, look_up_dataset
from isoenergy.memory import Memory, gigabytes, largest_job, too_large
from isoenergy.run import COCO, Run
from isoenergy.system_errors import in_words

# Without a GPU a run may take a night.
MOST_CPU_HOURS = 12


def needed_by(
    run: Run,
    paths: Iterable[str] | None,
    embedded: Callable[[str, str], bool] = lambda model, dataset: False,
    read: Callable[[str], bool] = lambda dataset: False,
    lacked: Callable[[str], Sequence[str]] = lambda dataset: (),
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
    lacked : callable
        Rows of ``downloads.tsv`` that a data set needs and that are not downloaded.
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
    wanted = [name for name in drawn if name in datasets]
    return Needed(
        tuple((m, d) for m in run.config["models"] for d in drawn if (m, d) in stores),
        tuple(wanted),
        trains,
        tuple((name, file) for name in wanted for file in lacked(name)),
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
    run: Run,
    root: str | Path,
    needed: Needed,
    deployed: bool = False,
    addresses: Callable[[str], Sequence[str]] = lambda file: (),
    queued: bool = False,
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
    addresses : callable
        Where a row of ``downloads.tsv`` can be had.
    queued : bool
        Whether jobs go to the queue of a cluster, so that GPUs of this machine do not matter.
    """
    root = Path(root)
    models = list(dict.fromkeys(model for model, _ in needed.stores))
    hub = [model for model in models if not run.is_local(model)]
    files = list(dict.fromkeys(file for _, file in needed.files))
    with ThreadPoolExecutor(max_workers=16) as pool:
        found = pool.map(_look_up, [run.models[model] for model in hub])
        listed = pool.map(lambda name: _look_up_links(run, name), needed.datasets)
        private = run.config["download"]["private_addresses"]
        refused = pool.map(lambda file: why_not(addresses(file), private), files)
        reasons = dict(zip(files, refused, strict=True))
        answers = dict(zip(needed.datasets, listed, strict=True))
        told = dict(zip(hub, found, strict=True))
    items = [_store(run, looked) for looked in look_at_stores(run, needed.trains)]
    for name in needed.datasets:
        own = {file: reasons[file] for dataset, file in needed.files if dataset == name}
        items.append(_dataset(run, root, name, own, answers[name]))
    if not deployed and any(map(run.is_fetched, needed.datasets)):
        items.append(_fetcher(run, root))
    items += [Item("encoder", m, "is trained here") for m in models if run.is_local(m)]
    items += [_encoder(run, m, told[m]) for m in hub]
    items += _training(run, root, needed)
    items.append(inspect_disk(run, root, needed))
    items.append(_gpu(run, needed, queued))
    return items


def inspect_memory(run: Run, memory: Memory, used: Mapping[str, bool]) -> Item:
    """The memory that a job can have, and what the largest one takes.

    Parameters
    ----------
    run : Run
    memory : Memory
    used : mapping of {"saes", "toys"} to bool
        Whether SAEs of the run, and those on toy data, are made.
    """
    largest = largest_job(run, used["saes"], used["toys"])
    size = f"{gigabytes(largest.memory)} by {largest.what}" if largest else ""
    lacking = too_large(run, used["saes"], used["toys"], memory)
    told = f"{gigabytes(memory.size)} on {memory.where}"
    return Item("memory", "", told, "", size, lacking)


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
    "nameless": "not on this machine",
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
        f"{row['revision'] or 'main'}, and {Path.cwd()} no such folder; correct config/models.tsv",
        "nameless": f"model {model}: {row['checkpoint']} is neither a folder nor a name on the "
        f"hub; correct config/models.tsv, where relative paths start at {Path.cwd()} (where "
        "snakemake is called, or its --directory)",
    }
    size = f"{rounded(told.size / GB)} GB" if told.size else ""
    state = _STATES[told.state]
    return Item("encoder", model, state, row["licence"] or "", size, lacking.get(told.state))


def _dataset(
    run: Run,
    root: Path,
    name: str,
    reasons: Mapping[str, str | None],
    listed: tuple[str, Checkpoint] | None,
) -> Item:
    from isoenergy.data.folder import find_layout
    from isoenergy.data.unpacked import Unpacked

    row = run.datasets[name]
    size = f"{rounded(bytes_of_pictures(run, name) / GB)} GB"
    licence = row["licence"] or ""
    if listed is not None:
        return _listed(run, name, size, *listed)
    if row["source"] == "scenes":
        return Item("data set", name, "is drawn here", "", size)
    if name in run.config["download"]["lists"]:
        return _links(run, root, name, size)
    state, lacking = "is downloaded", _unreachable(name, reasons)
    folder = run.config["folders"].get(name)
    if folder is not None:
        state = f"is in {folder}"
        try:
            # The names of ImageNet's classes may be among what is downloaded first.
            if not reasons:
                find_layout(Unpacked(root / folder), row["source"], row["split"])
            elif not (root / folder).is_dir():
                raise InputError(f"{folder} is not a folder; correct the key folders of the config")
        except InputError as error:
            state, lacking = f"not in {folder}", f"data set {name}: {error}"
    elif reasons:
        took = rounded(sum(run.downloads[file]["bytes"] for file in reasons) / GB)
        state = f"at most {took} GB of files to download"
        if row["source"] == COCO:
            state = f"{took} GB to download"
        state += ", which cannot be had" if lacking else ", there"
    return Item("data set", name, state, licence, size, lacking)


def _unreachable(name: str, reasons: Mapping[str, str | None]) -> str | None:
    """A sentence on files that cannot be had."""
    refused = {file: why for file, why in reasons.items() if why is not None}
    if not refused:
        return None
    file, why = next(iter(refused.items()))
    more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
    return (
        f"data set {name}: {file}{more} cannot be downloaded ({why}); name its folder under the "
        "key folders if you have it, or a server of your own under download.server"
    )


def _look_up_links(run: Run, name: str) -> tuple[str, Checkpoint] | None:
    """Which list of links on the hub is read, and what the hub says of it; None for others."""
    lists = name in run.config["download"]["lists"]
    if not run.is_fetched(name) or run.lists_edits(name) or lists:
        return None
    row = run.datasets[name]
    told = look_up_dataset(row["primary"])
    if told.state in ("gated", "absent") and row["mirror"]:
        second = look_up_dataset(row["mirror"])
        if second.state == "open":
            return row["mirror"], second
    return row["primary"], told


def _listed(run: Run, name: str, size: str, source: str, told: Checkpoint) -> Item:
    """A data set whose links the hub lists."""
    own = "or name parquet files of your own under download.lists"
    lacking = {
        "gated": f"data set {name}: the list of links {source} is gated: accept its terms on the "
        f"hub and run `hf auth login`, {own}",
        "absent": f"data set {name}: the hub has no {source}; correct config/datasets.tsv, {own}",
        "silent": f"data set {name}: the model hub cannot be reached, and its links are read from "
        f"it ({source}); try again later, {own}",
    }
    state = f"links from {source}, {_STATES[told.state].removeprefix('on the hub, ')}"
    licence = run.datasets[name]["licence"] or ""
    return Item("data set", name, state, licence, size, lacking.get(told.state))


def _links(run: Run, root: Path, name: str, size: str) -> Item:
    """A data set whose links are in files of the user."""
    metadata = run.config["download"]["lists"][name]
    licence = run.datasets[name]["licence"] or ""
    told = f"data set {name}: {metadata} does not exist; correct the key download.lists"
    lacking = None if (root / metadata).exists() else told
    return Item("data set", name, f"links from {metadata}", licence, size, lacking)


def _fetcher(run: Run, root: Path) -> Item:
    from isoenergy.data.fetch import find_python

    try:
        python = run.config["download"]["python"] or find_python()
    except InputError as error:
        return Item("program", "img2dataset", "is not installed", missing=str(error))
    told = f"{python}, which is to fetch pictures, does not exist (key download.python)"
    lacking = None if (root / python).exists() else told
    return Item("program", "img2dataset", f"with {python}", missing=lacking)


def _store(run: Run, looked: Looked) -> Item:
    told = [looked.state, *looked.notes]
    if looked.name == run.train and (few := few_steps(run, pairs_of(run))):
        told.append(few)
    lacking = f"data set {looked.name}: {looked.fault}" if looked.fault else None
    return Item("store", looked.name, "; ".join(told), missing=lacking)


def _training(run: Run, root: Path, needed: Needed) -> list[Item]:
    """The same of a data set that is embedded here, where its number of pairs is known."""
    if not needed.trains or run.adopted(run.train):
        return []
    pairs = pairs_of(run, root)
    few = few_steps(run, pairs)
    return [Item("training", run.train, f"{pairs:,} pairs; {few}")] if few else []


def inspect_disk(run: Run, root: str | Path, needed: Needed) -> Item:
    """The disk that is free for results, and what the run takes; arguments as :func:`inspect`."""
    # As far as links lead: one that goes round in circles is refused where results are held.
    place = Path(os.path.realpath(Path(root) / run.results))
    while not place.exists():
        place = place.parent
    free, wanted = shutil.disk_usage(place).free / GB, disk(run, needed)
    lacking = (
        f"{place} has {in_words(free * GB)} free, and about {rounded(wanted)} GB are needed; set "
        "key results to a folder on a larger disk"
    )
    told = f"{in_words(free * GB)} free"
    return Item("disk", "", told, "", f"{rounded(wanted)} GB", lacking if free < wanted else None)


def _gpu(run: Run, needed: Needed, queued: bool) -> Item:
    gpu_hours = hours(run, needed, 0)
    if queued:
        return Item("time", "", f"in the queue; {told_time(gpu_hours)} on one GPU")
    found, cores = count_gpus(), os.cpu_count() or 1
    cpu_hours = hours(run, needed, cores)
    on_hub = any(not run.is_local(model) for model, _ in needed.stores)
    if found:
        return Item("time", "", f"{found} GPU{'s' * (found > 1)}; {told_time(gpu_hours)} on one")
    on_cpu = f"no GPU; {told_time(cpu_hours)} on {cores} CPU core{'s' * (cores > 1)}"
    lacking = None
    if on_hub and cpu_hours > MOST_CPU_HOURS:
        lacking = (
            "no NVIDIA GPU is found (nvidia-smi), and without one its encoders and SAEs take "
            f"{told_time(cpu_hours)} on {cores} CPU cores, more than {MOST_CPU_HOURS} hours"
        )
    return Item("time", "", on_cpu, missing=lacking)
