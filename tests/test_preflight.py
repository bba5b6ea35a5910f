import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from isoenergy import estimate, preflight
from isoenergy.config import load_run
from isoenergy.data import fetch
from isoenergy.estimate import Needed
from isoenergy.hub import Checkpoint
from isoenergy.memory import Memory
from isoenergy.preflight import needed_by


def _run(root, name, **changes):
    config = yaml.safe_load((root / f"config/{name}.yaml").read_text()) | changes
    return load_run(config, name, root)


@pytest.fixture
def machine(monkeypatch):
    """Sets what this machine has: free bytes, GPUs, cores, and what hub and servers say."""

    def have(free=1e15, gpus=0, cores=8, checkpoint=None, refused=None):
        monkeypatch.setattr(
            preflight.shutil, "disk_usage", lambda place: SimpleNamespace(free=free)
        )
        monkeypatch.setattr(preflight, "count_gpus", lambda: gpus)
        monkeypatch.setattr(preflight.os, "cpu_count", lambda: cores)
        told = checkpoint or Checkpoint("silent")
        monkeypatch.setattr(preflight, "look_up", lambda *asked: told)
        monkeypatch.setattr(preflight, "look_up_dataset", lambda name: told)
        monkeypatch.setattr(preflight, "why_not", lambda *asked: refused)

    have()
    return have


def _needed(run, paths=None):
    """As before the first run: nothing is downloaded yet."""
    named = run.config["folders"]
    return needed_by(run, paths, lacked=lambda d: () if d in named else run.published(d))


def _missing(run, folder, paths=None):
    return preflight.missing(preflight.inspect(run, folder, _needed(run, paths)))


def test_the_paper_needs_a_gpu_the_hub_and_its_data(root, tmp_path, machine, monkeypatch):
    monkeypatch.setattr(fetch, "_OWN", tmp_path / "none")
    machine(refused="http://there/x: no connection")
    hub, *data, fetcher, gpu = _missing(_run(root, "config"), tmp_path)
    assert "no NVIDIA GPU" in gpu
    assert "CLIP, CLIP-L, OpenCLIP, OpenCLIP-L, SigLIP, SigLIP2 are not in the local cache" in hub
    told = dict(text.removeprefix("data set ").split(": ", 1) for text in data)
    assert list(told) == ["laion", "coco", "imagenet", "imagenet-train", "fashioniq"]
    assert "the model hub cannot be reached, and its links are read from it" in told["laion"]
    assert told["coco"].startswith(
        "annotations_trainval2017.zip and 1 more cannot be downloaded (http://there/x: no connect"
    )
    assert "/data/imagenet is not a folder; correct the key folders" in told["imagenet"]
    assert told["fashioniq"].startswith("cap.dress.train.json and 5 more cannot be downloaded")
    assert "img2dataset, which fetches pictures, is not installed" in fetcher
    run = _run(root, "config")
    deployed = preflight.inspect(run, tmp_path, needed_by(run, None), True)
    assert not any("img2dataset" in told for told in preflight.missing(deployed))
    # The GPUs of a cluster are not those of the machine that jobs are sent from.
    *others, time = preflight.inspect(run, tmp_path, needed_by(run, None), queued=True)
    assert (time.kind, time.missing) == ("time", None)
    assert time.state.startswith("in the queue; about ")
    assert not any("GPU" in told for told in preflight.missing(others))


@pytest.mark.parametrize("name", ["demo", "ci"])
def test_rendered_scenes_need_nothing_but_disk(root, tmp_path, machine, name):
    assert _missing(_run(root, name), tmp_path) == []
    machine(free=1e6)
    (told,) = _missing(_run(root, name), tmp_path)
    assert "has 1 MB free, and about" in told


def test_the_quick_config_needs_its_pictures_and_no_gpu(root, tmp_path, machine):
    run = _run(root, "quick")
    machine(checkpoint=Checkpoint("open", 605_247_071))
    assert _missing(run, tmp_path) == []
    table = preflight.write_items(preflight.inspect(run, tmp_path, _needed(run)))
    assert "on the hub, open" in table
    assert "0.6 GB" in table
    assert "coco-val  1 GB to download, there" in table
    assert "captions CC BY 4.0" in table
    # Under an hour on a laptop of eight cores, as its first line promises.
    assert estimate.hours(run, needed_by(run, None), 8) < 1
    machine(checkpoint=Checkpoint("open"), cores=1)
    assert _missing(run, tmp_path) == []


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("gated", "model CLIP (openai/clip-vit-base-patch32) is gated: accept its licence"),
        ("absent", "model CLIP: the hub has no openai/clip-vit-base-patch32 at revision "),
        ("nameless", "model CLIP: openai/clip-vit-base-patch32 is neither a folder nor a name on"),
        ("silent", "the model hub cannot be reached, and CLIP is not in the local cache"),
    ],
)
def test_an_encoder_that_cannot_be_had_is_told_with_what_to_do(
    root, tmp_path, machine, state, told
):
    machine(checkpoint=Checkpoint(state), gpus=1)
    path = "results/paper/embeddings/CLIP/imagenet/store.json"
    found = _missing(_run(root, "config"), tmp_path, [path])
    assert any(sentence.startswith(told) for sentence in found)


def test_a_folder_stands_for_what_cannot_be_downloaded(root, tmp_path, machine):
    machine(checkpoint=Checkpoint("open"), refused="http://there/x: HTTP 403")
    (told,) = _missing(_run(root, "quick"), tmp_path)
    assert told.startswith("data set coco-val: annotations_trainval2017.zip and 1 more cannot be")
    assert "HTTP 403); name its folder under the key folders if you have it" in told
    named = _run(root, "quick", folders={"coco-val": "mine"})
    (told,) = _missing(named, tmp_path)
    assert "/mine is not a folder; correct the key folders" in told
    (tmp_path / "mine").mkdir()
    (told,) = _missing(named, tmp_path)
    assert "nor annotations/captions_val2017.json as it is published" in told
    (tmp_path / "mine/pairs.csv").write_text("image,caption\n")
    assert _missing(named, tmp_path) == []


def test_too_few_pairs_of_a_folder_are_told(root, tmp_path, machine):
    machine(checkpoint=Checkpoint("open"))

    def written(count, paths=None, **changes):
        # A caption may go over lines.
        lines = [f'{i}.png,"picture\n{i}"' for i in range(count)]
        (tmp_path / "pairs.csv").write_text("\n".join(["image,caption", *lines]) + "\n")
        run = _run(root, "quick", folders={"coco-val": str(tmp_path)}, **changes)
        return preflight.write_items(preflight.inspect(run, tmp_path, _needed(run, paths)))

    # 8 epochs of two batches of 512.
    told = "only 16 steps of training, raise sae_training.epochs"
    assert f"training  coco-val  600 pairs; {told}" in written(600)
    # 25 batches are 200 steps.
    assert "steps of training" in written(24 * 512)
    assert "steps of training" not in written(24 * 512 + 1)
    # Of many rows few may be asked for.
    assert f"600 pairs; {told}" in written(24 * 512 + 1, rows={"coco-val": 600})
    # And pictures alone are no training.
    assert "steps of training" not in written(600, ["results/quick/data/coco-val/pairs.parquet"])


def test_too_few_pairs_of_a_table_in_parquet_are_told(root, tmp_path, machine):
    table = pd.DataFrame({"image": ["0.png"] * 600, "caption": "a"})
    table.to_parquet(tmp_path / "pairs.parquet")
    run = _run(root, "quick", folders={"coco-val": str(tmp_path)})
    assert "600 pairs; only 16 steps" in preflight.write_items(
        preflight.inspect(run, tmp_path, _needed(run))
    )


def test_a_list_of_links_that_the_hub_keeps_back_is_told(root, tmp_path, machine, monkeypatch):
    machine(gpus=1, checkpoint=Checkpoint("open"))
    asked = []

    def answer(name):
        asked.append(name)
        return Checkpoint("gated" if "relaion" in name else "absent")

    monkeypatch.setattr(preflight, "look_up_dataset", answer)
    paths = ["results/paper/data/laion/pairs.parquet"]
    run = _run(root, "config", download=_run(root, "config").config["download"] | {"python": "/"})
    (told,) = _missing(run, tmp_path, paths)
    assert "the list of links laion/relaion2B-en-research-safe is gated: accept its terms" in told
    assert "`hf auth login`" in told
    assert asked == ["laion/relaion2B-en-research-safe", "laion/laion400m"]
    monkeypatch.setattr(
        preflight, "look_up_dataset", lambda n: Checkpoint("gated" if "re" in n else "open")
    )
    assert _missing(run, tmp_path, paths) == []
    items = preflight.inspect(run, tmp_path, _needed(run, paths))
    assert items[0].state == "links from laion/laion400m, open"


def test_too_little_disk_is_told(root, tmp_path, machine):
    machine(free=20e9, gpus=1, checkpoint=Checkpoint("present"))
    found = _missing(_run(root, "config"), tmp_path)
    (told,) = [sentence for sentence in found if "GB free" in sentence]
    assert "has 20 GB free, and about" in told


def test_a_gpu_is_enough(root, tmp_path, machine):
    machine(gpus=1, checkpoint=Checkpoint("present"))
    assert all(
        sentence.startswith(("data set ", "img2dataset, "))
        for sentence in _missing(_run(root, "config"), tmp_path)
    )


def test_names_in_paths_tell_what_is_needed(root):
    run = _run(root, "config")

    def needed(*paths):
        return needed_by(run, [f"results/paper/{path}" for path in paths])

    assert needed("data/coco/pairs.parquet") == Needed((), ("coco",), False)
    raw = needed("metrics/CLIP/embeddings/coco/recall_at_1.json")
    assert raw == Needed((("CLIP", "coco"),), ("coco",), False)
    elsewhere = needed("metrics/CLIP/SAE-A/seed0/coco/interventions/masked/wasserstein.json")
    assert elsewhere.stores == (("CLIP", "laion"), ("CLIP", "coco"))
    assert elsewhere.trains
    classifier = needed("metrics/CLIP/embeddings/imagenet/classifier_at_1.json")
    assert classifier.datasets == ("imagenet", "imagenet-train")
    assert needed("toy/toy-1/cosines.parquet") == Needed((), (), False)


def test_small_encoders_need_what_they_are_trained_on(root):
    run = _run(root, "demo")
    found = needed_by(run, ["results/demo/metrics/SceneCLIP/embeddings/scenes/pca.parquet"])
    assert found.stores == (("SceneCLIP", "scenes"),)
    assert set(found.datasets) == {"scenes", "scenes-pretrain"}
    assert {name for _, name in needed_by(run, None).stores}.isdisjoint({"scenes-pretrain"})


def test_what_is_made_is_not_needed_again(root):
    run = _run(root, "config")
    found = needed_by(run, None, embedded=lambda m, d: m != "CLIP", read=lambda d: d == "coco")
    assert {model for model, _ in found.stores} == {"CLIP"}
    assert "coco" not in found.datasets
    everything = needed_by(run, None, embedded=lambda m, d: True, read=lambda d: True)
    assert (everything.stores, everything.datasets) == ((), ())


def test_the_estimates_grow_with_the_data(root):
    def of(rows):
        run = _run(root, "config", rows={"laion": rows})
        needed = needed_by(run, None)
        return estimate.disk(run, needed), estimate.hours(run, needed, 0)

    (disk, time), (more_disk, more_time) = of(1_000_000), of(10_000_000)
    assert 0 < 2 * disk < more_disk
    assert 0 < 2 * time < more_time


def test_the_disk_of_the_demo_is_what_it_took(root):
    run = _run(root, "demo")
    # README: results take 0.6 GB.
    assert estimate.disk(run, needed_by(run, None)) == pytest.approx(0.6, rel=0.2)


def test_what_is_downloaded_takes_disk_once(root):
    run = _run(root, "quick")
    before, after = (estimate.disk(run, needed) for needed in (_needed(run), needed_by(run, None)))
    assert before - after == pytest.approx((815_585_330 + 252_907_541) / 1e9)


def _hours(root, **changes):
    run = _run(root, "config", **changes)
    return estimate.hours(run, needed_by(run, None), 0)


def test_the_estimate_holds_the_sweep(root):
    sweep = _run(root, "config").config["beta_sweep"]
    # 101 SAEs of five epochs on a million pairs, at 50,000 pairs a second.
    found = _hours(root, beta_sweep=sweep) - _hours(root, beta_sweep=None)
    assert found == pytest.approx(101 * 5 * 20 / 3600)


def test_the_estimate_grows_with_large_dictionaries(root):
    large, middle, none = (
        _hours(root, comparisons={"table_03": None, "table_04": table})
        for table in (["SAE-64"], ["SAE-16"], None)
    )
    assert large > middle > none


def test_a_store_is_told_by_its_headers_and_timed(root, tmp_path, machine):
    def inspected():
        run = _run(root, "store", store=str(tmp_path / "mine"))
        needed = needed_by(run, None)
        return preflight.inspect(run, tmp_path, needed), estimate.hours(run, needed, 2)

    (tmp_path / "mine").mkdir()
    items, _ = inspected()
    assert "has no img_emb/img_emb_*.npy" in preflight.missing(items)[0]
    np.save(tmp_path / "mine/image.npy", np.zeros((30_000, 256), dtype=np.float16))
    np.save(tmp_path / "mine/text.npy", unit(30_000, 256, 1).astype(np.float16))
    items, time = inspected()
    assert "row 0 is all zero" in preflight.missing(items)[0]
    np.save(tmp_path / "mine/image.npy", unit(30_000, 256, 0).astype(np.float16))
    items, time = inspected()
    assert preflight.missing(items) == []
    assert "30,000 rows of 256 in" in preflight.write_items(items)
    # 15 epochs of six SAEs, at twice 2,000 pairs a second: README measured 11 minutes in all.
    assert time == pytest.approx(30_000 * 15 * 6 / 4_000 / 3600)
    assert "steps of training" not in preflight.write_items(items)


def test_a_store_is_refused_for_what_a_first_look_finds(root, tmp_path, machine):
    def told(image, text):
        (tmp_path / "mine").mkdir(exist_ok=True)
        for seed, (name, shape) in enumerate((("image", image), ("text", text))):
            np.save(tmp_path / f"mine/{name}.npy", unit(*shape, seed))
        run = _run(root, "store", store=str(tmp_path / "mine"))
        items = preflight.inspect(run, tmp_path, needed_by(run, None))
        return preflight.missing(items), preflight.write_items(items)

    missing, _ = told((30, 32), (30, 64))
    assert "30 rows of 64 and" in missing[0]
    missing, _ = told((30, 32), (30, 32))
    assert "mine has 30 pairs, and a step of training takes 512" in missing[0]
    missing, written = told((600, 32), (600, 32))
    assert missing == []
    # 15 epochs of two batches each.
    assert "only 30 steps of training, raise sae_training.epochs" in written


def test_the_memory_of_the_largest_job_is_told(root):
    run, used = _run(root, "ci"), {"saes": True, "toys": True}
    item = preflight.inspect_memory(run, Memory(16_000, "this machine"), used)
    assert (item.state, item.missing) == ("16 GB on this machine", None)
    assert re.fullmatch(r"0\.\d GB by training [\w-]+", item.size)
    item = preflight.inspect_memory(run, Memory(100, "this machine"), used)
    assert "of memory, and this machine has 0.1 GB; at its lowest it leaves" in item.missing
    nothing = preflight.inspect_memory(run, Memory(1, "this machine"), dict.fromkeys(used, False))
    assert (nothing.size, nothing.missing) == ("", None)


def unit(n, dim, seed):
    values = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)
