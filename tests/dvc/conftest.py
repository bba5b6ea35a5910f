"""Puts ``repository.py`` and ``remotes.py`` beside the tests on the path; runs what is shared."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def author(root, tmp_path_factory):
    """Whoever has run the ci configuration, for one model and seed, from a clean clone."""
    if shutil.which("dvc") is None:
        pytest.skip("no dvc; `make test-dvc` has it")
    from repository import Repository

    folder = tmp_path_factory.mktemp("dvc") / "author"
    told = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    tracked = subprocess.run(told, cwd=root, capture_output=True, text=True, check=True).stdout
    for name in filter(lambda name: (root / name).is_file(), tracked.split("\n")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, folder / name)
    config = yaml.safe_load((root / "config/ci.yaml").read_text())
    config |= {"models": ["SceneCLIP"], "seeds": [0]}
    config["comparisons"] = dict.fromkeys(config["comparisons"])
    (folder / "config/ci.yaml").write_text(yaml.safe_dump(config))
    pipeline = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(pipeline.replace("config/demo.yaml", "config/ci.yaml"))
    author = Repository(folder)
    author.run("git", "init", "-q")
    author.commit("A clean clone")
    author.first = author.run("dvc", "repro")
    author.commit("Share the run")
    yield author
    shutil.rmtree(folder)
