"""Profiles are parsed, and every job says what it needs."""

import re
from importlib.util import find_spec

import pytest
import yaml

# Keys that a profile takes from workflow/profiles/default, whose place it takes.
SHARED = (
    "__use_yte__",
    "__definitions__",
    "scheduler",
    "nolock",
    "rerun-incomplete",
    "show-failed-logs",
    "quiet",
)

WITH_GPU = (
    *("embed_dataset", "embed_classes", "embed_edits", "embed_range"),
    *("train_sae", "train_first", "train_swept"),
)


def _profile(root, name):
    return root / "workflow/profiles" / name


def _planned(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M))


@pytest.mark.parametrize("name", ["demo", "local", "kubernetes"])
def test_profiles_keep_what_the_default_one_says(root, name):
    default, own = (
        yaml.safe_load((_profile(root, each) / "config.yaml").read_text())
        for each in ("default", name)
    )
    assert {key: own[key] for key in SHARED} == {key: default[key] for key in SHARED}


def test_the_demo_is_a_profile(root, workflow):
    done = workflow.run("--dry-run", "table_06", "--workflow-profile", str(_profile(root, "demo")))
    assert _planned(done)["train_encoder"] == "2"


def test_a_workstation_has_a_gpu_per_job_and_a_bound_on_memory(root, workflow):
    words = ("--dry-run", "--quiet", "host", "--workflow-profile", str(_profile(root, "local")))
    config = str(root / "config/config.yaml")
    done = workflow.run(*words, "figure_02", "figure_26", "--configfile", config)
    jobs = _jobs(done.stdout + done.stderr)
    assert len(jobs) > 100
    for rule, wildcards, resources in jobs:
        # Nothing but encoders of the hub and large SAEs occupies a GPU.
        assert resources.get("gpu") == ("1" if rule in WITH_GPU else None), rule
        for name in ("mem_mb", "runtime", "disk_mb"):
            assert int(resources[name]) > 0, (rule, wildcards, name)
        assert int(resources["mem_mb"]) <= 64_000
    assert {"fetch_range", "train_sae", "embed_range", "render_figure"} <= {j[0] for j in jobs}


def _jobs(told):
    """Rule, wildcards and resources of each job that a dry run tells of."""
    jobs = []
    # Jobs of a group are indented.
    for block in re.split(r"^ *rule (?=\w+:$)", told, flags=re.M)[1:]:
        resources = re.search(r"^ +resources: (.*)$", block, flags=re.M)
        wildcards = re.search(r"^ +wildcards: (.*)$", block, flags=re.M)
        if re.search(r"^ +output:", block, flags=re.M):
            found = dict(re.findall(r"(\w+)=([^,]+)", resources[1]))
            jobs.append((block.partition(":")[0], wildcards and wildcards[1], found))
    return jobs


@pytest.mark.skipif(
    find_spec("snakemake_executor_plugin_kubernetes") is None,
    reason="no Kubernetes plugin; `make test-kubernetes` installs it",
)
def test_the_kubernetes_profile_is_parsed_and_keeps_results_in_s3(
    root, workflow, s3_server, s3_bucket
):
    credentials = {
        "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "me",
        "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "secret",
    }
    done = workflow.run(
        *("--dry-run", "table_06", "--quiet", "host"),
        *("--workflow-profile", str(_profile(root, "kubernetes"))),
        *("--storage-s3-endpoint-url", s3_server),
        *("--configfile", str(root / "config/ci.yaml")),
        **credentials,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-3000:]
    assert "s3://isoenergy/run/results/ci/tables/table_06.csv" in told
    jobs = _jobs(told)
    assert {rule for rule, _, _ in jobs} >= {"write_scenes", "embed_dataset", "render_table"}
    # The plugin takes any mention of a GPU for a wish to run where GPUs are.
    assert not [rule for rule, _, resources in jobs if "gpu" in resources]
    assert all(resources["gpu_manufacturer"] == "nvidia" for _, _, resources in jobs)
