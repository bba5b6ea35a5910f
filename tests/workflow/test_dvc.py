"""DVC: what its stages say, and what the workflow tells it; `make test-dvc` runs them."""

import re

import pytest
import yaml

SWEEP = "results/ci/metrics/SceneCLIP/SAE-A/sweep/scenes/sweep.parquet"


@pytest.fixture(scope="module")
def pipeline(root):
    return yaml.safe_load((root / "dvc.yaml").read_text())


def _stages(pipeline):
    return {name: stage.get("do", stage) for name, stage in pipeline["stages"].items()}


def _keys(stage):
    (keys,) = stage["params"][0].values()
    return keys


def test_the_run_of_a_newcomer_is_the_demo(pipeline):
    assert pipeline["vars"] == ["config/demo.yaml", {"config": "config/demo.yaml"}]


def test_every_config_key_that_matters_starts_a_stage(root, pipeline):
    """All keys but those that only say where and how a run is made."""
    schema = yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text())
    named = {
        key.split(".")[0] for stage in _stages(pipeline).values() for key in _keys(stage) or ()
    }
    elsewhere = {"results", "preflight", "store", "test_store", "normalise"}
    assert named <= set(schema["properties"])
    assert set(schema["properties"]) - named == elsewhere
    # The captions and the report tell the whole config.
    assert _keys(pipeline["stages"]["render"]) is None


def test_outputs_stay_when_a_stage_starts_and_are_of_one_stage_alone(pipeline):
    paths = []
    for stage in _stages(pipeline).values():
        for out in [*stage["outs"], *stage.get("metrics", [])]:
            ((path, options),) = out.items()
            assert options == {"persist": True}
            paths.append(path)
    assert len(paths) == len(set(paths))
    assert all(path.startswith("${results}/") for path in paths)


def test_stages_are_targets_of_the_workflow(workflow, pipeline, ci_config):
    targets = [
        re.search(r"snakemake (\S+) --configfile \$\{config\}$", stage["cmd"])[1]
        for stage in _stages(pipeline).values()
    ]
    targets = [target.replace("${item}", "SceneCLIP") for target in targets]
    done = workflow.run("-n", *targets, "--configfile", ci_config)
    assert done.returncode == 0, done.stderr
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M))
    assert {"train_swept", "encode_edits", "write_examples", "write_report"} <= planned.keys()


def test_inputs_names_what_a_figure_is_made_of_and_makes_nothing(workflow, ci_config):
    done = workflow.run("inputs", "figure_07", "--configfile", ci_config)
    assert done.returncode == 0
    assert SWEEP in done.stdout.split()
    assert not any(path.is_file() for path in (workflow.folder / "results").rglob("*"))
    done = workflow.run("inputs", "saes", "--configfile", ci_config)
    assert "saes is neither" in done.stderr
    alone = workflow.run("inputs", "--configfile", ci_config)
    assert alone.returncode == 1
    assert "name some: snakemake inputs table_01" in alone.stderr


def test_numbers_that_are_there_need_no_encoder_data_or_gpu(workflow, root):
    """A figure of the paper's run is drawn from its numbers on a machine that has nothing else."""
    config = str(root / "config/config.yaml")
    refused = workflow.run("figure_07", "--configfile", config)
    assert "cannot run here" in refused.stderr
    inputs = workflow.run("inputs", "figure_07", "--configfile", config).stdout.split()
    for path in inputs:
        (workflow.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (workflow.folder / path).write_text("{}")
    failed = workflow.run("figure_07", "--configfile", config)
    assert "cannot run here" not in failed.stderr
    planned = dict(re.findall(r"^(\w+) +(\d+)$", failed.stdout + failed.stderr, flags=re.M))
    assert planned == {"render_figure": "1", "figure_07": "1", "total": "2"}
