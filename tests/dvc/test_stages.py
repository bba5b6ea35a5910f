"""Stages that `dvc repro` runs, and what DVC tells of two runs."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from repository import jobs, ran

STAGES = ["data", "toy", "embed@SceneCLIP", "train@SceneCLIP", "measure", "render"]


def test_repro_runs_every_stage_once_and_then_nothing(author):
    assert sorted(ran(author.first)) == sorted(STAGES)
    assert (author.folder / "results/ci/report.html").is_file()
    logs = set((author.folder / ".snakemake/log").iterdir())
    again = author.run("dvc", "repro")
    assert ran(again) == []
    assert set((author.folder / ".snakemake/log").iterdir()) == logs
    assert "up to date" in author.run("dvc", "status").stdout


def test_metrics_and_plots_tell_two_revisions_apart_without_a_network(author, tmp_path):
    path = author.folder / "results/ci/summary.json"
    kept = path.read_text()
    numbers = json.loads(kept)
    numbers["scenes"]["SceneCLIP"]["SAE"]["r2"] += 0.25
    path.write_text(json.dumps(numbers))
    try:
        told = json.loads(author.run("dvc", "metrics", "diff", "--json").stdout)
    finally:
        path.write_text(kept)
    change = told["results/ci/summary.json"]["scenes.SceneCLIP.SAE.r2"]
    assert change["diff"] == pytest.approx(0.25)
    assert len(told["results/ci/summary.json"]) == 1
    page = subprocess.run(
        [Path(shutil.which("dvc")).resolve().parent / "python", "tools/plots_page.py"],
        cwd=author.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    template = tmp_path / "plots.html"
    template.write_text(page.stdout)
    out = tmp_path / "plots"
    author.run("dvc", "plots", "diff", "HEAD", "--html-template", str(template), "--out", str(out))
    shown = (out / "index.html").read_text()
    body = re.sub(r"<script>.*?</script>", "", shown, flags=re.S)
    assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?!static/)', body) == []
    assert shown.count("<script>") == 1
    assert "delta_r_at_1" in shown
    assert len(list((out / "static").glob("*figure_07.png"))) >= 1


CHANGES = {
    "seed": 1,
    "seeds": [0, 1],
    "saes": ["SAE", "SAE-A", "TopK"],
    "datasets.transfer": [],
    "rows.scenes": 2900,
    "encoder_training.epochs.SceneCLIP": 5,
    "embed.dtype": "float32",
    "sae.l0": 7,
    "sae_training.epochs": 9,
    "beta_sweep.count": 4,
    "encode.block": 512,
    "measure.tau": 0.06,
    "measure.gap": 900,
    "classifier.epochs": 11,
    "galleries.blur": True,
    "toy.rows": 500,
    "together": False,
    # Told in the report alone.
    "preflight": False,
}


@pytest.mark.parametrize("key", CHANGES)
def test_what_a_changed_key_makes_anew_is_of_stages_that_it_starts(author, key):
    """Otherwise `dvc repro` would leave it stale: Snakemake's plan against what dvc.yaml says."""
    config = yaml.safe_load((author.folder / "config/ci.yaml").read_text())
    *path, last = key.split(".")
    part = config
    for name in path:
        part = part[name]
    assert part[last] != CHANGES[key]
    part[last] = CHANGES[key]
    changed = author.folder / "changed.yaml"
    changed.write_text(yaml.safe_dump(config))
    words = ("-n", "all", "data", "toy", "--quiet", "host", "--configfile", str(changed))
    told = author.run("snakemake", *words).told
    changed.unlink()
    stages = _stages(author.folder / "dvc.yaml")
    written = [
        path
        for line in re.findall(r"^ +output: (.*)$", told, flags=re.M)
        for path in line.split(", ")
    ]
    planned = {
        name
        for name, (_, outs, _) in stages.items()
        for path in written
        if any(path == out or path.startswith(f"{out}/") for out in outs)
    }
    started = {
        name for name, (keys, _, _) in stages.items() if keys is None or _is_among(key, keys)
    }
    for name, (_, _, deps) in stages.items():  # in the order in which they follow from each other
        if any(out in deps for other in started for out in stages[other][1]):
            started.add(name)
    assert planned
    assert planned <= started


def _stages(path):
    """Config keys, outputs and inputs of every stage; those of all models are one."""
    stages = {}
    for name, stage in yaml.safe_load(path.read_text())["stages"].items():
        stage = stage.get("do", stage)
        (keys,) = stage["params"][0].values()
        outs = [*stage["outs"], *stage.get("metrics", [])]
        paths = [[next(iter(out)) for out in outs], stage["deps"]]
        stages[name] = (
            keys,
            *(
                [path.replace("${results}", "results/ci").replace("/${item}", "") for path in part]
                for part in paths
            ),
        )
    return stages


def _is_among(key, keys):
    return any(key == other or key.startswith(f"{other}.") for other in keys)


def test_after_a_changed_parameter_only_what_depends_on_it_runs(author):
    path = author.folder / "config/ci.yaml"
    config = yaml.safe_load(path.read_text())
    config["classifier"]["epochs"] += 1
    path.write_text(yaml.safe_dump(config))
    done = author.run("dvc", "repro")
    assert ran(done) == ["measure", "render"]
    started = jobs(done)
    assert "measure_classifier" in started
    made = {rule for rule in started if rule.startswith(("measure", "train", "embed", "encode"))}
    assert made == {"measure_classifier"}
    told = json.loads(author.run("dvc", "params", "diff", "--json").stdout)
    assert list(told["config/ci.yaml"]) == ["classifier.epochs"]


def test_a_stage_that_fails_ends_with_its_sentence_behind_what_dvc_says(author):
    path = author.folder / "config/ci.yaml"
    kept = path.read_text()
    config = yaml.safe_load(kept)
    config["measure"]["tau"] = 0.7
    path.write_text(yaml.safe_dump(config))
    try:
        done = author.run("dvc", "repro", check=False)
    finally:
        path.write_text(kept)
    assert done.returncode != 0
    lines = done.stderr.splitlines()
    assert re.match(r"error: config/ci\.yaml: key measure\.tau is 0\.7", lines[-1])
    assert any(line.startswith("ERROR: failed to reproduce") for line in lines[:-1])
    assert done.told.count("measure.tau is 0.7") == 1
