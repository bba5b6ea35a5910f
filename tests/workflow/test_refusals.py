import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from isoenergy.paths import name_of


def _sentence(done):
    """What a user reads, after what Snakemake itself says of profile and config."""
    assert done.stderr.count("error: ") == 1, done.stderr
    return "error: " + done.stderr.split("error: ")[1].strip()


def _changed(root, folder, **changes):
    config = yaml.safe_load((root / "config/demo.yaml").read_text())
    for key, value in changes.items():
        *path, last = key.split("__")
        part = config
        for name in path:
            part = part[name]
        part[last] = value
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(config))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"modles": ["SceneCLIP"]}, r"unknown key modles; .*\(did you mean models\?\)"),
        ({"models": ["SceneClip"]}, r"models names SceneClip; .*\(did you mean SceneCLIP\?\)"),
        ({"sae__l0": 800}, r"sae\.l0 .* 800 .*K = 8 x 96 = 768 atoms; allowed is 1\.\.K"),
        ({"measure__tau": 0.7}, r"measure\.tau is 0\.7, number > 0 < 0\.5 is allowed"),
    ],
    ids=["key", "model", "l0", "range"],
)
def test_a_wrong_config_stops_with_one_sentence(workflow, root, tmp_path, changes, told):
    path = _changed(root, tmp_path, **changes)
    done = workflow.run("--configfile", path)
    assert done.returncode == 1
    sentence = _sentence(done)
    assert sentence.startswith(f"error: {path}: ")
    assert re.search(told, sentence), sentence
    assert "\n" not in sentence
    assert not (workflow.folder / "results").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "does not exist; did you mean "),
        ("- a\n- b\n", "is a list; it needs keys at its top"),
    ],
)
def test_a_config_that_snakemake_does_not_read_is_named(workflow, tmp_path, content, told):
    path = tmp_path / "confg.yaml"
    (tmp_path / "config.yaml").write_text("{}")
    if content is not None:
        path.write_text(content)
    done = workflow.run("toy", "--configfile", str(path))
    assert done.returncode == 1
    sentence = _sentence(done)
    assert sentence.startswith(f"error: config file {path} {told}")
    assert "\n" not in sentence
    assert "Traceback" not in done.stderr


def test_a_call_without_a_profile_checks_what_yaml_reads(workflow, tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("seed: 0\nseed: 1\n")
    words = ("toy", "--dry-run", "--workflow-profile", "none")
    assert "seed is given twice, on lines 1 and 2" in _sentence(
        workflow.run(*words, "--configfile", str(path))
    )
    assert "store=2024 is read as a number; write --config store=./2024" in _sentence(
        workflow.run(*words, "--config", "store=2024")
    )


def test_keys_with_dots_are_taken_and_a_home_that_takes_no_files_is_no_hindrance(
    workflow, root, tmp_path
):
    (tmp_path / "home").touch()
    words = (
        "--dry-run",
        "table_06",
        "--quiet",
        "host",
        "--configfile",
        str(root / "config/ci.yaml"),
    )
    done = workflow.run(
        *words, "--config", "rows.scenes=3001", "embed.dtype=float32", HOME=str(tmp_path / "home")
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (workflow.folder / ".snakemake/caches/snakemake").is_dir()
    wrong = workflow.run(*words, "--config", "rows.scenes=-1", "embed.dtyp=float32")
    assert "unknown key embed.dtyp; " in _sentence(wrong)


@pytest.mark.parametrize("name", [200 * "x", "my #1 run"])
def test_a_store_with_a_name_that_is_no_wildcard_is_planned(workflow, tmp_path, name):
    (tmp_path / name).mkdir()
    rows = np.random.default_rng(0).standard_normal((2, 1000, 16)).astype(np.float32)
    for file, values in zip(("image.npy", "text.npy"), rows, strict=True):
        norms = np.linalg.norm(values, axis=1, keepdims=True)
        np.save(tmp_path / name / file, values / norms)
    given = f"store='{tmp_path}/{name}'"
    done = workflow.run("--dry-run", "figure_02", "--quiet", "host", "--config", given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name_of(name)}/SAE/seed0/sae.safetensors" in done.stdout + done.stderr


def test_a_target_that_does_not_exist_stops_with_one_sentence(workflow, root):
    done = workflow.run("figure_2", "--configfile", str(root / "config/demo.yaml"))
    assert done.returncode == 1
    sentence = _sentence(done)
    assert sentence.startswith("error: config/targets.tsv has no target figure_2; allowed are ")
    assert "(did you mean figure_02?)" in sentence
    assert "\n" not in sentence


def test_a_column_that_nothing_measures_stops_a_dry_run(workflow, root, tmp_path):
    for part in ("config", "envs", "scripts", "workflow"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / part, tmp_path / "copy" / part, ignore=ignored)
    workflow.root = tmp_path / "copy"
    tables = workflow.root / "scripts/isoenergy/render/tables.py"
    tables.write_text(tables.read_text().replace('Column("mse", ', 'Column("mze", ', 1))
    config = str(workflow.root / "config/demo.yaml")
    done = workflow.run("--dry-run", "table_01", "--configfile", config)
    assert done.returncode == 1
    sentence = _sentence(done)
    assert "tables.py: table_01 has a column of the metric mze, which no job measures" in sentence
    assert sentence.endswith("(did you mean mse?)")
    assert "\n" not in sentence


@pytest.mark.parametrize("words", [("--dry-run",), ("--cores", "1")], ids=["dry-run", "run"])
def test_a_profile_that_does_not_exist_stops_with_one_sentence(workflow, words):
    """Snakemake itself goes on without any profile."""
    done = workflow.run("toy", *words, "--workflow-profile", "slrum")
    assert done.returncode == 1
    sentence = _sentence(done)
    assert sentence.startswith(
        "error: --workflow-profile slrum is neither a profile of workflow/pr"
    )
    assert sentence.endswith("demo, kubernetes, local, slurm, none (did you mean slurm?)")
    assert "\n" not in sentence
    assert not (workflow.folder / "results").exists()


def test_profiles_are_found_by_name_and_paths_from_where_the_call_is_made(root, workflow):
    words = ("--snakefile", str(root / "workflow/Snakefile"), "--dry-run", "toy")

    def call(*more):
        command = [sys.executable, "-m", "snakemake", *words, *more]
        return subprocess.run(
            command, cwd=workflow.folder, capture_output=True, text=True, check=False
        )

    found = call("--workflow-profile", "local")
    assert found.returncode == 0, found.stderr
    path = "workflow/profiles/local"
    assert f"{path} is neither" in _sentence(call("--workflow-profile", path))
    (workflow.folder / path).mkdir(parents=True)
    (workflow.folder / path / "config.yaml").write_text("quiet: [host]\n")
    assert call("--workflow-profile", path).returncode == 0
    assert call("--workflow-profile", "none").returncode == 0


def test_a_store_that_does_not_exist_stops_with_one_sentence(workflow):
    done = workflow.run("--config", "store=no/such/folder")
    assert done.returncode == 1
    sentence = _sentence(done)
    assert "key store is no/such/folder, which is not a folder" in sentence
    assert "\n" not in sentence


def test_a_store_too_narrow_for_its_codes_stops_a_dry_run(root, workflow, tmp_path):
    for name in ("image", "text"):
        np.save(tmp_path / f"{name}.npy", np.eye(4, dtype=np.float32))
    config = yaml.safe_load((root / "config/store.yaml").read_text())
    config["sae"]["l0"] = 100
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    words = ("--configfile", str(tmp_path / "mine.yaml"), "--config", f"store={tmp_path}")
    done = workflow.run("--dry-run", *words)
    assert done.returncode == 1
    assert re.search(r"sae\.l0 gives SAE 100 .*K = \d+ x 4 = \d+ atoms", _sentence(done))


def _own_store(folder, rows=600, dtype=np.float32):
    """Two plain files of unit-norm rows."""
    folder.mkdir(parents=True)
    for seed, side in enumerate(("image", "text")):
        values = np.random.default_rng(seed).standard_normal((rows, 8))
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        np.save(folder / f"{side}.npy", values.astype(dtype))
    return folder


@pytest.mark.parametrize("words", [("--dry-run", "figure_02"), ("figure_02",)])
def test_a_store_that_cannot_be_used_is_refused_before_the_first_job(workflow, tmp_path, words):
    store = _own_store(tmp_path / "mine")
    (store / "text.npy").unlink()
    os.mkfifo(store / "text.npy")
    done = workflow.run(*words, "--config", f"store={store}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: {store}/text.npy is a named pipe, and a file is needed; put the file there"
    )
    assert not (workflow.folder / "results").exists()


def test_sizes_that_no_machine_holds_are_refused_before_the_first_job(root, workflow, tmp_path):
    store = _own_store(tmp_path / "mine")
    config = yaml.safe_load((root / "config/store.yaml").read_text())
    config["sae"]["expansion"] = 10**9
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    words = ("--configfile", str(tmp_path / "mine.yaml"), "--config", f"store={store}")
    done = workflow.run("figure_02", *words)
    assert done.returncode == 1
    assert re.search(
        r"^error: key sae\.expansion is 1000000000, .* GB of memory, and this machine has \d",
        done.stderr.splitlines()[-1],
    )
    assert not (workflow.folder / "results").exists()
    # The nodes of a cluster are not this machine, but none has so much.
    done = workflow.run("--dry-run", "figure_02", *words, "--executor", "slurm", "--jobs", "1")
    if "slurm" not in done.stderr.splitlines()[-1]:  # without the plugin
        assert "and the largest machine has 32,000 GB" in done.stderr.splitlines()[-1]


def test_what_an_owner_should_know_of_a_store_is_said_by_every_run(workflow, tmp_path):
    store = _own_store(tmp_path / "mine", dtype=np.float64)
    done = workflow.run("--dry-run", "figure_02", "--config", f"store={store}")
    assert done.returncode == 0, done.stderr[-2000:]
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert notes == [
        f"note: {store}/image.npy and text.npy are float64, and read as float32",
        "note: mine: 600 pairs make only 30 steps of training, raise sae_training.epochs",
    ]
    # What has nothing to do with training says nothing of it.
    done = workflow.run("--dry-run", "table_06", "--config", f"store={store}")
    assert done.stderr.count("note: ") == 1


@pytest.mark.parametrize("words", [("table_01",), ("--cores", "all", "--use-conda")])
def test_the_papers_config_says_what_is_missing_and_what_runs_here(workflow, tmp_path, words):
    done = workflow.run(*words, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path), PATH=_no_gpu())
    assert done.returncode == 1
    sentence = _sentence(done)
    assert "config/config.yaml cannot run here" in sentence
    assert "no NVIDIA GPU is found" in sentence
    assert "the model hub cannot be reached, and CLIP, CLIP-L" in sentence
    assert re.search(r"about \d+ GB of disk and \d+ GPU hours", sentence)
    assert "`make demo` runs here" in sentence


def test_toy_targets_start_where_the_papers_encoders_cannot_run(root, workflow, tmp_path):
    # What only draws and measures: a figure of its own needs no more than Table 5 does.
    path = "results/paper/toy/toy-1/cosines.parquet"
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    config["toy"]["rows"] = 200
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(config))
    arguments = ("--configfile", str(tmp_path / "small.yaml"))
    surroundings = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": _no_gpu()}
    done = workflow.run(path, *arguments, **surroundings)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (workflow.folder / path).exists()
    both = workflow.run("table_05", "table_06", *arguments, **surroundings)
    assert both.returncode == 1
    assert "cannot run here" in both.stderr


def test_preflight_says_what_the_papers_run_needs_and_makes_nothing(workflow, tmp_path):
    bare = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": _no_gpu()}
    done = workflow.run("preflight", **bare)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    (laion,) = [line for line in lines if line.split()[:3] == ["data", "set", "laion"]]
    assert re.search(
        r"links from laion/relaion2B-en-research-safe, the hub does not answer +"
        r"links CC BY 4\.0; .* 60 GB$",
        laion,
    )
    (clip,) = [line for line in lines if line.split()[:2] == ["encoder", "CLIP-L"]]
    assert re.search(r"the hub does not answer +MIT$", clip)
    assert re.search(r"^disk +[\d.,]+ GB free +\d+ GB$", done.stdout, flags=re.M)
    assert re.search(r"^time +no GPU; about \d+ hours on \d+ CPU core", done.stdout, flags=re.M)
    assert "config/config.yaml cannot run here" in _sentence(done)
    assert not (workflow.folder / "results").exists()


def test_preflight_of_the_demo_is_content(workflow, root):
    done = workflow.run("preflight", "--configfile", str(root / "config/demo.yaml"))
    assert done.returncode == 0, done.stderr
    assert "config/demo.yaml can run here." in done.stdout
    assert re.search(r"^encoder +SceneCLIP +is trained here$", done.stdout, flags=re.M)
    assert not (workflow.folder / "results").exists()


def test_pictures_alone_need_no_encoder_and_no_gpu(workflow, root, tmp_path):
    quick = ("--configfile", str(root / "config/quick.yaml"))
    quick = (*quick, "--config", "folders={coco-val: data/coco-val}")
    bare = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": _no_gpu()}
    folder = workflow.folder / "data/coco-val"
    folder.mkdir(parents=True)
    lines = ["image,caption"]
    for i in range(6):
        Image.new("RGB", (64, 48), (40 * i, 90, 200 - 30 * i)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,picture {i}")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    done = workflow.run("preflight", "figure_26", *quick, **bare)
    assert done.returncode == 0, done.stderr
    assert "encoder" not in done.stdout
    done = workflow.run("figure_26", *quick, **bare)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (workflow.folder / "results/quick/figures/figure_26.png").exists()
    done = workflow.run("table_06", *quick, **bare)
    assert done.returncode == 1
    sentence = _sentence(done)
    assert "the model hub cannot be reached, and CLIP is not in the local cache" in sentence
    assert "GPU is found" not in sentence


def _no_gpu():
    """The search path without folders that hold nvidia-smi."""
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(f for f in folders if not Path(f, "nvidia-smi").exists())
