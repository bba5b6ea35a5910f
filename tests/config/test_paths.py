"""One place has one spelling, whichever a config or the command line has."""

import os
from pathlib import Path

import pytest

from isoenergy.errors import InputError
from isoenergy.paths import LONGEST_NAME, REPEATED, canonical, links_in, name_of, state_of


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a store in it, a link to that, and another store elsewhere."""
    for folder in ("work/data/mine", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "work/link").symlink_to(tmp_path / "work/data/mine")
    (tmp_path / "work/far").symlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "spelling",
    [
        "data/mine",
        "data/mine/",
        "./data//mine",
        "data/../data/mine",
        "link",
        "../work/data/mine",
        "~/work/data/mine",
        "{}/work/data/mine",
        "{}/work/link/",
    ],
)
def test_every_spelling_of_a_store_is_one_run(here, changed, load, spelling):
    run = load(changed("store", {"store": spelling.format(here)}))
    assert run.datasets[run.train]["path"] == "data/mine"
    assert (run.train, run.results) == ("mine", "results/store/mine")


@pytest.mark.parametrize("spelling", ["../elsewhere", "~/elsewhere/", "far", "{}/elsewhere"])
def test_a_store_outside_the_working_directory_is_absolute(here, changed, load, spelling):
    run = load(changed("store", {"store": spelling.format(here)}))
    assert run.datasets[run.train]["path"] == str(here / "elsewhere")


def test_every_path_of_a_config_has_one_spelling(here, changed, load):
    given = {
        "results": "{}/work/results/./ci/",
        "folders": {"coco": "./link/", "imagenet": "~/elsewhere"},
        "download.lists": {"laion": "{}/work/data//mine"},
        "download.python": "~/.venv/bin/python",
    }
    filled = {
        key: {k: v.format(here) for k, v in value.items()}
        if isinstance(value, dict)
        else value.format(here)
        for key, value in given.items()
    }
    config = load(changed("demo", filled)).config
    assert config["results"] == "results/ci"
    assert config["folders"] == {"coco": "data/mine", "imagenet": str(here / "elsewhere")}
    assert config["download"]["lists"] == {"laion": "data/mine"}
    assert config["download"]["python"] == f"{here}/.venv/bin/python"


def test_links_of_results_and_of_a_python_are_kept(here):
    assert canonical("far/results", follow=False) == "far/results"
    assert canonical("far/results") == str(here / "elsewhere/results")


def test_the_folder_of_an_encoder_has_one_spelling(here, copied, load, read):
    path = copied / "config/models.tsv"
    text = path.read_text()
    path.write_text(text.replace("openai/clip-vit-base-patch32", "./link/", 1))
    assert path.read_text() != text
    models = load(read("quick"), copied).models
    assert models["CLIP"]["checkpoint"] == "data/mine"
    assert models["SigLIP"]["checkpoint"].startswith("google/")


def test_a_link_that_is_turned_shows_where_size_and_time_are_the_same(here):
    files = [here / name / "image.npy" for name in ("elsewhere", "work/data/mine")]
    for file in files:
        file.write_bytes(b"same")
        os.utime(file, ns=(1, 1))
    link = Path("image.npy")
    states = []
    for file in files:
        link.unlink(missing_ok=True)
        link.symlink_to(file)
        states.append(state_of([link]))
    assert states == [[f"{files[0]} 4 1"], ["data/mine/image.npy 4 1"]]


def test_linked_folders_of_pictures_show_where_they_lead(here):
    (here / "work/plain").mkdir()
    (here / "work/broken").symlink_to("nowhere")
    assert links_in(".") == [f"far {here}/elsewhere", "link data/mine"]
    assert links_in("nowhere") == []


@pytest.mark.parametrize("name", [200 * "x", 20 * "x", "a" + 30 * "bc", 41 * "é" + "long"])
def test_a_long_name_is_cut_and_stays_its_own(name):
    found = name_of(f"/data/{name}")
    assert len(found) <= LONGEST_NAME
    assert not REPEATED.search(found)
    assert name_of(f"/data/{name}y") != found == name_of(f"/other/{name}")


def test_a_short_name_is_kept():
    assert name_of("/data/laion-400m_v1.0") == "laion-400m_v1.0"


@pytest.mark.parametrize("key", ["results", "store"])
def test_a_path_that_no_file_system_has_is_refused_with_its_key(changed, refusal, key):
    told = refusal(changed("store", {key: f"/data/{300 * 'x'}/mine"}))
    assert told.startswith(
        f"my.yaml: key {key}: xxxxxxxxxxxxxxxxxxxx... has 300 bytes; at most 255"
    )
    told = refusal(changed("store", {key: "a\0b"}))
    assert told.startswith(f"my.yaml: key {key}: no path has a zero byte")


def test_a_home_that_is_not_known_is_no_error(monkeypatch):
    assert canonical("~nobody-of-this-name/mine").endswith("~nobody-of-this-name/mine")


def test_what_cannot_be_a_path_is_an_input_error():
    with pytest.raises(InputError, match="longer than 4095 bytes"):
        canonical("/x" * 3000)
