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
