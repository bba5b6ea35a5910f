"""Rough estimates of the disk and the time that a run takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isoenergy.errors import InputError
from isoenergy.run import Run

# Rough figures for estimates. The file of a picture, where datasets.tsv has none; beside pictures,
# embeddings and codes, what a run of the demo takes. On one data-centre GPU, not measured by us:
# pictures that it embeds per second, and pairs that SAE training takes per second with expansion 8
# and 20 non-zeros per code; its work grows with both.
PICTURE_BYTES, OTHER_BYTES, PICTURES_PER_SECOND, PAIRS_PER_SECOND = 100_000, 1e8, 400, 50_000
# On one CPU core, with room for slower machines: ViT-B/32, whose embeddings are 512 wide, and an
# SAE of 2,048 atoms of 256 with 20 non-zeros per code. Two idle cores of an AMD EPYC took 30
# pictures, 235 captions (half of both by MKL) and 8,900 pairs a second (benchmarks/embedding.py and
# training.py). Wider encoders are larger.
CPU_PICTURES_PER_SECOND, CPU_TEXTS_PER_SECOND, CPU_PAIRS_PER_SECOND = 6, 40, 2_000
SMALL_WIDTH, LARGER = 512, 10
GB = 1e9


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
    files : tuple of (str, str)
        Data set and row of ``downloads.tsv`` of every file to download first.
    """

    stores: tuple[tuple[str, str], ...]
    datasets: tuple[str, ...]
    trains: bool
    files: tuple[tuple[str, str], ...] = ()


def estimate(run: Run, needed: Needed) -> str:
    """Roughly what a run needs in disk and hours of one GPU, as a phrase."""
    wanted, time = rounded(disk(run, needed)), rounded(hours(run, needed, 0))
    return f"about {wanted} GB of disk and {time} GPU hours"


def disk(run: Run, needed: Needed) -> float:
    """Roughly how many GB downloads, pictures, embeddings, codes and the rest take."""
    vector_bytes = 2 if run.config["embed"]["dtype"] == "float16" else 4
    size = OTHER_BYTES
    size += sum(run.downloads[file]["bytes"] for file in {file for _, file in needed.files})
    size += sum(bytes_of_pictures(run, name) for name in needed.datasets)
    for model, name in needed.stores:
        size += 2 * rows_of(run, name)[1] * (run.models[model]["dim"] or 0) * vector_bytes
    if needed.trains:
        non_zeros = sum(run.sae_sizes(sae)[1] for _, sae in run.trained())
        size += len(run.config["seeds"]) * _pairs(run) * 2 * non_zeros * 8
    return size / GB


def _pairs(run: Run) -> int:
    """About how many pairs SAEs are trained on; 0 of a store that is broken."""
    if not run.adopted(run.train):
        return rows_of(run, run.train)[1]
    try:
        return shape_of(run.datasets[run.train]["path"])[0]
    except InputError:
        return 0


def bytes_of_pictures(run: Run, name: str) -> int:
    """Roughly how many bytes the pictures of a data set take."""
    return rows_of(run, name)[0] * (run.datasets[name]["picture_bytes"] or PICTURE_BYTES)


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
            pairs, width = shape_of(run.datasets[run.train]["path"])
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
    return run.pictures(name) * (2 if row["kind"] == "edits" else 1), rows


def shape_of(folder: str) -> tuple[int, int]:
    """Rows and width of the images of a store made elsewhere, by the headers of its files.

    Raises
    ------
    InputError
        If one is missing, is no array, or has no rows and columns.
    """
    shapes = list(_shapes(folder))
    return sum(rows for rows, _ in shapes), shapes[0][1]


def width_of(folder: str) -> int:
    """Width of the embeddings of a store made elsewhere, by the header of its first file.

    Raises
    ------
    InputError
        As :func:`shape_of`.
    """
    return next(_shapes(folder))[1]


def _shapes(folder: str) -> Iterator[tuple[int, int]]:
    from isoenergy.embed.layout import find_arrays
    from isoenergy.files import open_npy

    for path in find_arrays(Path(folder))["image"]:
        shape = open_npy(path).shape
        if len(shape) != 2 or not shape[1]:
            raise InputError(f"{folder} has arrays without rows and columns")
        yield shape


def told_time(time: float) -> str:
    """Hours in words."""
    if time < 1 / 12:
        return "minutes"
    if time < 1:
        return f"about {5 * round(time * 12)} minutes"
    return f"about {rounded(time)} hour{'s' * (rounded(time) != '1')}"


def rounded(number: float) -> str:
    """Two significant digits, without an exponent."""
    return f"{float(f'{max(number, 0.1 if number < 1 else 1):.2g}'):.{int(number < 1)}f}"
