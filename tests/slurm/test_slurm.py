"""A whole run of config/ci.yaml on a cluster, with everything that goes wrong on one."""

import os
import signal
import time
from types import SimpleNamespace

import pytest
import yaml
from submitter import Submitter

from isoenergy.files import hash_file

# One job too many, so that a core is not idle while another job starts.
JOBS = 1 + (os.cpu_count() or 1)
PATIENCE = 3600
# Rules: whose job hangs, whose gets too little memory at first, whose asks for a GPU.
HUNG, STARVED, ON_GPU = "run_toy", "train_encoder", "embed_dataset"
# What takes hours at the paper's size and seconds here goes together too: group, parts, rules. What
# the profile lets a single allocation draw is shared out among the cores of this machine.
SHORT = {
    "render": (15, []),
    "data": (10, ["write_scenes"]),
    "embed": (4, ["embed_dataset"]),
    "classes": (4, ["embed_classes", "embed_edits"]),
    "encode": (4, ["encode_store"]),
    "measure": (
        10,
        [
            *("count_rows", "write_examples", "measure_sae", "measure_quality", "measure_factors"),
            *("measure_stability", "measure_ranking", "measure_galleries", "measure_layout"),
            *("measure_baselines", "measure_interventions", "measure_class_interventions"),
            "measure_composed",
        ],
    ),
}


def say(sentence):
    print(f"{time.strftime('%H:%M:%S')}  {sentence}", flush=True)


def digests(results):
    """Content of every file of a run, but for logs, timings and who writes to it."""
    left_out = ("logs", "benchmarks", ".lock", ".queue")
    return {
        str(path.relative_to(results)): hash_file(path)
        for path in sorted(results.rglob("*"))
        if path.is_file() and path.relative_to(results).parts[0] not in left_out
    }


def words_for(root):
    """What the call on the cluster says beside the profile."""
    profile = yaml.safe_load((root / "workflow/profiles/slurm/config.yaml").read_text())
    groups = [f"{rule}={name}" for name, (_, rules) in SHORT.items() for rule in rules]
    parts = [f"{name}={number}" for name, (number, _) in SHORT.items()]
    moved = [f"{ON_GPU}:gpu=1", f"{STARVED}:mem_mb=400*attempt**2"]
    return [
        *("--workflow-profile", "slurm", "--jobs", str(JOBS)),
        *("--slurm-init-seconds-before-status-checks", "3"),
        *("--groups", *profile["groups"], *groups),
        *("--group-components", *profile["group-components"], *parts),
        *("--set-resources", *profile["set-resources"], *moved),
        *("--configfile", str(root / "config/ci.yaml")),
    ]


def hang(cluster, script, others=()):
    """Stop a script of this name where it stands; the number of its job, none of ``others``."""
    for process, (job, command) in cluster.processes().items():
        if job and job not in others and script in command:
            try:
                os.kill(process, signal.SIGSTOP)
            except ProcessLookupError:
                continue  # it has ended
            return job
    return None


@pytest.fixture(scope="module")
def local_run(root, cluster, tmp_path_factory):
    """Results of config/ci.yaml without the profile."""
    folder = tmp_path_factory.mktemp("local")
    words = ["--configfile", str(root / "config/ci.yaml")]
    say("config/ci.yaml on this machine")
    with Submitter(root, folder, "local", words, cluster.environment) as run:
        run.watch(PATIENCE)
        run.assert_success()
    return folder / "results/ci"


@pytest.fixture(scope="module")
def slurm_run(root, cluster, tmp_path_factory):
    """The same on the cluster: a job hangs, one starves, and the submitting process is killed."""
    folder = tmp_path_factory.mktemp("slurm")
    words, hung = words_for(root), []

    def is_half_way():
        if not hung and (job := hang(cluster, f".{HUNG}.py")):
            hung.append(job)
            cluster.ask("scontrol", "update", f"JobId={job}", "TimeLimit=1")
            say(f"job {job} ({HUNG}) hangs")
        done, total = first.steps()
        # A job that stands still, so that one is running when the second call begins.
        return hung and done > total / 2 and hang(cluster, ".snakemake/scripts/", hung)

    say("config/ci.yaml on the cluster")
    with Submitter(root, folder, "first", words, cluster.environment) as first:
        assert first.watch(PATIENCE, is_half_way), first.told()[-6000:]
    left = [number for number, job in cluster.jobs().items() if job["JobState"] == "RUNNING"]
    say(f"killed after {first.steps()[0]} of {first.steps()[1]} steps; jobs {left} go on")
    with Submitter(root, folder, "second", words, cluster.environment) as second:
        second.watch(PATIENCE)
        second.assert_success()
    say(f"done after {second.steps()[0]} further steps")
    return SimpleNamespace(
        results=folder / "results/ci",
        first=first,
        second=second,
        hung=hung[0],
        left=left,
        jobs=cluster.jobs(),
    )


def of_rule(jobs, rule):
    """The jobs of a rule by what they are about, in the order of submission."""
    found = {}
    for number in sorted(jobs, key=int):
        name, _, about = jobs[number].get("Comment", "").partition("_wildcards_")
        if name == f"rule_{rule}":
            found.setdefault(about, []).append(jobs[number])
    return found


def megabytes(job):
    number, unit = job["MinMemoryNode"][:-1], job["MinMemoryNode"][-1]
    return float(number) * {"M": 1, "G": 1024}[unit]


def test_results_are_those_of_a_local_run(slurm_run, local_run):
    found, expected = digests(slurm_run.results), digests(local_run)
    metrics = [path for path in expected if path.startswith("metrics/")]
    assert len(metrics) > 500
    assert {path: found.get(path) for path in metrics} == {path: expected[path] for path in metrics}
    assert found == expected


def test_a_job_out_of_memory_is_tried_again_with_more(slurm_run):
    starved = of_rule(slurm_run.jobs, STARVED)
    assert starved.keys() == {"SceneCLIP", "SceneSigLIP"}
    for attempts in starved.values():
        assert attempts[0]["JobState"] in ("FAILED", "OUT_OF_MEMORY")
        assert attempts[-1]["JobState"] == "COMPLETED"
        assert [megabytes(job) for job in attempts[:2]] == [400, 1600]


def test_a_job_out_of_time_is_tried_again_with_more(slurm_run):
    hung = slurm_run.jobs[slurm_run.hung]
    assert hung["JobState"] == "TIMEOUT"
    again = [
        job
        for number, job in slurm_run.jobs.items()
        if job["Comment"] == hung["Comment"] and int(number) > int(slurm_run.hung)
    ]
    assert again[-1]["JobState"] == "COMPLETED"
    if slurm_run.hung not in slurm_run.left:
        # It was the same run that tried it again, so that the profile's numbers can be seen.
        assert megabytes(again[0]) == 2 * megabytes(hung)


def test_a_run_that_is_killed_goes_on_where_it_was(slurm_run):
    done, total = slurm_run.first.steps()
    assert slurm_run.left
    assert "jobs that an earlier run had left in the queue" in slurm_run.second.told()
    for number in slurm_run.left:
        assert slurm_run.jobs[number]["JobState"] in ("CANCELLED", "COMPLETED")
    # What was done is not done again; jobs may have finished before the second run began.
    assert 0 < slurm_run.second.steps()[1] <= total - done


def test_gpus_are_given_to_those_who_ask(root, slurm_run):
    profile = yaml.safe_load((root / "workflow/profiles/slurm/config.yaml").read_text())
    # SAEs as small as these ask for no GPU, but go where the profile sends all.
    there = [entry.partition(":")[0] for entry in profile["set-resources"]]
    assert any(ON_GPU in job["Comment"] for job in slurm_run.jobs.values())
    for job in slurm_run.jobs.values():
        assert ("gpu" in job.get("TresPerJob", "")) == (ON_GPU in job["Comment"])
        assert (job["Partition"] == "gpu") == any(rule in job["Comment"] for rule in there)


def test_short_jobs_share_an_allocation(slurm_run):
    assert len(slurm_run.jobs) < 0.4 * slurm_run.first.steps()[1]
    drawn = [job for job in slurm_run.jobs.values() if "render_figure" in job["Comment"]]
    assert 1 <= len([job for job in drawn if job["JobState"] == "COMPLETED"]) <= 4
