from functools import cache

import numpy as np
import pytest
import yaml

from isoenergy.config import load_run
from isoenergy.demand import Asked, ask, encoding_memory, training_memory
from isoenergy.resources import requests_of

# Peaks of the demo's jobs in MB, from the `benchmark:` files of a run, by rule and wildcards.
SCENES = {"model": "SceneCLIP", "dataset": "scenes"}
OF_SAE = {**SCENES, "sae": "SAE-A"}
PEAKS = [
    ("write_scenes", {"dataset": "scenes"}, 225),
    ("train_encoder", {"model": "SceneCLIP"}, 1194),
    ("embed_dataset", SCENES, 611),
    ("train_sae", {"model": "SceneCLIP", "sae": "SAE-A"}, 493),
    ("encode_store", OF_SAE, 494),
    ("measure_sae", OF_SAE, 343),
    ("measure_factors", OF_SAE, 221),
    ("measure_embeddings", SCENES, 459),
    ("measure_classifier", {"model": "SceneCLIP", "dataset": "scenes-classes"}, 439),
]


@cache
def _requests(root, name, **changes):
    config = yaml.safe_load((root / f"config/{name}.yaml").read_text())
    for key, value in changes.items():
        part, _, last = key.rpartition("__")
        (config[part] if part else config)[last] = value
    return requests_of(load_run(config, name, root))


def test_requests_lie_above_what_is_expected_and_are_rounded_up():
    assert ask(memory=1000, seconds=60, disk=10) == Asked(1, 1400, 10, 100)
    assert ask(memory=1001, seconds=600, disk=100) == Asked(1, 1500, 30, 200)


def test_long_work_that_can_be_shared_takes_more_cores_and_less_time():
    # Eight cores do the work of 1 + 0.7 * 7 = 5.9; three times 5800 / 5.9 seconds are 50 minutes.
    assert ask(100, 5800, shared=True) == Asked(8, 200, 50, 100)
    assert ask(100, 5800).threads == 1
    assert ask(100, 100, shared=True).threads == 1
    assert ask(100, 5800, gpu=1) == Asked(8, 200, 290, 100, 1)


def test_training_takes_the_memory_that_was_measured_for_large_dictionaries():
    # benchmarks/pursuit.py, d 512 and 1,024 rows a step: 0.6 GB with 4,096 atoms and 4.2 GB with
    # 32,768, which is the Gram matrix of all atoms.
    small = training_memory(0, 512, 4096, 20, 512, 2)
    large = training_memory(0, 512, 32_768, 50, 512, 2)
    assert 600 < small < 1200
    assert 4200 < large < 2 * 4200
    # A million pairs in float16 are 2 GB, and their order 8 MB.
    assert training_memory(1e6, 512, 4096, 20, 512, 2) - small == pytest.approx(2048 + 8)


def test_a_block_of_codes_bounds_the_memory_of_encoding():
    # Beyond the arrays on disk: 2 * n * (d * 2 + l0 * 8) bytes.
    few, many = (encoding_memory(n, 512, 4096, 20, 4096, 2) for n in (0, 1e6))
    assert many - few == pytest.approx(2 * (1024 + 160))
    assert encoding_memory(0, 512, 4096, 20, 256, 2) < few


@pytest.mark.parametrize(("rule", "wildcards", "peak"), PEAKS)
def test_jobs_of_the_demo_ask_for_more_than_they_took_and_not_for_much_more(
    root, rule, wildcards, peak
):
    asked = _requests(root, "demo")(rule, **wildcards)
    assert peak * 1.1 < asked.mem_mb < peak * 4


def test_no_job_of_the_demo_takes_both_of_two_cores_or_a_gpu(root):
    requests = _requests(root, "demo")
    for rule, wildcards, _ in PEAKS:
        assert requests(rule, **wildcards).threads == 1, rule
        assert requests(rule, **wildcards).gpu == 0, rule
    for rule, wildcards in (("train_swept", {"sae": "SAE-A"}), ("train_sae", {})):
        asked = requests(rule, model="SceneCLIP", **wildcards)
        assert (asked.threads, asked.gpu) == (1, 0), rule


def test_encoders_of_the_hub_get_a_gpu_and_downloads_and_plots_none(root):
    requests = _requests(root, "config")
    assert requests("embed_dataset", model="CLIP", dataset="laion").gpu == 1
    assert requests("train_sae", model="CLIP", sae="SAE").gpu == 1
    for rule, wildcards in (
        ("fetch_range", {"dataset": "laion", "part": "00000"}),
        ("gather_ranges", {"dataset": "laion"}),
        ("render_figure", {"target": "figure_02"}),
        ("render_table", {"target": "table_01"}),
        ("measure_galleries", {"model": "SigLIP2", "sae": "SAE-A", "dataset": "laion"}),
    ):
        assert requests(rule, **wildcards).gpu == 0, rule


@pytest.mark.parametrize("rule", ["train_sae", "encode_store", "measure_sae", "measure_quality"])
def test_memory_grows_with_pairs_and_atoms(root, rule):
    def asked(**changes):
        wildcards = {"model": "CLIP", "sae": "SAE"}
        wildcards |= {} if rule == "train_sae" else {"dataset": "laion"}
        return _requests(root, "config", **changes)(rule, **wildcards).mem_mb

    usual = asked()
    assert asked(rows__laion=4_000_000) > 1.5 * usual
    assert asked(sae__expansion=64) > usual


def test_a_job_for_several_seeds_asks_for_their_time_and_no_more_memory(root):
    wildcards = {"model": "CLIP", "sae": "SAE", "dataset": "laion"}
    apart, together = (
        _requests(root, "config", together=value)("measure_sae", **wildcards)
        for value in (False, True)
    )
    assert together.mem_mb == apart.mem_mb
    assert together.runtime == pytest.approx(3 * apart.runtime, rel=0.1)


def test_the_size_of_a_store_made_elsewhere_is_read_from_its_files(root, tmp_path):
    for name in ("image", "text"):
        rows = np.lib.format.open_memmap(
            tmp_path / f"{name}.npy", mode="w+", dtype=np.float16, shape=(200_000, 64)
        )
        rows.flush()
    requests = _requests(root, "store", store=str(tmp_path))
    found = requests("measure_embeddings", model=tmp_path.name, dataset=tmp_path.name)
    # Two float32 copies of both sides are 205 MB.
    (tmp_path / "image.npy").unlink()
    (tmp_path / "text.npy").unlink()
    assert found.mem_mb - ask(450 + 64, 0).mem_mb > 1.4 * 205


def test_a_range_of_links_ends_itself_before_its_time(root):
    asked = _requests(root, "config")("fetch_range", dataset="laion", part="00007")
    assert asked.runtime > 7200 / 60
    assert asked.disk_mb >= 10_000 * 30_000 / 1e6
