import csv
import re

import numpy as np
import pandas as pd
import pytest
import yaml

from isoenergy.config import load_run

CONFIGS = ["config", "quick", "demo", "ci", "store"]


def _targets(root):
    with (root / "config/targets.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def _store(folder):
    """A store for a dry run, which looks at its first rows."""
    for seed, side in enumerate(("img_emb", "text_emb")):
        rows = np.random.default_rng(seed).standard_normal((600, 8)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        (folder / "mine" / side).mkdir(parents=True)
        np.save(folder / "mine" / side / f"{side}_0000.npy", rows)
    return str(folder / "mine")


def _arguments(root, name, folder):
    if name == "store":
        return ["--config", f"store={_store(folder)}"]
    return ["--configfile", str(root / f"config/{name}.yaml")]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_target_is_planned_under_each_config(workflow, root, tmp_path, name):
    arguments = _arguments(root, name, tmp_path)
    config = yaml.safe_load((root / f"config/{name}.yaml").read_text())
    if name == "store":
        config["store"] = str(tmp_path / "mine")
    run = load_run(config, name, root)
    # It lists what stands beside it, and makes nothing.
    targets = [name for name in run.targets if run.available(name) and name != "inputs"]
    done = workflow.run("--dry-run", *targets, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M))
    # A set of files that a config does not have, such as small encoders, needs no job.
    empty = {"config": {"encoders"}, "quick": {"encoders"}, "store": {"encoders", "data"}}
    assert set(targets) - empty.get(name, set()) - {"preflight"} <= set(planned)


@pytest.mark.parametrize(
    ("name", "target", "needs"),
    [
        ("config", "table_factors", "known factors, which only rendered scenes have"),
        ("store", "table_factors", "known factors, which only rendered scenes have"),
        ("store", "table_08", "a data set under datasets.edits"),
        (
            "store",
            "table_10",
            "a data set under datasets.transfer, or with store=FOLDER a second one, "
            "test_store=OTHER",
        ),
        ("store", "table_11", "a data set under datasets.classes"),
        ("store", "figure_18", "captions, which a store has in a column caption of its metadata"),
        ("store", "figure_26", "data sets with pictures, which a store has none of"),
    ],
)
def test_a_target_that_the_config_cannot_give_is_refused(
    workflow, root, tmp_path, name, target, needs
):
    done = workflow.run("--dry-run", target, *_arguments(root, name, tmp_path))
    assert done.returncode != 0
    _, _, told = done.stderr.partition(f"target {target} needs {needs}; ")
    # And no list of all that there are.
    assert told == "`all` makes every target that this config has\n"


def test_no_caption_names_a_store_twice_in_a_breath(root):
    """Its name is that of the model and of the data set; one field has it once."""
    beside = r"\{(first_model|train)\}\W+(\w+\W+)?\{(first_model|train)\}"
    twice = [row["target"] for row in _targets(root) if re.search(beside, row["caption"])]
    assert twice == []


def test_a_figure_of_the_last_model_measures_that_model_alone(workflow, root):
    done = workflow.run("--dry-run", "figure_06", "--configfile", str(root / "config/demo.yaml"))
    told = done.stdout + done.stderr
    planned = dict(re.findall(r"^(\w+) +(\d+)$", told, flags=re.M))
    assert (planned["train_encoder"], planned["train_sae"]) == ("1", "1")
    assert (planned["encode_store"], planned["encode_edits"]) == ("1", "1")
    assert planned["measure_composed"] == "1"


def test_galleries_share_one_measuring_job_and_examples_another(workflow, root):
    figures = [f"figure_{n}" for n in (18, 19, 20, 21, 22, 26, 27)]
    demo = str(root / "config/demo.yaml")
    done = workflow.run("--dry-run", *figures, "--configfile", demo)
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M))
    assert (planned["measure_galleries"], planned["write_examples"]) == ("1", "1")
    assert (planned["train_encoder"], planned["measure_sae"]) == ("1", "1")
    done = workflow.run("--dry-run", "figure_26", "figure_27", "--configfile", demo)
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M))
    assert planned.keys() - set(figures) == {
        "write_scenes",
        "write_examples",
        "render_figure",
        "total",
    }


def test_a_store_with_captions_has_galleries_without_pictures(workflow, tmp_path):
    store = _store(tmp_path)
    (tmp_path / "mine/metadata").mkdir()
    table = pd.DataFrame({"caption": ["a"] * 600})
    table.to_parquet(tmp_path / "mine/metadata/metadata_0000.parquet")
    done = workflow.run("--dry-run", "figure_18", "--quiet", "host", "--config", f"store={store}")
    assert done.returncode == 0, done.stderr[-3000:]
    told = done.stdout + done.stderr
    job = told.split("rule measure_galleries:")[1].split("output:")[0]
    assert "codes.json" in job
    assert "images" not in job


def test_the_sketch_needs_no_data_under_any_config(workflow):
    done = workflow.run("--dry-run", "figure_24")
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M))
    assert planned.keys() == {"write_sketch", "render_figure", "figure_24", "total"}


@pytest.mark.parametrize("target", ["figure_01", "figure_05"])
def test_a_schematic_is_drawn_alone(workflow, target):
    done = workflow.run("--dry-run", target)
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M))
    assert planned.keys() == {"render_figure", target, "total"}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_map_of_atoms_is_of_one_sae(workflow, root, tmp_path, name):
    done = workflow.run("--dry-run", "figure_03", *_arguments(root, name, tmp_path))
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-3000:]
    planned = dict(re.findall(r"^(\w+) +(\d+)$", told, flags=re.M))
    once = ("train_sae", "measure_layout", "measure_sae", "measure_embeddings")
    assert [planned[rule] for rule in once] == ["1"] * 4


def test_a_single_figure_asks_only_for_what_it_shows(workflow, root):
    arguments = ("--dry-run", "figure_10", "--configfile", str(root / "config/demo.yaml"))
    done = workflow.run(*arguments)
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M))
    planned.pop("total")
    assert planned == {
        "write_scenes": "2",
        "train_encoder": "2",
        "embed_dataset": "2",
        "measure_embeddings": "2",
        "render_figure": "1",
        "figure_10": "1",
    }


@pytest.mark.parametrize("together", [True, False])
def test_seeds_and_betas_train_together_or_apart(workflow, root, tmp_path, together):
    config = yaml.safe_load((root / "config/demo.yaml").read_text())
    config["together"] = together
    path = tmp_path / "trained.yaml"
    path.write_text(yaml.safe_dump(config))
    done = workflow.run("--dry-run", "figure_07", "saes", "--configfile", str(path))
    planned = dict(re.findall(r"^(train_s\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M))
    kinds, seeds = len(load_run(config, path, root).trained()), len(config["seeds"])
    swept = config["beta_sweep"]["count"] + 1
    apart = {"train_sae": str(kinds * seeds), "train_swept": str(swept)}
    assert planned == ({"train_sae": str(kinds), "train_swept": "1"} if together else apart)


def test_one_job_trains_all_saes_of_a_model(workflow, root, tmp_path):
    config = yaml.safe_load((root / "config/demo.yaml").read_text())
    config["sae_training"] |= {"one_job": True, "processes": 2}
    path = tmp_path / "trained.yaml"
    path.write_text(yaml.safe_dump(config))
    done = workflow.run(
        "--dry-run", "figure_07", "saes", "--configfile", str(path), "--quiet", "host"
    )
    told = done.stdout + done.stderr
    planned = dict(re.findall(r"^(train_\w+) +(\d+)$", told, flags=re.M))
    assert planned == {
        "train_encoder": "2",
        "train_first": "1",
        "train_sae": "1",
        "train_swept": "1",
    }
    first, other = (
        told.split(f"rule {name}:")[1].split("output:")[1].split("log:")[0]
        for name in ("train_first", "train_sae")
    )
    # The first model has those of comparisons besides.
    assert "SceneCLIP/BatchTopK/seed2/sae.safetensors" in first
    assert first.count("sae.safetensors") == 3 * len(load_run(config, path, root).trained()) - 6
    assert "SceneSigLIP/SAE-A/seed0/sae.safetensors" in other
    assert other.count("sae.safetensors") == 6


def test_an_auto_beta_waits_for_the_sweep_of_its_own_model(workflow, root, tmp_path):
    config = yaml.safe_load((root / "config/demo.yaml").read_text())
    config["sae"]["beta"] = "auto"
    config["beta_sweep"]["epochs"] = config["sae_training"]["epochs"]
    path = tmp_path / "auto.yaml"
    path.write_text(yaml.safe_dump(config))
    wanted = "results/demo/saes/SceneSigLIP/SAE-A/seed2/sae.safetensors"
    done = workflow.run("--dry-run", wanted, "--configfile", str(path), "--quiet", "host")
    assert done.returncode == 0, done.stderr[-3000:]
    told = done.stdout + done.stderr
    planned = dict(re.findall(r"^(\w+) +(\d+)$", told, flags=re.M))
    jobs = ("train_sae", "train_swept", "measure_sweep")
    assert [planned[job] for job in jobs] == ["1", "1", "1"]
    rule = told.split("rule train_sae:")[1].split("output:")[0]
    assert "metrics/SceneSigLIP/SAE-A/sweep/scenes/selected_beta.json" in rule


def test_a_large_data_set_is_embedded_by_a_job_per_range(workflow, root, tmp_path):
    config = yaml.safe_load((root / "config/demo.yaml").read_text())
    config["embed"] |= {"part": 1000, "range": 5000}
    path = tmp_path / "ranges.yaml"
    path.write_text(yaml.safe_dump(config))
    arguments = ("--configfile", str(path), "--quiet", "host")
    done = workflow.run("--dry-run", "embeddings", *arguments)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-3000:]
    planned = dict(re.findall(r"^(\w+) +(\d+)$", told, flags=re.M))
    # 12,000 scenes and 6,000 classes are more than a range; 6,000 captions are of 1,200 pictures.
    assert (planned["index_pictures"], planned["embed_range"]) == ("2", "10")
    jobs = ("join_ranges", "join_classes", "embed_dataset", "embed_classes", "embed_edits")
    assert [planned[job] for job in jobs] == ["2"] * 5
    last = next(job for job in told.split("rule ") if "SceneCLIP/scenes/ranges/00002" in job)
    assert "SceneCLIP/checkpoint" in last
    assert "scenes/pictures.parquet" in last


def test_table_5_of_the_paper_needs_no_data_and_the_search_is_no_part_of_a_run(workflow):
    planned = {}
    for target in ("table_05", "all"):
        done = workflow.run("--dry-run", target)
        found = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M))
        planned[target] = found.keys()
    assert planned["table_05"] == {"run_toy", "render_table", "table_05", "total"}
    assert "run_toy" in planned["all"]
    assert not {"search_toy", "rank_toy"} & planned["all"]


def test_the_readme_lists_every_target(root):
    told = (root / "README.md").read_text()
    assert [row["target"] for row in _targets(root) if f"`{row['target']}`" not in told] == []


def test_every_target_states_what_it_costs(root):
    for row in _targets(root):
        assert re.match(r"^\d", row["cost_demo"]), row["target"]
        assert row["cost_paper"] not in ("", "?"), row["target"]
