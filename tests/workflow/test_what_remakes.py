"""Which keys of the config have files made again, and which have not.

Snakemake makes a file again when the inputs or the params of its job are others than they were.
"""

import copy
import functools
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from snakemake.api import SnakemakeApi
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)

from isoenergy import config as config_module
from isoenergy.schema import load_schema, read_registry
from isoenergy.seeds import derive_seed

# Nothing is made again when one of these changes.
SPARING = {
    "download.python": "/opt/bin/python",
    "download.server": "http://127.0.0.1:9",
    "download.threads": 3,
    "embed.workers": 5,
    "encode.block": 77,
    "preflight": False,
    "sae_training.memory": 0.5,
}
# What the others are changed to. The new value is told by a param under the key's own name, or by
# a param of its own; where it is not, by what comes second here: a number that is a param, or a
# part of a param or path.
REMAKING = {
    "beta_sweep.count": (4, "1.063e-02"),
    "beta_sweep.epochs": 13,
    "beta_sweep.high": (0.3, "3.000e-01"),
    "beta_sweep.low": (2e-3, "2.000e-03"),
    "beta_sweep.sae": ("TopK-A", "saes/SceneCLIP/TopK-A/sweep"),
    "beta_sweep.seed": (7, f"'seed': {derive_seed(5, 'sae', 'SceneCLIP', 7)}"),
    "classifier.batch_size": 1361,
    "classifier.epochs": 1367,
    "classifier.rate": 0.0713,
    "classifier.warm_up_steps": 1373,
    "comparisons.table_03": (["ReLU"], "saes/SceneCLIP/ReLU/seed0"),
    "comparisons.table_04": (["JumpReLU"], "saes/SceneCLIP/JumpReLU/seed0"),
    "datasets.transfer": (["scenes-pretrain"], "embeddings/SceneCLIP/scenes-pretrain/"),
    "embed.batch_size": 1381,
    "embed.dtype": "float32",
    "embed.part": 1511,
    "embed.precision": "float16",
    "embed.range": (1511, "ranges/00001"),
    "embed.short_texts": True,
    "encoder_training.batch_size": 1409,
    "encoder_training.epochs": ({"SceneCLIP": 19}, 19),
    "galleries.blur": True,
    "measure.gap": 1423,
    "measure.insertion": 1427,
    "measure.means": "own",
    "measure.ood": 1429,
    "measure.probe": 1433,
    "measure.recall": 1439,
    "measure.tau": 0.0717,
    "measure.wasserstein": 1447,
    "models": (["SceneCLIP", "SceneSigLIP"], "embeddings/SceneSigLIP/scenes/"),
    "results": ("results/other", "results/other/"),
    "rows": ({"scenes": 1451}, 1451),
    "sae.beta": (0.0719, "'beta': 0.0719"),
    "sae.expansion": 5,
    "sae.l0": 11,
    "sae_training.batch_size": 1453,
    "sae_training.clip_norm": 0.0723,
    "sae_training.epochs": 23,
    "sae_training.peak_rate": 0.0727,
    "sae_training.processes": 2,
    "saes": (["SAE", "SAE-A", "TopK"], "saes/SceneCLIP/TopK/seed0"),
    "seed": (5, derive_seed(5, "data", "scenes")),
    "seeds": ([0, 7], "seed7/"),
    "toy.dim": 61,
    "toy.rows": 601,
    "toy.saes": (["SAE", "ReLU"], "toy/toy-1/ReLU/"),
    "toy.seeds": ([0, 3], "toy/toy-1/SAE/seed3/"),
    "toy.training.batch_size": 67,
    "toy.training.clip_norm": 0.0729,
    "toy.training.epochs": 29,
    "toy.training.peak_rate": 0.0731,
    "toy.toy-1.active": 5,
    "toy.toy-1.beta": 0.0733,
    "toy.toy-1.distance_reading": ("live", "'distance': 'live'"),
    "toy.toy-1.k": 2,
    "toy.toy-1.l0": 6,
    "toy.toy-1.matching_reading": ("live, energy", "'matching': 'live, energy'"),
    "toy.toy-1.n_atoms": 31,
    "toy.toy-1.tau_1": 0.737,
    "toy.toy-1.tau_2": 0.339,
    "toy.toy-2.active": 7,
    "toy.toy-2.beta": 0.0741,
    "toy.toy-2.distance_reading": ("split, unsquared", "'distance': 'split, unsquared'"),
    "toy.toy-2.k": 9,
    "toy.toy-2.l0": 13,
    "toy.toy-2.matching_reading": ("split, energy", "'matching': 'split, energy'"),
    "toy.toy-2.n_atoms": 43,
    "toy.toy-2.tau_1": 0.743,
    "toy.toy-2.tau_2": 0.347,
}
# Of these each alone changes what jobs there are, or what they read.
ALONE = {
    "datasets.classes": None,
    "datasets.classes_train": "scenes-classes",
    "datasets.edits": None,
    "datasets.train": "scenes-pretrain",
    "encoder_training.dataset": "scenes",
    "sae_training.one_job": True,
    "together": False,
}
# The same where pictures are fetched. A file that is downloaded whole is known by its digest.
FETCHING = {
    "download.agent": "isoenergy-test",
    "download.lists": ({"laion": "{}/list.parquet"}, "{}/list.parquet"),
    "download.max_bytes": 1459,
    "download.pause": 31,
    "download.picture_seconds": 37,
    "download.private_addresses": True,
    "download.range": 41,
    "download.retries": 43,
    "download.sample": "random",
    "download.shard_seconds": 1471,
    "download.side": 47,
    "download.timeout": 53,
    "folders": ({"imagenet": "{}/pictures"}, "{}/pictures"),
    "transparency": "white",
}
# And with stores made elsewhere.
ADOPTING = {"normalise": True, "store": "{}/b", "test_store": "{}/b"}


@pytest.fixture(scope="module")
def plan(root, tmp_path_factory):
    """What decides whether files of a run are made again: by outputs, the inputs and params."""
    folder = tmp_path_factory.mktemp("plans")
    for name in ("a", "b"):
        (folder / name).mkdir()
        for side in ("image", "text"):
            np.save(folder / name / f"{side}.npy", np.eye(4, dtype=np.float32))
    (folder / "pictures").mkdir()
    pd.DataFrame({"url": ["a"]}).to_parquet(folder / "list.parquet")
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "argv", ["plan"])
    # Rows of registries are not changed in place.
    read = functools.cache(_reading(root))
    patch.setattr(config_module, "read_registry", lambda path, schema: read(path))
    made = {}

    def of(base, changes, target="all"):
        config = _changed(base, changes, folder)
        key = f"{config} {target}"
        if key not in made:
            made[key] = planned(config, target)
        return made[key]

    def planned(config, target):
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        patch.chdir(folder)
        with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
            called = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=[path]),
                snakefile=root / "workflow/Snakefile",
                workdir=folder,
            )
            called.dag(DAGSettings(targets={target}))
            workflow = called._workflow
            workflow._prepare_dag(
                forceall=True, ignore_incomplete=True, lock_warn_only=True, nolock=True
            )
            workflow._build_dag()
            return {
                " ".join(map(str, job.output)) or job.rule.name: (
                    sorted(map(str, job.input)),
                    workflow.persistence._params(job),
                )
                for job in workflow.dag.jobs
            }

    yield of
    patch.undo()


def _reading(root):
    return lambda path: read_registry(
        path, load_schema(root / f"workflow/schemas/{path.stem}.schema.yaml")
    )


def _changed(base, changes, folder):
    config = copy.deepcopy(base)
    for key, value in changes.items():
        *path, last = key.split(".")
        inner = config
        for part in path:
            inner[part] = inner[part] or {}
            inner = inner[part]
        if isinstance(value, dict):
            inner[last] = (inner[last] or {}) | {k: _filled(v, folder) for k, v in value.items()}
        else:
            inner[last] = _filled(value, folder)
    return config


def _filled(value, folder):
    return value.format(folder) if isinstance(value, str) else value


def _told(plan):
    """Every path of a plan, and every param."""
    paths = {path for outputs, (inputs, _) in plan.items() for path in (outputs, *inputs)}
    return paths, {param for _, params in plan.values() for param in params}


def _is_told(plan, key, value, shown):
    paths, params = _told(plan)
    if isinstance(shown, int):
        return str(shown) in params
    if shown is not None:
        return any(shown in text for text in (*paths, *params))
    named = f"'{key.rpartition('.')[2]}': {value!r}"
    return repr(value) in params or any(named in param for param in params)


def _each(changes):
    return {
        key: value if isinstance(value, tuple) else (value, None) for key, value in changes.items()
    }


@pytest.fixture(scope="module")
def small(root):
    """A run on scenes with one of everything."""
    config = yaml.safe_load((root / "config/ci.yaml").read_text())
    config |= {"models": ["SceneCLIP"], "seeds": [0]}
    config["comparisons"]["table_03"] = None
    return config


@pytest.fixture(scope="module")
def fetching(root):
    """A run whose pictures are downloaded."""
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    return config | {
        "models": ["CLIP"],
        "rows": {"laion": 100},
        "folders": {"imagenet": "a", "imagenet-train": "b"},
    }


@pytest.fixture(scope="module")
def adopting(root):
    config = yaml.safe_load((root / "config/store.yaml").read_text())
    config["sae"] |= {"expansion": 2, "l0": 2}
    return config


def _leaves(schema, inside=""):
    for name, part in schema["properties"].items():
        if "properties" in part:
            yield from _leaves(part, f"{inside}{name}.")
        else:
            yield f"{inside}{name}"


def test_every_key_is_one_that_remakes_or_one_that_does_not(root):
    schema = load_schema(root / "workflow/schemas/config.schema.yaml")
    kinds = (SPARING, REMAKING, ALONE, FETCHING, ADOPTING)
    keys = [key for kind in kinds for key in kind]
    assert sorted(keys) == sorted(_leaves(schema))
    flagged = {key for key in keys if _at(schema, key).get("x-remakes") is False}
    assert flagged == SPARING.keys()


def _at(schema, key):
    for part in key.split("."):
        schema = schema["properties"][part]
    return schema


def test_what_no_file_depends_on_is_no_reason_to_make_it_again(plan, small):
    before, after = plan(small, {}), plan(small, SPARING)
    assert after == before
    assert any("train_sae" in key or "sae.safetensors" in key for key in before)


def test_fetched_pictures_and_files_are_not_fetched_again_for_what_they_do_not_depend_on(
    plan, fetching
):
    before, after = plan(fetching, {}, "data"), plan(fetching, SPARING, "data")
    assert after == before
    assert any("ranges/00000.tar" in key for key in before)


def test_a_store_is_not_used_anew_for_what_no_file_depends_on(plan, adopting):
    base = {"store": "{}/a"}
    assert plan(adopting, base | SPARING, "figure_02") == plan(adopting, base, "figure_02")


def test_every_other_key_of_a_run_on_scenes_reaches_the_files_that_depend_on_it(plan, small):
    each = _each(REMAKING)
    before, after = plan(small, {}), plan(small, {key: value for key, (value, _) in each.items()})
    for key, (value, shown) in each.items():
        assert _is_told(after, key, value, shown), key
        assert not _is_told(before, key, value, shown), key


@pytest.mark.parametrize("key", ALONE)
def test_a_key_that_says_which_jobs_there_are_changes_them(plan, small, key):
    assert plan(small, {key: ALONE[key]}) != plan(small, {})


def test_every_other_key_of_downloads_reaches_the_pictures_that_depend_on_it(plan, fetching):
    each = _each(FETCHING)
    before, after = (
        plan(fetching, changes, "data")
        for changes in ({}, {key: value for key, (value, _) in each.items()})
    )
    for key, (value, shown) in each.items():
        shown = shown and shown.removeprefix("{}/")
        assert _is_told(after, key, value, shown), key
        assert not _is_told(before, key, value, shown), key
    # A file that is whole stays, however patient the run is.
    whole = [key for key in before if "downloads/coco" in key]
    assert whole
    assert [after[key] for key in whole] == [before[key] for key in whole]


@pytest.mark.parametrize("key", ADOPTING)
def test_a_store_is_used_anew_where_it_is_another_one_or_is_read_otherwise(plan, adopting, key):
    base = {"store": "{}/a"}
    target = "table_06"
    assert plan(adopting, base | {key: ADOPTING[key]}, target) != plan(adopting, base, target)
