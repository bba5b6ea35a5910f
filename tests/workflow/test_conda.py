"""A whole run with --use-conda, in a client and a channel that `make test-conda` makes.

The environment files are used as they are. Packages are PyPI's, under the names of conda-forge:
what conda-forge itself would choose, and its builds for CUDA, are not tested.
"""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from isoenergy.data.pairs import read_pairs

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools/conda"))

from environments import ENVS, normal, read_environment

pytestmark = pytest.mark.skipif(
    "CONDA_SCRATCH" not in os.environ, reason="no conda client; `make test-conda` makes one"
)
# Environments that the jobs of config/ci.yaml run in.
OF_CI = {"data", "embed", "measure", "render", "toy", "train"}
HOOK = Path(__file__).with_name("conda")


@pytest.fixture(scope="module")
def deployed(new_workflow, ci_config, tmp_path_factory):
    """A run of config/ci.yaml with --use-conda, and what each of its jobs loaded from elsewhere."""
    folder = tmp_path_factory.mktemp("conda")
    (folder / "outside").mkdir()
    # What Snakemake lets through to jobs, unlike PYTHONPATH.
    user = folder / "user/lib/python{}.{}/site-packages".format(*sys.version_info)
    shutil.copytree(HOOK, user)
    work = new_workflow(folder / "work")
    done = work.run(
        *("--cores", "all", "--use-conda", "--configfile", ci_config),
        PYTHONUSERBASE=str(folder / "user"),
        ISOENERGY_OUTSIDE=str(folder / "outside"),
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    yield work, folder / "outside"
    shutil.rmtree(folder)


def _made(work):
    """Content of every result but logs, timings, and pages that tell how they were made."""
    results = work.folder / "results/ci"
    return {
        str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and path.relative_to(results).parts[0] not in ("logs", "benchmarks", ".lock")
        and path.suffix != ".html"
    }


def _environments(work):
    """Environments that Snakemake made, by the name of their file."""
    names = {path.read_text(): path.stem for path in ENVS.glob("*.yaml")}
    made = (work.folder / ".snakemake/conda").glob("*.yaml")
    return {names[path.read_text()]: path.with_suffix("") for path in made}


def test_the_run_makes_the_numbers_of_a_plain_run(ci_run, deployed):
    plain, conda = _made(ci_run), _made(deployed[0])
    assert len(plain) > 1000
    assert conda == plain


def test_each_job_runs_in_its_environment_made_of_the_file_as_it_is(deployed):
    work, outside = deployed
    made = _environments(work)
    assert set(made) == OF_CI
    for name, folder in made.items():
        assert folder.with_name(f"{folder.name}.env_setup_done").exists(), name
    ran = {_prefix(path) for path in outside.iterdir()}
    assert ran == {folder.name for folder in made.values()}


def test_no_job_loads_what_its_environment_lacks(root, deployed):
    work, outside = deployed
    names = {folder.name: name for name, folder in _environments(work).items()}
    ours = _imported(root / "scripts")
    assert {"numpy", "torch", "jsonschema"} <= ours
    lacking = set()
    for path in outside.iterdir():
        _, *modules = path.read_text().split()
        lacking |= {(names[_prefix(path)], module) for module in set(modules) & ours}
    assert lacking == set()


def _prefix(path):
    """The folder of the environment that a job ran in."""
    return path.name.partition("-")[0]


def _imported(folder):
    """Top names of all modules that code imports; what these load where they find it is theirs."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("name", sorted(path.stem for path in ENVS.glob("*.yaml")))
def test_every_environment_is_made_with_the_versions_it_states(name, tmp_path):
    environment = read_environment(ENVS / f"{name}.yaml")
    prefix = tmp_path / name
    command = ["conda", "env", "create", "--quiet", "--file", str(ENVS / f"{name}.yaml")]
    done = subprocess.run(
        [*command, "--prefix", str(prefix)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    code = (
        "import json, importlib.metadata as m; "
        "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
    )
    python = [str(prefix / "bin/python"), "-I", "-c", code]
    found = json.loads(subprocess.run(python, capture_output=True, check=True).stdout)
    found = {normal(name): version.partition("+")[0] for name, version in found.items()}
    stated = environment.from_pypi | {normal(k): v for k, v in environment.pip.items()}
    assert {name: found.get(name) for name in stated} == stated
    shutil.rmtree(prefix)


def test_links_are_fetched_in_the_environment_of_downloads(root, workflow, tmp_path):
    sys.path.insert(0, str(root / "tests/data"))
    from hostile import Server, pictures

    server = Server(pictures(4))
    table = pd.DataFrame({"url": [f"{server.address}/ok/good{i}" for i in range(4)]})
    table.assign(caption="a picture").to_parquet(tmp_path / "links.parquet")
    config = yaml.safe_load((root / "config/ci.yaml").read_text())
    config["rows"]["laion"] = 4
    config["datasets"] |= {"train": "laion", "transfer": []}
    lists = {"laion": str(tmp_path / "links.parquet")}
    config["download"] |= {"lists": lists, "private_addresses": True, "retries": 0}
    (tmp_path / "laion.yaml").write_text(yaml.safe_dump(config))
    pairs = "results/ci/data/laion/pairs.parquet"
    done = workflow.run(pairs, "--use-conda", "--configfile", str(tmp_path / "laion.yaml"))
    server.close()
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert read_pairs(workflow.folder / pairs, "pairs")["status"].tolist() == ["ok"] * 4
    assert set(_environments(workflow)) == {"data", "download"}
