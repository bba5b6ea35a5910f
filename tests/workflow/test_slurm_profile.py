"""The profile for SLURM against the rules; `make test-slurm` runs it."""

import re

import pytest
import yaml


@pytest.fixture(scope="module")
def profile(root):
    return yaml.safe_load((root / "workflow/profiles/slurm/config.yaml").read_text())


def test_every_rule_of_the_profile_exists(root, profile):
    texts = [path.read_text() for path in (root / "workflow/rules").glob("*.smk")]
    rules = {
        name
        for text in texts
        for name in re.findall(r"^ *(?:use rule \w+ as|rule) (\w+)", text, re.M)
    }
    groups = {name for text in texts for name in re.findall(r'group:\n +"(\w+)"', text)}
    groups |= {entry.split("=")[1] for entry in profile["groups"]}
    named = {
        re.split("[=:]", entry)[0] for key in ("groups", "set-resources") for entry in profile[key]
    }
    assert named <= rules
    assert {entry.split("=")[0] for entry in profile["group-components"]} <= groups


def test_jobs_that_ask_for_a_gpu_and_no_others_go_to_the_partition_of_gpus(root, profile):
    partitions = dict(entry.split(":slurm_partition=") for entry in profile["set-resources"])
    rows = re.findall(
        r"^\| `(\w+)` \| \d+ \| (\d)", (root / "docs/cluster.md").read_text(), flags=re.M
    )
    assert len(rows) > 20
    on_gpu = {rule for rule, gpus in rows if gpus != "0"}
    assert on_gpu
    assert on_gpu == partitions.keys() & {rule for rule, _ in rows}
    assert set(partitions.values()) == {'"gpu"'}


def test_it_keeps_what_the_default_profile_says_of_killed_runs(root, profile):
    # It stands in the place of the default, which Snakemake then does not read.
    default = yaml.safe_load((root / "workflow/profiles/default/config.yaml").read_text())
    assert {key: profile.get(key) for key in default if key != "cores"} == {
        key: value for key, value in default.items() if key != "cores"
    }


def test_no_rule_is_tried_again_inside_its_allocation(root):
    for path in (root / "workflow/rules").glob("*.smk"):
        assert not re.search(r"^ *retries:", path.read_text(), flags=re.M), path
