"""Jobs that share no disk: what they declare, and a run in S3 (`make test-kubernetes`)."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from isoenergy.embed.layout import ARRAYS, CLASSES
from isoenergy.encode.codes import FILES, SOURCE_FILES

NEEDED = ("snakemake_executor_plugin_cluster_generic", "snakemake_storage_plugin_s3", "moto")
needs_plugins = pytest.mark.skipif(
    not all(find_spec(name) for name in NEEDED),
    reason="no plugins for S3; `make test-kubernetes` installs them",
)
# What stands for a pod: a new folder, in which a job finds its home, the variables that Snakemake
# declares, and nothing else. What it leaves there is gone afterwards.
START = """#!/bin/bash
pod=$(mktemp -d "$1/XXXXXX") && mkdir "$pod/home" "$pod/work" && cd "$pod/work" || exit 1
{
    env -i PATH="$PATH" HOME="$pod/home" bash "$2" > "$pod/log" 2>&1
    rc=$?
    rm -rf "$pod/home" "$pod/work"
    echo $rc > "$pod/rc.part" && mv "$pod/rc.part" "$pod/rc"
} > /dev/null 2>&1 &
echo "$pod"
"""
ASK = """#!/bin/bash
[ -e "$1/rc" ] || { echo running; exit; }
[ "$(cat "$1/rc")" = 0 ] && echo success || echo failed
"""


def _inputs(done):
    """The rule and the inputs of every job that a dry run tells of."""
    assert done.returncode == 0, done.stderr
    jobs = []
    for block in re.split(r"^ *rule (?=\w+:$)", done.stdout, flags=re.M)[1:]:
        found = re.search(r"^ +input: (.*)$", block, flags=re.M)
        jobs.append((block.partition(":")[0], found[1].split(", ") if found else []))
    return jobs


def test_who_reads_a_store_or_codes_declares_all_of_it(workflow, ci_config):
    jobs = _inputs(workflow.run("--dry-run", "all", "--quiet", "host", "--configfile", ci_config))
    beside = {"codes.json": FILES, "store.json": (ARRAYS["image"], ARRAYS["text"], "metadata")}
    of_edits = {"codes.json": SOURCE_FILES, "store.json": (ARRAYS["source"],)}
    of_classes = {"codes.json": (), "store.json": (CLASSES,)}
    checked = {}
    for rule, inputs in jobs:
        for path in map(Path, inputs):
            # The target reads nothing; how many rows a store has stands in its store.json.
            if path.name not in beside or rule in ("all", "count_rows"):
                continue
            names = [*beside[path.name]]
            if "scenes-edits" in path.parts:
                names += of_edits[path.name]
            if {"scenes-classes", "scenes-classes-train"} & set(path.parts):
                names += of_classes[path.name]
            lacking = {str(path.parent / name) for name in names} - set(inputs)
            assert not lacking, (rule, lacking)
            checked.setdefault(path.name, set()).add(rule)
    assert {"train_sae", "encode_edits", "measure_cosines"} <= checked["store.json"]
    assert {"measure_sae", "measure_composed", "measure_ranking"} <= checked["codes.json"]


class Pods:
    """A working copy whose runs keep results in S3 and send every job to a folder of its own."""

    def __init__(self, root, folder, server):
        self.repository, self.pods, self.server = folder / "repository", folder / "pods", server
        told = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
        tracked = subprocess.run(told, cwd=root, capture_output=True, text=True, check=True).stdout
        for name in filter(lambda name: (root / name).is_file(), tracked.split("\n")):
            (self.repository / name).parent.mkdir(parents=True, exist_ok=True)
            (self.repository / name).write_bytes((root / name).read_bytes())
        self.pods.mkdir()
        for name, text in (("start", START), ("ask", ASK)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        self.start, self.ask = f"{folder}/start {self.pods}", folder / "ask"

    def call(self, *words, **environment):
        """Run a program with no variables of ours, which may choose how numbers are computed."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return subprocess.run(
            words,
            cwd=self.repository,
            env={"PATH": path, "HOME": str(self.repository.parent), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *words):
        """Run with the profile kubernetes, but for who starts a pod."""
        return self.call(
            *(sys.executable, "-m", "snakemake", *words),
            *("--workflow-profile", "workflow/profiles/kubernetes"),
            *("--executor", "cluster-generic", "--cluster-generic-submit-cmd", self.start),
            *("--cluster-generic-status-cmd", str(self.ask)),
            *("--shared-fs-usage", "none", "--job-deploy-sources"),
            *("--storage-s3-endpoint-url", self.server),
            *("--jobs", "2", "--cores", "2", "--retries", "0"),
            *("--seconds-between-status-checks", "1"),
            *("--configfile", "config/ci.yaml"),
            SNAKEMAKE_STORAGE_S3_ACCESS_KEY="me",
            SNAKEMAKE_STORAGE_S3_SECRET_KEY="secret",
        )

    def told(self, done):
        """What a run said, and the ends of the jobs that failed."""
        logs = [rc.with_name("log") for rc in self.pods.glob("*/rc") if rc.read_text() != "0\n"]
        told = [done.stdout[-2000:], done.stderr[-2000:], *(p.read_text()[-3000:] for p in logs)]
        return "\n".join(told)


@pytest.fixture(scope="module")
def pods(root, tmp_path_factory, s3_server):
    """A clean clone with the ci configuration, cut to one model, one seed and fewer repetitions."""
    pods = Pods(root, tmp_path_factory.mktemp("storage"), s3_server)
    path = pods.repository / "config/ci.yaml"
    config = yaml.safe_load(path.read_text())
    config |= {"models": ["SceneCLIP"], "seeds": [0]}
    # What is left reaches every rule all the same.
    config["comparisons"] = {"table_03": ["SAE-A"], "table_04": None}
    config["datasets"]["transfer"] = []
    config["toy"]["saes"] = ["SAE-A"]
    path.write_text(yaml.safe_dump(config))
    # Snakemake sends what git knows of.
    for words in (("init", "-q"), ("add", "--all")):
        assert pods.call("git", *words).returncode == 0
    return pods


def _files(pods):
    """Tables and figures of the plain run."""
    made = (pods.repository / "results/ci").glob("[tf]*/*")
    return sorted(path for path in made if path.is_file())


@needs_plugins
def test_jobs_that_share_nothing_but_s3_make_what_one_machine_makes(pods, s3_bucket):
    done = pods.run("all")
    assert done.returncode == 0, pods.told(done)
    planned = set(re.findall(r"^(\w+) +\d+$", done.stdout + done.stderr, flags=re.M))
    assert planned >= {
        *("write_scenes", "train_encoder", "embed_dataset", "embed_classes", "embed_edits"),
        *("train_sae", "train_swept", "encode_store", "encode_edits", "write_toy", "run_toy"),
        *("measure_classifier", "measure_composed", "measure_quality", "measure_sweep"),
        *("measure_galleries", "render_table", "render_figure", "write_report"),
    }
    assert len(list(pods.pods.iterdir())) > 30
    assert not _files(pods)

    again = pods.run("all")
    assert again.returncode == 0, pods.told(again)
    assert "Nothing to be done" in again.stdout + again.stderr

    plain = pods.call(sys.executable, "-m", "snakemake", "all", "--configfile", "config/ci.yaml")
    assert plain.returncode == 0, plain.stderr[-4000:]
    assert len(_files(pods)) > 100
    for path in _files(pods):
        name = path.relative_to(pods.repository)
        assert s3_bucket(f"run/{name}") == path.read_bytes(), name
