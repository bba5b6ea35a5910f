"""Files of the user's own that change where they lie: what is made of them is made again."""

import json
import shutil

import pytest
import yaml
from PIL import Image

DATASET, MODEL = "coco-val", "Mine"


def _caption(folder, words):
    """A folder data set of six pictures, whose captions begin with these words."""
    lines = [f"{i}.png,{words} {i}" for i in range(6)]
    (folder / "pairs.csv").write_text("\n".join(["image,caption", *lines]) + "\n")


@pytest.fixture
def own(root, tmp_path, new_workflow, tiny_encoders):
    """A repository whose models.tsv names a folder, and a config whose data set is one too."""
    for part in ("config", "envs", "scripts", "workflow"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / part, tmp_path / "repository" / part, ignore=ignored)
    work = new_workflow(tmp_path / "work")
    work.root = tmp_path / "repository"
    spec = tiny_encoders["clip"]
    shutil.copytree(spec.checkpoint, work.folder / "encoder")
    row = [MODEL, "clip", "encoder", "", spec.dim, spec.text_length, "false", "1e-4", "", "mine"]
    with (work.root / "config/models.tsv").open("a") as table:
        table.write("\t".join(map(str, row)) + "\n")
    data = work.folder / "data"
    data.mkdir()
    for i in range(6):
        Image.new("RGB", (64, 48), (40 * i, 90, 200 - 30 * i)).save(data / f"{i}.png")
    _caption(data, "a picture")
    return work


def _configure(work, **embed):
    config = yaml.safe_load((work.root / "config/quick.yaml").read_text())
    config |= {"models": [MODEL], "rows": {DATASET: 30}, "folders": {DATASET: "data"}}
    config["embed"] |= embed
    (work.root / "own.yaml").write_text(yaml.safe_dump(config))
    return ("--configfile", str(work.root / "own.yaml"))


def _planned(work, *words):
    done = work.run("--dry-run", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("size", [None, 4], ids=["one job", "ranges"])
def test_a_checkpoint_that_is_changed_in_its_folder_embeds_again(own, size):
    arguments = _configure(own, range=size, part=2)
    words = (f"embed_{MODEL}", *arguments)
    path = own.folder / f"results/quick/embeddings/{MODEL}/{DATASET}/store.json"

    def embedded():
        done = own.run(*words)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(path.read_text())["encoder"]["checkpoint"]

    before = embedded()
    # What no encoder is loaded from may change.
    (own.folder / "encoder/README.md").write_text("mine")
    assert "Nothing to be done" in _planned(own, *words)
    weights = own.folder / "encoder/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert embedded() != before


def test_captions_that_are_changed_in_their_folder_are_read_again(own):
    words = ("data", *_configure(own))
    done = own.run(*words)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Nothing to be done" in _planned(own, *words)
    _caption(own.folder / "data", "another picture")
    assert "read_folder" in _planned(own, *words)


def test_a_checkpoint_whose_folder_is_not_there_stops_with_one_sentence(own):
    words = _configure(own)
    (own.folder / "encoder").rename(own.folder / "moved")
    table = own.root / "config/models.tsv"
    table.write_text(table.read_text().replace("\tencoder\t", "\t./encoder\t"))
    for target in ("preflight", f"embed_{MODEL}"):
        done = own.run(target, *words)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert f"model {MODEL}: ./encoder is neither a folder nor a name on the hub" in done.stderr
        assert f"relative paths start at {own.folder} (where" in done.stderr
    assert not (own.folder / "results").exists()
