"""Whole runs, started as a user starts them."""

import csv
import hashlib
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from isoenergy.config import load_run
from isoenergy.embed.rows import CHECKED

REAL_STORES = "../shared/data"


def _numbers(folder, table):
    with (folder / f"tables/{table}.csv").open() as file:
        rows = list(csv.DictReader(file))
    shown = {}
    for row in rows:
        key = (row["metric"], row["variant"], row["model"], row["dataset"])
        shown.setdefault(key, float(row["value"]))
    return shown


def _digests(results):
    """Content of every file of a run, but for logs, timings and the lock."""
    return {
        str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and path.name != ".lock"
        and path.relative_to(results).parts[0] not in ("logs", "benchmarks")
    }


def test_encoders_learn_and_show_a_gap(ci_run):
    found = _numbers(ci_run.folder / "results/ci", "table_06")
    for model in ("SceneCLIP", "SceneSigLIP"):
        assert found["recall_at_1", "embeddings", model, "scenes"] > 20 / 256
        assert found["zero_shot_at_5", "embeddings", model, "scenes-classes"] > 4 * 5 / 64
        assert found["difference_in_mean", "embeddings", model, "scenes"] > 0.3
        assert found["separability", "embeddings", model, "scenes"] > 0.99


def test_saes_rebuild_and_masking_closes_the_gap(ci_run):
    found = _numbers(ci_run.folder / "results/ci", "table_summary")
    for model in ("SceneCLIP", "SceneSigLIP"):
        for sae in ("SAE", "SAE-A"):
            at = (sae, model, "scenes")
            assert found["r2", *at] > 0.9
            before = found["difference_in_mean_reconstruction", *at]
            assert found["difference_in_mean_masked", *at] < before / 3
            lost = found["recall_at_1_reconstruction", *at] - found["recall_at_1_masked", *at]
            assert found["delta_r_at_1", *at] == pytest.approx(lost, abs=1e-12)


def test_codes_are_as_sparse_as_promised(ci_run):
    folder = ci_run.folder / "results/ci/metrics/SceneCLIP/SAE-A/seed0/scenes"
    atoms = pd.read_parquet(folder / "atoms.parquet")
    assert len(atoms) == 4 * 96
    told = _metric(folder / "l0.json")
    assert 1 <= told <= 8
    assert atoms["frequency"].sum() == pytest.approx(told, rel=1e-9)


def _metric(path):
    return yaml.safe_load(path.read_text())["value"]


def test_the_factor_table_tells_where_every_group_s_energy_goes(ci_run):
    found = _numbers(ci_run.folder / "results/ci", "table_factors")
    for model in ("SceneCLIP", "SceneSigLIP"):
        for group in ("text", "bimodal", "image"):
            shares = [
                found[f"follows_{kind}_{group}", "SAE", model, "scenes"]
                for kind in ("shared", "picture", "text", "none")
            ]
            assert sum(shares) == pytest.approx(1)


def test_every_flip_of_a_ranking_is_foretold_by_proposition_3(ci_run):
    for model in ("SceneCLIP", "SceneSigLIP"):
        folder = ci_run.folder / f"results/ci/metrics/{model}/SAE-A/ranking/scenes"
        for place in (folder / "atoms/image", folder / "atoms/text"):
            assert _metric(place / "share_flipped.json") > 0
            assert _metric(place / "share_of_flips_meeting_condition.json") == 1
            assert _metric(place / "share_of_guaranteed_flipped.json") in (0, None)


def test_the_sweep_tells_what_alignment_costs_and_the_rule_selects_from_it(ci_run):
    folder = ci_run.folder / "results/ci/metrics/SceneCLIP/SAE-A/sweep/scenes"
    sweep = pd.read_parquet(folder / "sweep.parquet")
    assert sweep["beta"].tolist() == [0, 1e-3, 1e-2, 1e-1]
    assert (sweep["mse"] + sweep["r2"]).to_numpy() == pytest.approx(1, abs=0.02)
    bound = _metric(folder / "sweep_r2_bound.json")
    assert sweep["r2"].iloc[-1] < bound < sweep["r2"].iloc[0]
    selected = _metric(folder / "selected_beta.json")
    allowed = sweep[(sweep["r2"] > bound) & (sweep["share_degenerate"] == 0) & (sweep["beta"] > 0)]
    assert selected == (allowed["beta"].max() if len(allowed) else None)


@pytest.fixture(scope="module")
def ci_targets(root):
    """The names of the tables and of the figures that the ci run has."""
    config = yaml.safe_load((root / "config/ci.yaml").read_text())
    run = load_run(config, "config/ci.yaml", root)
    return run.targets_of("table"), run.targets_of("figure")


def test_every_table_has_numbers_and_a_caption(ci_run, ci_targets):
    folder = ci_run.folder / "results/ci/tables"
    assert {f"table_{n:02}" for n in range(1, 13)} - {"table_03", "table_04"} <= set(ci_targets[0])
    for name in ci_targets[0]:
        numbers = pd.read_csv(folder / f"{name}.csv")
        assert np.isfinite(numbers["value"]).mean() > 0.75, name
        assert numbers["value"].nunique() > 3, name
        shown = (folder / f"{name}.md").read_text()
        assert len(re.findall(r"\d", shown)) > 20, name
        assert "{" not in (folder / f"{name}.txt").read_text(), name


def test_every_figure_has_numbers_and_shows_something(ci_run, ci_targets):
    folder = ci_run.folder / "results/ci/figures"
    assert {f"figure_{n:02}" for n in range(1, 28)} <= set(ci_targets[1])
    for name in ci_targets[1]:
        assert len(pd.read_parquet(folder / f"data/{name}.parquet")) > 3, name
        pixels = np.asarray(Image.open(folder / f"{name}.png").convert("RGB"))
        inked = (pixels < 250).any(axis=2)
        assert pixels.shape[1] >= 900, name
        assert 0.01 < inked.mean() < 0.9, name
        colourful = (pixels.max(axis=2).astype(int) - pixels.min(axis=2)) > 40
        assert colourful.mean() > 5e-4, name
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF"), name
        caption = (folder / f"{name}.txt").read_text()
        assert len(caption) > 80, name
        assert "{" not in caption, name


def test_a_deleted_figure_is_drawn_again_by_one_job_to_the_same_bytes(ci_run, ci_config):
    path = ci_run.folder / "results/ci/figures/figure_10.png"
    before = path.read_bytes()
    path.unlink()
    done = ci_run.run("figure_10", "--configfile", ci_config)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-4000:]
    planned = dict(re.findall(r"^(\w+) +(\d+)$", told, flags=re.M))
    assert planned == {"render_figure": "1", "figure_10": "1", "total": "2"}
    assert path.read_bytes() == before


def test_the_report_shows_every_table_and_figure_and_asks_no_host(ci_run, ci_targets):
    page = (ci_run.folder / "results/ci/report.html").read_text()
    tables, figures = ci_targets
    for name in (*tables, *figures):
        assert f'id="{name}"' in page
        assert f"snakemake {name}" in page
    # Main text, appendix, what the paper does not have.
    order = ("table_01", "figure_06", "table_03", "table_12", "beyond", "table_factors", "run")
    places = [page.index(f'id="{name}"') for name in order]
    assert places == sorted(places)
    assert page.count("data:image/png;base64,") == len(figures)
    assert re.findall(r'src="(?!data:)', page) == []
    links = re.findall(r'href="((?!data:|#)[^"#]*)[^"]*"', page)
    assert all((ci_run.folder / "results/ci" / link).is_file() for link in links)
    files = [link for link in links if link != "compare.html"]
    assert len(files) == 3 * len(tables) + 2 * len(figures)
    assert "<script" not in page
    assert "Table 1" in (ci_run.folder / "results/ci/compare.html").read_text()


def test_a_second_run_finds_nothing_to_do(ci_run, ci_config):
    done = ci_run.run("--configfile", ci_config)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_new_sae_trains_alone(ci_run, root, new_workflow, tmp_path):
    for name in ("config", "scripts", "workflow"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("*.pyc"))

    def add(path, before, after):
        text = (tmp_path / path).read_text()
        assert before in text
        (tmp_path / path).write_text(text.replace(before, after, 1))

    kinds = "scripts/isoenergy/train/architectures.py"
    add("config/saes.tsv", "TopK\ttopk\t", "Own\town\t\t\tnone\t0\tours\nTopK\ttopk\t")
    add("workflow/schemas/saes.schema.yaml", "      - topk\n", "      - topk\n      - own\n")
    add("config/ci.yaml", "table_03: [", "table_03: [Own, ")
    own = new_workflow(ci_run.folder)
    own.root = tmp_path
    words = ("table_03", "--dry-run", "--configfile", str(tmp_path / "config/ci.yaml"))
    refused = own.run(*words)
    assert refused.returncode == 1
    assert "saes.tsv: Own has architecture own, which is registered in no module" in refused.stderr
    (tmp_path / "scripts/isoenergy/train/own.py").write_text(
        "from isoenergy.train.linear import TopK\n"
        "from isoenergy.train.sae import ARCHITECTURES\n"
        '@ARCHITECTURES.register("own")\nclass Own(TopK):\n    """Ours."""\n'
    )
    add(
        kinds,
        "import isoenergy.train.linear\n",
        "import isoenergy.train.linear\nimport isoenergy.train.own\n",
    )
    done = own.run(*words)
    assert done.returncode == 0, done.stderr
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M))
    assert planned["train_sae"] == planned["encode_store"] == "1"
    assert not {"train_swept", "train_encoder", "embed_dataset", "run_toy"} & planned.keys()


def test_killed_runs_go_on_to_the_same_bytes(ci_run, ci_config, workflow):
    work = workflow.folder
    # Pictures are drawn alike (tests/data); taking them over spares the time to do so again.
    shutil.copytree(ci_run.folder / "results/ci/data", work / "results/ci/data")
    shutil.copytree(ci_run.folder / ".snakemake/metadata", work / ".snakemake/metadata")
    # Through every stage up to here; the rest would measure more of the same.
    words = ("table_01", "table_06", "figure_02", "table_08", "--configfile", ci_config)
    for seconds in (9, 14, 23, 31):
        workflow.run_and_kill(seconds, *words)
    done = workflow.run(*words)
    assert done.returncode == 0, done.stderr[-4000:]
    found, expected = (_digests(run / "results/ci") for run in (work, ci_run.folder))
    assert {"tables/table_08.csv", "figures/figure_02.png"} < found.keys()
    assert found == {name: expected[name] for name in found}


def test_numbers_of_another_tau_are_refused_where_times_alone_say_what_runs(
    ci_run, ci_config, workflow, tmp_path
):
    shutil.copytree(ci_run.folder / "results/ci/metrics", workflow.folder / "results/ci/metrics")
    config = yaml.safe_load(Path(ci_config).read_text())
    config["measure"]["tau"] = 0.1
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(config))
    words = ("--rerun-triggers", "mtime", "--configfile")
    targets = {"table_01": "json", "figure_02": "parquet"}
    for target, suffix in targets.items():
        refused = workflow.run(target, *words, str(tmp_path / "other.yaml"))
        assert refused.returncode == 1
        told = rf"{suffix} was measured with tau 0\.05, but the config asks for measure\.tau 0\.1; "
        assert re.search(told, refused.stderr), refused.stderr[-2000:]
    done = workflow.run(*targets, *words, ci_config)
    assert done.returncode == 0, done.stderr[-2000:]
    found, expected = (_digests(run / "results/ci") for run in (workflow.folder, ci_run.folder))
    assert {"tables/table_01.csv", "figures/figure_02.png"} < found.keys()
    assert found == {name: expected[name] for name in found}


def _slice_store(source, folder, rows):
    for part in ("img_emb", "text_emb"):
        (folder / part).mkdir(parents=True)
        block = np.load(next((source / part).glob("*.npy")), mmap_mode="r")[:rows]
        np.save(folder / part / f"{part}_0000.npy", block)
    (folder / "metadata").mkdir()
    table = pd.read_parquet(next((source / "metadata").glob("*.parquet"))).head(rows)
    table.to_parquet(folder / "metadata/metadata_0000.parquet", index=False)


def _store_config(root, folder, **changes):
    config = yaml.safe_load((root / "config/store.yaml").read_text())
    config["seeds"] = [0]
    config["sae_training"] |= {"epochs": 6, "peak_rate": 5.0e-3}
    config["measure"] |= {"probe": 1000, "gap": 2000, "wasserstein": 200}
    path = folder / "store.yaml"
    path.write_text(yaml.safe_dump({**config, **changes}))
    return str(path)


def test_a_store_of_real_photographs_and_captions(root, workflow, tmp_path):
    sources = Path(os.environ.get("ISOENERGY_REAL_STORES", root / REAL_STORES))
    if not (sources / "flickr8k-train").is_dir():
        pytest.skip("no stores of real embeddings beside the repository")
    for name, rows in (("train", 4000), ("test", 2000)):
        _slice_store(sources / f"flickr8k-{name}", tmp_path / name, rows)
    config = _store_config(root, tmp_path)
    stores = (f"store={tmp_path / 'train'}", f"test_store={tmp_path / 'test'}")
    done = workflow.run("tables", "figure_03", "--configfile", config, "--config", *stores)
    assert done.returncode == 0, done.stderr[-4000:]
    results = workflow.folder / "results/store/train"
    found = _numbers(results, "table_summary")
    for sae in ("SAE", "SAE-A"):
        for dataset, least_r2 in (("train", 0.8), ("test", 0.7)):
            at = (sae, "train", dataset)
            assert least_r2 < found["r2", *at] < 1
            gap = found["difference_in_mean_reconstruction", *at]
            assert found["difference_in_mean_masked", *at] < gap / 2
            assert found["recall_at_1_reconstruction", *at] > 0.15
        # Photographs that no SAE has seen are rebuilt less well.
        assert found["r2", sae, "train", "test"] < found["r2", sae, "train", "train"]
    closed = _numbers(results, "table_10")
    at = ("train", "test")
    gap = closed["difference_in_mean", "reconstruction", *at]
    assert closed["difference_in_mean", "masked", *at] < gap / 2
    assert closed["recall_at_1", "masked", *at] > 0.05
    outliers = results / "metrics/train/SAE-A/seed0/test/interventions/masked/ood_score.json"
    assert np.isfinite(_metric(outliers))
    caption = (results / "tables/table_summary.txt").read_text()
    assert "On test, which no SAE is trained on, the same SAEs" in caption
    # The store's name stands for its encoder and for its pairs, once.
    caption = (results / "tables/table_03.txt").read_text()
    assert "Every SAE of the run on train: " in caption
    assert (results / "figures/figure_03.png").exists()


def test_two_plain_arrays_as_rows_of_the_registry(root, workflow, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("own", "own-test"):
        image, text = rng.standard_normal((2, 300, 16)).astype(np.float16)
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "image.npy", image)
        np.save(tmp_path / name / "text.npy", np.asfortranarray(text))
    changes = {
        "datasets": {
            **dict.fromkeys(("classes", "classes_train", "edits")),
            "train": "own",
            "transfer": ["own-test"],
        },
        "folders": {name: str(tmp_path / name) for name in ("own", "own-test")},
    }
    config = _store_config(root, tmp_path, **changes)
    done = workflow.run("table_06", "--configfile", config)
    assert done.returncode != 0
    assert "rows have unit norm; set normalise: true in the config" in done.stderr
    config = _store_config(root, tmp_path, **changes, normalise=True)
    done = workflow.run("table_06", "--configfile", config)
    assert done.returncode == 0, done.stderr[-4000:]
    found = _numbers(workflow.folder / "results/store", "table_06")
    for name in ("own", "own-test"):
        # Unrelated vectors: chance is 1 in 256.
        assert found["recall_at_1", "embeddings", "store", name] < 0.05
        assert found["difference_in_mean", "embeddings", "store", name] < 0.5


FAULTS = {
    "nan": (lambda image: image.__setitem__((3, 5), np.nan), "row 3 holds NaN or infinity"),
    "zero": (lambda image: image.__setitem__(7, 0), "row 7 is all zero"),
}


@pytest.mark.parametrize("fault", [*FAULTS, "width", "truncated"])
def test_a_broken_store_gets_one_sentence_and_loses_nothing(root, workflow, tmp_path, fault):
    rng = np.random.default_rng(0)
    image, text = rng.standard_normal((2, 50, 12)).astype(np.float32)
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    if fault in FAULTS:
        FAULTS[fault][0](image)
    for name, rows in (("img_emb", image), ("text_emb", text)):
        (tmp_path / "mine" / name).mkdir(parents=True)
        rows = rows[:, :11] if fault == "width" and name == "text_emb" else rows
        np.save(tmp_path / "mine" / name / f"{name}_0000.npy", rows)
    if fault == "truncated":
        path = tmp_path / "mine/img_emb/img_emb_0000.npy"
        path.write_bytes(path.read_bytes()[:-100])
    kept = workflow.folder / "results/store/mine/metrics/earlier.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    done = workflow.run("saes", "--config", f"store={tmp_path / 'mine'}")
    assert done.returncode == 1
    told = {
        "nan": FAULTS["nan"][1],
        "zero": FAULTS["zero"][1],
        "width": "text_emb has 50 rows of 11 and img_emb 50 of 12",
        "truncated": "img_emb_0000.npy cannot be read as a .npy array",
    }
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {tmp_path}/mine")
    assert told[fault] in last
    # Before the first job.
    assert not (workflow.folder / "results/store/mine/logs").exists()
    assert kept.read_text() == "{}"


def test_all_values_are_looked_through_before_any_other_job(root, workflow, tmp_path):
    rng = np.random.default_rng(0)
    for side in ("image", "text"):
        rows = rng.standard_normal((CHECKED + 20, 8)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows[CHECKED + 7, 2] = np.nan  # behind the first look
        np.save(tmp_path / f"{side}.npy", rows)
    config = _store_config(root, tmp_path)
    words = ("figure_01", "figure_24", "figure_02", "--configfile", config, "--cores", "1")
    done = workflow.run(*words, "--config", f"store={tmp_path}")
    assert done.returncode == 1
    assert f"image.npy: row {CHECKED + 7} holds NaN or infinity" in done.stderr
    logs = workflow.folder / "results/store" / tmp_path.name / "logs"
    assert [path.parent.name for path in logs.rglob("*.log")] == ["embed"]
