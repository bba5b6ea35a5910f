"""What each job asks of a machine: threads, memory, time, disk and GPUs, by the size of its work.

Constants are peaks of memory and CPU times of the demo's jobs (their ``benchmark:`` files), what
grows is counted from the arrays that the code holds. Requests lie above that: a job that runs out
of memory or time is lost, one that asks for a little too much only waits a little longer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from isoenergy.demand import (
    LEAST_MINUTES,
    MB,
    ONE_CORE_SECONDS,
    PLAIN,
    TORCH,
    Asked,
    ask,
    codes_memory,
    encoding_memory,
    gpu_pursuit_seconds,
    pursuit_seconds,
    training_memory,
    transport_memory,
    transport_seconds,
    vectors_memory,
)
from isoenergy.estimate import LARGER, PICTURE_BYTES, PICTURES_PER_SECOND, SMALL_WIDTH
from isoenergy.run import Run
from isoenergy.sizes import Sizes

# An encoder of the hub with its libraries, CUDA's among them, MB.
HUB_ENCODER = 6_000.0
# A process that prepares pictures, MB.
WORKER = 500.0
# Seconds to start Python and its libraries, on a busy machine.
START = 15.0
# Pictures decoded, made upright and written anew by one core in a second, a guess.
_PICTURES_READ = 100.0
# Above so many atoms no spectrum is decomposed, see isoenergy.measure.structure.
_LARGEST_DENSE = 8192


def requests_of(run: Run) -> Callable[..., Asked]:
    """What the jobs of a run ask for.

    Returns
    -------
    callable
        Takes the name of a rule and, by name, the wildcards of a job.
    """
    rules = _Rules(run)
    return cache(lambda rule, **wildcards: getattr(rules, rule)(**wildcards))


class _Rules(Sizes):
    """A method for every rule, whose arguments are its wildcards."""

    # Stage data.

    def write_scenes(self, dataset: str) -> Asked:
        rows = self._pairs(dataset)
        return ask(PLAIN, START + rows * 1e-3, self._pictures_mb(dataset))

    def download_file(self, source: str, file: str) -> Asked:
        size = self._run.downloads[file]["bytes"] / MB
        # At a megabyte a second; a job that ends too early is resumed by the next.
        return ask(PLAIN, START + size, size)

    def read_folder(self, dataset: str) -> Asked:
        pictures = self._pictures(dataset)
        # Eight large pictures may be decoded at a time.
        memory = PLAIN + self._pairs(dataset) * 1e-3 + 8 * 100
        seconds = START + pictures / _PICTURES_READ
        return ask(memory, seconds, 2 * self._pictures_mb(dataset), shared=True)

    def list_links(self, dataset: str) -> Asked:
        # A part of a published list is a parquet file of gigabytes, read by groups of rows.
        return ask(2_000, 1_200 + self._pairs(dataset) * 1e-4, self._pairs(dataset) * 5e-4)

    def list_edits(self, dataset: str) -> Asked:
        return ask(PLAIN, START + self._pairs(dataset) * 1e-3, self._pairs(dataset) * 5e-4)

    def fetch_range(self, dataset: str, part: str) -> Asked:
        download = self._config["download"]
        pictures = 2 * download["range"] * PICTURE_BYTES / MB
        # img2dataset had a peak of 2 GB where two pictures of 300 megapixels came together. The
        # job ends itself after shard_seconds.
        asked = ask(2_500, START, pictures)
        minutes = math.ceil(download["shard_seconds"] / 60) + LEAST_MINUTES
        return Asked(2, asked.mem_mb, minutes, asked.disk_mb)

    def gather_ranges(self, dataset: str) -> Asked:
        # Shards are linked, or copied where they cannot be.
        size = self._pictures_mb(dataset)
        return ask(PLAIN + self._pairs(dataset) * 1e-3, START + size * 1e-2, size)

    def write_examples(self) -> Asked:
        datasets = self._run.pictured()
        return ask(PLAIN, START + 30, sum(map(self._pictures_mb, datasets)))

    # Stage toy.

    def write_toy(self, toy: str) -> Asked:
        block = self._config["toy"]
        return ask(PLAIN + vectors_memory(block["rows"], block["dim"], 8), START)

    def write_sketch(self) -> Asked:
        return ask(PLAIN, START)

    def run_toy(self, toy: str, sae: str, n: str) -> Asked:
        block = self._config["toy"]
        own = block[toy]
        return self._toy(block["training"]["epochs"], own["n_atoms"], own["l0"], block["rows"])

    def search_toy(self, setting: str, n: str) -> Asked:
        row = self._run.toy_search[setting]
        return self._toy(row["epochs"], row["n_atoms"], row["l0"], row["rows"])

    def _toy(self, epochs: int, n_atoms: int, l0: int, rows: int) -> Asked:
        dim = self._config["toy"]["dim"]
        seconds = START + 60 + epochs * pursuit_seconds(rows, dim, n_atoms, l0)
        return ask(TORCH + vectors_memory(rows, dim, 8), seconds)

    def rank_toy(self) -> Asked:
        return ask(PLAIN, START)

    # Stage embed.

    def train_encoder(self, model: str) -> Asked:
        training = self._config["encoder_training"]
        rows = self._pairs(training["dataset"])
        seconds = START + 1e-3 * rows * training["epochs"][model]
        # Small on purpose: one core is enough.
        return ask(TORCH + 0.02 * rows, seconds, self._pictures_mb(training["dataset"]))

    def embed_dataset(self, model: str, dataset: str) -> Asked:
        return self._embedding(model, dataset, self._pictures(dataset))

    def index_pictures(self, dataset: str) -> Asked:
        return ask(PLAIN, START + self._pictures(dataset) * 1e-4)

    def embed_range(self, model: str, dataset: str, part: str) -> Asked:
        return self._embedding(model, dataset, self._config["embed"]["range"])

    def join_ranges(self, model: str, dataset: str) -> Asked:
        pairs = self._pairs(dataset)
        disk = 2 * self._store_mb(model, dataset)
        return ask(PLAIN + pairs * 1e-3, START + pairs * 1e-4, disk)

    def _embedding(self, model: str, dataset: str, pictures: int) -> Asked:
        """Embedding so many pictures of a data set, and their texts."""
        dim = self._dim(model)
        pairs = pictures * self._pairs(dataset) / max(self._pictures(dataset), 1)
        disk = self._pictures_mb(dataset) + self._store_mb(model, dataset)
        workers = self._config["embed"]["workers"]
        if self._run.is_local(model):
            memory = PLAIN + 250 + vectors_memory(pairs, dim, 3)
            asked = ask(memory + WORKER * workers, START + (pairs + pictures) * 1e-3, disk)
        else:
            memory = HUB_ENCODER + vectors_memory(pairs, dim, 1)
            slower = 1 if dim <= SMALL_WIDTH else LARGER / 3
            seconds = START + 60 + slower * (pictures + pairs) / PICTURES_PER_SECOND
            asked = ask(memory + WORKER * workers, seconds, disk, gpu=1)
        return replace(asked, threads=max(asked.threads, 1 + workers))

    embed_classes = embed_edits = embed_dataset
    join_classes = join_edits = join_ranges

    def adopt_store(self, model: str, dataset: str) -> Asked:
        written = vectors_memory(self._pairs(dataset), self._dim(model), 1)
        return ask(PLAIN + written, START + written / 50, 2 * written)

    # Stages train and encode.

    def train_sae(self, model: str, sae: str = "", n: str = "") -> Asked:
        kinds = [sae] if sae else [kind for of, kind in self._run.trained() if of == model]
        seeds = self._seeds if sae else len(self._config["seeds"])
        return self._training(model, kinds, self._config["sae_training"]["epochs"], seeds)

    train_first = train_sae

    def train_swept(self, model: str, sae: str, beta: str = "") -> Asked:
        sweep = self._config["beta_sweep"]
        return self._training(
            model, [sae], sweep["epochs"], 1 if beta else len(self._run.sweep_betas())
        )

    def _training(self, model: str, kinds: Sequence[str], epochs: int, times: int) -> Asked:
        """Training SAEs of these kinds, so many times each."""
        pairs, training = self._pairs(self._run.train), self._config["sae_training"]
        memory, seconds, on_gpu = 0.0, START, START + 60
        disk = self._store_mb(model, self._run.train)
        for sae in kinds:
            dim, n_atoms, l0 = sizes = self._sizes(model, sae)
            one = training_memory(pairs, *sizes, training["batch_size"], self._vector_bytes)
            memory = max(memory, one)
            seconds += times * epochs * pursuit_seconds(pairs, *sizes)
            on_gpu += times * epochs * gpu_pursuit_seconds(pairs, n_atoms / max(dim, 1), l0)
            disk += times * 16 * dim * n_atoms / MB
        # Side by side, as many as a bound of memory lets.
        memory += min((times * len(kinds) - 1) * (memory - TORCH), 1000 * training["memory"])
        # Each process trains on a GPU where it sees one; small SAEs are not worth it.
        gpu = training["processes"] if seconds > ONE_CORE_SECONDS else 0
        if gpu:
            return ask(memory, on_gpu, disk, gpu=gpu)
        asked = ask(memory, seconds, disk, shared=True)
        return replace(asked, threads=max(asked.threads, training["processes"]))

    def encode_store(self, model: str, sae: str, dataset: str, n: str = "") -> Asked:
        pairs, sizes = self._pairs(dataset), self._sizes(model, sae)
        block = self._config["encode"]["block"]
        memory = encoding_memory(pairs, *sizes, block, self._vector_bytes)
        # A pass of training goes forwards and backwards.
        seconds = START + self._seeds * pursuit_seconds(pairs, *sizes) / 2
        return ask(memory, seconds, self._codes_mb(model, sae, dataset), shared=True)

    encode_edits = encode_store

    # Stage measure.

    def measure_embeddings(self, model: str, dataset: str) -> Asked:
        settings = self._config["measure"]
        return self._gap_job(model, dataset, copies=2, forms=1, searched=settings["gap"])

    measure_class_embeddings = measure_embeddings

    def measure_baselines(self, model: str, dataset: str) -> Asked:
        return self._gap_job(model, dataset, 5, 5, self._config["measure"]["ood"])

    def _gap_job(
        self, model: str, dataset: str, copies: float, forms: int, searched: int, base: float = 0.0
    ) -> Asked:
        """Gap and retrieval of so many forms of a store's vectors."""
        pairs, dim, settings = self._pairs(dataset), self._dim(model), self._config["measure"]
        few, searched = min(settings["wasserstein"], pairs), min(searched, pairs)
        memory = PLAIN + base + vectors_memory(pairs, dim, copies) + transport_memory(few)
        # Products and sorting, a guess for one core.
        nearest = 4 * searched**2 * (1e-8 + dim * 1e-11)
        seconds = START + forms * (transport_seconds(few) + nearest + 2e-7 * pairs * dim)
        memory += vectors_memory(searched, dim, 4)
        return ask(memory, seconds, self._store_mb(model, dataset))

    def count_rows(self) -> Asked:
        return ask(PLAIN, START + 60)

    def measure_cosines(self, toy: str) -> Asked:
        block = self._config["toy"]
        return ask(PLAIN + vectors_memory(block["rows"], block["dim"], 4), START)

    def measure_classifier(self, model: str, dataset: str) -> Asked:
        pairs = self._pairs(self._config["datasets"]["classes_train"])
        dim, epochs = self._dim(model), self._config["classifier"]["epochs"]
        memory = TORCH + vectors_memory(pairs + self._pairs(dataset), dim, 1.5)
        stores = (self._config["datasets"]["classes_train"], dataset)
        disk = sum(self._store_mb(model, name) for name in stores)
        return ask(memory, START + epochs * pairs * dim * 4e-7, disk, shared=True)

    def measure_sae(self, model: str, sae: str, dataset: str, n: str = "") -> Asked:
        pairs, (dim, n_atoms, l0) = self._pairs(dataset), self._sizes(model, sae)
        memory = PLAIN + vectors_memory(pairs, dim, 2) + codes_memory(pairs, l0)
        seconds = pairs * (dim + l0**2) * 5e-7 + 2 * transport_seconds(n_atoms) + n_atoms**2 * 1e-6
        memory += transport_memory(n_atoms)
        disk = self._codes_mb(model, sae, dataset)
        return ask(memory, START + self._seeds * seconds, disk)

    def measure_factors(self, model: str, sae: str, dataset: str, n: str = "") -> Asked:
        pairs, (_, _, l0) = self._pairs(dataset), self._sizes(model, sae)
        seconds = START + self._seeds * pairs * l0 * 1e-5
        return ask(PLAIN + codes_memory(pairs, l0), seconds, self._codes_mb(model, sae, dataset))

    def measure_galleries(self, model: str, sae: str, dataset: str, n: str = "") -> Asked:
        pairs, (_, _, l0) = self._pairs(dataset), self._sizes(model, sae)
        # Pictures are looked for in every shard.
        disk = self._codes_mb(model, sae, dataset) + self._pictures_mb(dataset)
        return ask(PLAIN + codes_memory(pairs, l0), START + self._pictures(dataset) * 1e-4, disk)

    def measure_layout(self, model: str, sae: str, dataset: str, n: str = "") -> Asked:
        pairs, (dim, n_atoms, l0) = self._pairs(dataset), self._sizes(model, sae)
        memory = PLAIN + 400 + vectors_memory(pairs, dim, 1) + codes_memory(pairs, l0)
        # UMAP compiles for half a minute; atoms are placed one after the other.
        memory += 4e-3 * n_atoms
        return ask(memory, START + 60 + n_atoms * 0.03, self._codes_mb(model, sae, dataset))

    def measure_quality(self, model: str, sae: str, dataset: str, n: str = "") -> Asked:
        pairs, (dim, n_atoms, l0) = self._pairs(dataset), self._sizes(model, sae)
        dense = min(n_atoms, _LARGEST_DENSE)
        memory = PLAIN + 500 + codes_memory(pairs, l0) + 3 * dense**2 * 8 / MB
        memory += (8 * 3 * n_atoms * dim + 2 * pairs * dim * self._vector_bytes) / MB
        steps = self._config["measure"]["insertion"]
        seconds = pairs * dim * steps * 4e-7 + dense**3 * 3e-10 + pairs * l0**2 * 1e-6
        seconds = START + self._seeds * (seconds + n_atoms**2 * 1e-6)
        return ask(memory, seconds, self._codes_mb(model, sae, dataset), shared=True)

    def measure_stability(self, model: str, sae: str, dataset: str) -> Asked:
        dim, n_atoms, _ = self._sizes(model, sae)
        seeds = len(self._config["seeds"])
        memory = PLAIN + transport_memory(n_atoms) + seeds * n_atoms * dim * 4 / MB
        return ask(memory, START + 2 * seeds * transport_seconds(n_atoms))

    def measure_ranking(self, model: str, sae: str, dataset: str) -> Asked:
        pairs, (dim, _, l0) = self._pairs(dataset), self._sizes(model, sae)
        memory = PLAIN + 500 + vectors_memory(pairs, dim, 2) + codes_memory(pairs, l0)
        seeds = len(self._config["seeds"])
        disk = seeds * self._codes_mb(model, sae, dataset)
        return ask(memory, START + seeds * (60 + pairs * dim * 1e-6), disk)

    def measure_interventions(self, model: str, sae: str, dataset: str, n: str = "") -> Asked:
        codes = codes_memory(self._pairs(dataset), self._sizes(model, sae)[2])
        searched, forms = self._config["measure"]["ood"], 5 * self._seeds
        return self._gap_job(model, dataset, 3, 2 * forms, searched, codes)

    measure_class_interventions = measure_interventions

    def measure_composed(self, model: str, sae: str, dataset: str, n: str = "") -> Asked:
        codes = codes_memory(self._pairs(dataset), self._sizes(model, sae)[2])
        searched, forms = self._config["measure"]["ood"], 6 * self._seeds
        return self._gap_job(model, dataset, 6, forms, searched, codes)

    def measure_sweep(self, model: str, sae: str, dataset: str) -> Asked:
        sizes, pairs = self._sizes(model, sae), self._pairs(dataset)
        block, times = self._config["encode"]["block"], len(self._run.sweep_betas())
        memory = encoding_memory(pairs, *sizes, block, self._vector_bytes)
        memory += vectors_memory(pairs, sizes[0], 1) + codes_memory(pairs, sizes[2])
        seconds = times * (pursuit_seconds(pairs, *sizes) / 2 + pairs * sizes[0] * 1e-6)
        return ask(memory, START + seconds, self._store_mb(model, dataset), shared=True)

    # Stages render and report.

    def render_table(self, target: str) -> Asked:
        return ask(PLAIN, START)

    render_figure = render_table

    def write_report(self) -> Asked:
        return ask(PLAIN, START)

    write_comparison = write_report
