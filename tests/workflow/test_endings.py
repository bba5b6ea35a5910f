"""The last line of a run whose jobs fail, and of one that DVC starts."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

REFUSAL = "row 7 holds NaN; drop the pair"
# What jobs do in the place of their work.
FAULTS = {
    "toy/experiment.py": ("run_toy", f'raise InputError("{REFUSAL}")'),
    "toy/sketch.py": ("write_sketch", 'raise ZeroDivisionError("a bug")'),
    "toy/store.py": ("write_toy", "import os; os.kill(os.getpid(), 9)"),
}
# DVC in short: it starts the command of a stage in a shell, and says last that it failed.
DVC = """
import os, subprocess, sys

def main(words):
    environment = {**os.environ, "DVC_STAGE": "toy"}
    done = subprocess.run(["bash", "-c", " ".join(words)], env=environment, check=False)
    if done.returncode:
        print(f"ERROR: failed to reproduce 'toy', exited with {done.returncode}", file=sys.stderr)
    return 255 if done.returncode else 0
"""


@pytest.fixture
def faulty(workflow, root, tmp_path):
    """The workflow with jobs that fail each in its own way."""
    for part in ("config", "envs", "scripts", "workflow"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / part, tmp_path / "copy" / part, ignore=ignored)
    workflow.root = tmp_path / "copy"
    for name, (function, fault) in FAULTS.items():
        path = workflow.root / "scripts/isoenergy" / name
        instead = (
            f"def {function}(**named):\n    from isoenergy.errors import InputError\n    {fault}\n"
        )
        path.write_text(f"{path.read_text()}\n\n{instead}")
    return workflow


def test_the_sentences_of_jobs_are_the_last_lines_each_once(faulty, ci_config):
    folder = "results/ci/toy"
    targets = [f"{folder}/toy-1/SAE/seed{n}/sae.safetensors" for n in (0, 1)]
    targets += [f"{folder}/toy-1/store/store.json", f"{folder}/sketch.parquet"]
    words = ("--keep-going", "--cores", "2", "--configfile", ci_config)
    done = faulty.run(*targets, *words)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert done.stderr.count(REFUSAL) == 1
    last = [line for line in lines if line.startswith("error: ")]
    assert lines[-len(last) :] == last
    assert f"error: {REFUSAL}" in last
    (bug,) = [line for line in last if "write_sketch" in line]
    log = re.fullmatch(
        r"error: write_sketch failed with ZeroDivisionError: a bug, which no input should cause; "
        r"(\S+) has the traceback",
        bug,
    )[1]
    assert "Traceback" in (faulty.folder / log).read_text()
    assert re.search(r"write_toy was killed, most likely because memory was full", "".join(last))
    assert len(last) == 3
    for word in ("Traceback", "CalledProcessError", "RuleException", "WorkflowError"):
        assert word not in done.stderr
    assert len(re.findall(r"^run_toy failed; its log is \S+$", done.stderr, re.M)) == 2


def test_under_dvc_the_sentence_of_a_stage_is_the_last_line(workflow, root, tmp_path):
    (tmp_path / "dvc").mkdir()
    (tmp_path / "dvc/__init__.py").touch()
    (tmp_path / "dvc/cli.py").write_text(DVC)
    stage = workflow.command("figure_2", "--configfile", str(root / "config/demo.yaml"))
    done = subprocess.run(
        [sys.executable, str(root / "tools/run_dvc.py"), *stage],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 255
    lines = done.stderr.splitlines()
    assert lines[-2] == "ERROR: failed to reproduce 'toy', exited with 1"
    assert lines[-1].startswith("error: config/targets.tsv has no target figure_2; allowed are ")
    assert done.stderr.count("error: ") == 1


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ("{file}", r"results needs a folder, and .*README\.md is a file, not a folder"),
        ("results/{{model}}", r"results is results/\{model\}.*name a folder without them"),
    ],
    ids=["file", "braces"],
)
def test_results_that_cannot_be_used_stop_with_one_sentence(
    workflow, root, tmp_path, results, told
):
    (tmp_path / "README.md").write_text("kept")
    config = yaml.safe_load((root / "config/ci.yaml").read_text())
    config["results"] = results.format(file=tmp_path / "README.md")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    done = workflow.run("table_05", "--configfile", str(tmp_path / "mine.yaml"))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(told, last), last
    assert "Traceback" not in done.stderr


def test_a_folder_for_snakemake_that_cannot_be_written_stops_with_one_sentence(workflow, root):
    (workflow.folder / ".snakemake").write_text("no folder")
    done = workflow.run("table_05", "--configfile", str(root / "config/ci.yaml"))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == (
        "error: --directory needs a folder, and .snakemake is a file, not a folder; name another"
    )
    assert not (workflow.folder / "results").exists()
