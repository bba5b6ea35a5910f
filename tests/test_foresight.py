"""What is known of a run before its first job: own stores, memory, few steps."""

import numpy as np
import pytest
import yaml
from snakemake.resources import Resource

from isoenergy import memory
from isoenergy.config import load_run
from isoenergy.errors import InputError
from isoenergy.files import write_json
from isoenergy.foresight import foresee, pairs_of, store_notes, training_notes
from isoenergy.memory import LARGEST, Memory, job_memory, largest_job, machine_memory, too_large

HERE = Memory(16_000, "this machine")


def unit(n, dim, seed):
    values = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture
def own(root, tmp_path):
    """A run of config/store.yaml on a store of so many pairs, some keys changed."""

    def make(n=600, dim=32, **changes):
        folder = tmp_path / "mine"
        folder.mkdir(exist_ok=True)
        for seed, side in enumerate(("image", "text")):
            np.save(folder / f"{side}.npy", unit(n, dim, seed))
        config = yaml.safe_load((root / "config/store.yaml").read_text()) | {"store": str(folder)}
        for key, value in changes.items():
            *path, last = key.split("__")
            part = config
            for name in path:
                part = part[name]
            part[last] = value
        return load_run(config, "mine.yaml", root)

    return make


def seen(run, **changes):
    used = {"stores": True, "saes": True, "toys": False} | changes
    return foresee(run, **used, memory=HERE)


def test_a_sound_store_has_no_faults(own):
    faults, notes = seen(own(24 * 512 + 1, sae_training__epochs=8))
    assert (faults, notes) == ([], [])


def test_few_steps_are_told_of_what_trains_alone(own):
    run = own(600)
    told = "mine: 600 pairs make only 30 steps of training, raise sae_training.epochs"
    assert seen(run) == ([], [told])
    assert seen(run, saes=False) == ([], [])
    assert training_notes(run) == [told]


def test_fewer_pairs_than_a_batch_are_refused_where_something_is_trained(own):
    run = own(511)
    (fault,), _ = seen(run)
    assert fault.endswith(
        "/mine has 511 pairs, and a step of training takes 512: lower sae_training.batch_size, or "
        "embed more pairs"
    )
    assert seen(run, saes=False) == ([], [])
    assert seen(own(511, sae_training__batch_size=511))[0] == []


def test_a_store_is_not_looked_at_where_nothing_is_made_of_it(own, tmp_path):
    run = own()
    (tmp_path / "mine/image.npy").unlink()
    (fault,), _ = seen(run)
    assert "has no image.npy" in fault
    assert seen(run, stores=False, saes=False) == ([], [])


def test_each_broken_store_is_told(own, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for side in ("image", "text"):
        np.save(other / f"{side}.npy", np.zeros((9, 31), dtype=np.float32))
    faults, _ = seen(own(test_store=str(other)))
    assert len(faults) == 1
    assert f"{other} has rows of 31 and " in faults[0]
    (tmp_path / "mine/text.npy").unlink()
    run = own(test_store=str(other))
    (tmp_path / "mine/text.npy").unlink()
    assert len(seen(run)[0]) == 2


def test_what_was_found_in_all_rows_is_told_again(tmp_path):
    write_json(tmp_path / "store.json", {"notes": ["only 3 rows differ"]})
    write_json(tmp_path / "older.json", {})
    paths = [tmp_path / name for name in ("store.json", "older.json", "gone.json")]
    assert store_notes(paths) == ["only 3 rows differ"]


def test_a_description_that_is_none_is_told(tmp_path):
    write_json(tmp_path / "store.json", ["notes"])
    with pytest.raises(
        InputError, match=r"store\.json does not describe a store; delete it and run"
    ):
        store_notes([tmp_path / "store.json"])


def test_pairs_of_data_sets_are_those_that_the_config_knows(root, tmp_path):
    config = yaml.safe_load((root / "config/quick.yaml").read_text())
    (tmp_path / "pairs.csv").write_text("image,caption\n" + "a.png,a\n" * 70)
    run = load_run(config | {"folders": {"coco-val": "."}}, "quick", root)
    assert pairs_of(run, tmp_path) == 70
    assert pairs_of(load_run(config, "quick", root), tmp_path) == run.datasets["coco-val"]["rows"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"sae__expansion": 10**9}, "key sae.expansion is 1000000000"),
        ({"sae__expansion": 20_000}, "key sae.expansion is 20000"),
        (
            {"sae__expansion": 300, "sae_training__batch_size": 10**6, "n": 10**6, "dim": 2},
            "key sae_training.batch_size is 1000000",
        ),
        (
            {"sae__expansion": 300, "encode__block": 10**7, "n": 10**7, "dim": 2},
            "key encode.block is 10000000",
        ),
        ({"measure__wasserstein": 10**6, "n": 10**6, "dim": 2}, "key measure.wasserstein is"),
    ],
    ids=["atoms", "fewer atoms", "batch", "block", "transport"],
)
def test_sizes_that_do_not_fit_name_the_key_to_lower(own, monkeypatch, changes, key):
    n, dim = changes.pop("n", 600), changes.pop("dim", 32)
    run = own(dim=32, **changes)
    monkeypatch.setattr("isoenergy.sizes.shape_of", lambda folder: (n, dim))
    told = too_large(run, True, False, HERE)
    assert told.startswith(f"{key}")
    assert "GB of memory, and this machine has 16 GB; lower it" in told
    assert too_large(own(), True, False, HERE) is None


def test_what_lowering_one_key_does_not_mend_is_told(own, monkeypatch):
    run = own()
    monkeypatch.setattr("isoenergy.sizes.shape_of", lambda folder: (600, 40_000))
    told = too_large(run, True, False, HERE)
    assert "and this machine has 16 GB; at its lowest it leaves 6" in told
    assert told.endswith("so lower others too, or take narrower embeddings or a larger machine")


def test_a_fault_of_memory_says_how_to_start_all_the_same(own):
    (fault,), _ = seen(own(sae__expansion=10**9))
    assert fault.endswith("or pass --config preflight=false to start all the same")
    assert seen(own(sae__expansion=10**9), saes=False)[0] == []


def test_an_sae_with_an_expansion_of_its_own_names_its_row(root, own):
    run = own(dim=32, saes=["SAE-64"], comparisons__table_03=None)
    assert run.saes["SAE-64"]["expansion"] == 64
    assert too_large(run, True, False, Memory(650, "it")).startswith(
        "config/saes.tsv: SAE-64 has expansion 64, so that "
    )


def test_a_store_larger_than_memory_is_no_fault(own, monkeypatch):
    run = own()
    monkeypatch.setattr("isoenergy.sizes.shape_of", lambda folder: (10**9, 512))
    assert too_large(run, True, False, HERE) is None
    assert largest_job(run, True, False).memory < 2_000


@pytest.mark.parametrize("name", ["config", "quick", "demo", "ci"])
def test_every_config_of_the_repository_fits_a_machine_of_16_gb(root, name):
    run = load_run(yaml.safe_load((root / f"config/{name}.yaml").read_text()), name, root)
    assert too_large(run, True, bool(run.toys()), HERE) is None


def test_toy_data_have_keys_of_their_own(root):
    config = yaml.safe_load((root / "config/ci.yaml").read_text())
    config["toy"]["rows"] = 10**10
    run = load_run(config, "ci", root)
    told = too_large(run, False, True, HERE)
    assert told.startswith("key toy.rows is 10000000000, so that training on toy-2 takes at least")
    assert too_large(run, True, False, HERE) is None
    config["toy"]["rows"], config["toy"]["toy-2"]["n_atoms"] = 600, 10**7
    run = load_run(config, "ci", root)
    assert too_large(run, False, True, HERE).startswith("key toy.toy-2.n_atoms is 10000000")


def test_a_container_has_the_memory_that_it_may_take(tmp_path, monkeypatch):
    whole = machine_memory().size
    limits = [tmp_path / name for name in ("max", "bytes", "none")]
    limits[0].write_text("max\n")
    monkeypatch.setattr(memory, "_CGROUP", tuple(map(str, limits)))
    assert machine_memory().size == whole
    limits[1].write_text("500000000\n")
    assert machine_memory() == Memory(500, "this machine")


def test_nodes_of_a_cluster_have_what_the_profile_says_or_are_not_known():
    assert job_memory(False, Resource("mem_mb", 100)) == machine_memory()
    assert job_memory(True, Resource("mem_mb", 64_000)) == Memory(64_000, "the profile")
    # With the executor for SLURM Snakemake has a resource without a value.
    assert job_memory(True, Resource("mem_mb", None)) == LARGEST
    assert job_memory(True, None) == LARGEST
