import re

import pytest
import yaml

from isoenergy import preflight
from isoenergy.config import load_run
from isoenergy.data import fetch


def _run(root, name, **changes):
    config = yaml.safe_load((root / f"config/{name}.yaml").read_text()) | changes
    return load_run(config, name, root)


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(preflight.shutil, "which", lambda name: None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_the_paper_needs_a_gpu_the_hub_and_its_data(root, tmp_path, bare_machine, monkeypatch):
    monkeypatch.setattr(fetch, "_OWN", tmp_path / "none")
    gpu, hub, *folders, fetcher = preflight.missing(_run(root, "config"), tmp_path)
    assert "no NVIDIA GPU" in gpu
    assert "CLIP, CLIP-L, OpenCLIP, OpenCLIP-L, SigLIP, SigLIP2 are not in the local cache" in hub
    assert [text.split(":")[0] for text in folders] == [
        f"data set {name}" for name in ("laion", "coco", "imagenet", "imagenet-train", "fashioniq")
    ]
    assert "the hub, which lists its links, cannot be reached" in folders[0]
    assert "img2dataset, which fetches pictures, is not installed" in fetcher
    assert not any("img2dataset" in t for t in preflight.missing(_run(root, "config"), ".", True))


def test_the_demo_needs_nothing(root, tmp_path, bare_machine):
    assert preflight.missing(_run(root, "demo"), tmp_path) == []


def test_a_data_folder_that_is_there_is_not_missed(root, tmp_path, bare_machine):
    (tmp_path / "data/coco").mkdir(parents=True)
    (tmp_path / "data/coco/pairs.csv").write_text("image,caption\n")
    told = "\n".join(preflight.missing(_run(root, "config"), tmp_path))
    assert "data set coco" not in told
    assert "data set laion" in told


def test_the_estimate_grows_with_the_data(root):
    def disk(rows):
        run = _run(root, "config", rows={"laion": rows})
        return int(re.match(r"about (\d+) GB", preflight.estimate(run))[1])

    assert disk(10_000_000) > 2 * disk(1_000_000) > 0


def test_the_estimate_holds_the_sweep(root):
    def hours(sweep):
        run = _run(root, "config", beta_sweep=sweep)
        return int(re.search(r"(\d+) GPU hours", preflight.estimate(run))[1])

    sweep = _run(root, "config").config["beta_sweep"]
    # 101 SAEs of five epochs on a million pairs, at 50,000 pairs a second.
    assert hours(sweep) - hours(None) == pytest.approx(101 * 5 * 20 / 3600, abs=1)


def test_the_estimate_grows_with_large_dictionaries(root):
    def hours(table):
        run = _run(root, "config", comparisons={"table_03": None, "table_04": table})
        return int(re.search(r"(\d+) GPU hours", preflight.estimate(run))[1])

    assert hours(["SAE-64"]) > hours(["SAE-16"]) >= hours(None)
