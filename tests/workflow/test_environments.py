"""The files of envs/, without conda: versions, names, and what the rules that use them load."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools/conda"))

from environments import ENVS, SELECTORS, normal, read_environment, read_environments

ENVIRONMENTS = {environment.name: environment for environment in read_environments()}
# Conditions under which a script that imports a module loads nothing.
UNUSED = ("TYPE_CHECKING", "__name__ == '__main__'")
# Modules that are not in the environment of the tests, by distribution.
APART = {"open_clip": ["open-clip-torch"], "torchvision": ["torchvision"]}


def _pins(root):
    told = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = [text for texts in told["optional-dependencies"].values() for text in texts]
    pins = dict(text.split("==") for text in told["dependencies"] + extras)
    return {normal(name): version for name, version in pins.items()}


@pytest.fixture(scope="module")
def rules(root):
    """The script and the environments of every rule that has one."""
    found = {}
    for path in sorted((root / "workflow/rules").glob("*.smk")):
        for text in re.split(r"(?m)^(?=(?:use )?rule )", path.read_text())[1:]:
            names = re.findall(r"envs/(\w+)\.yaml", text)
            script = re.search(r"script:\s+\"../../scripts/(\S+)\"", text)
            rule = re.match(r"(?:use rule \w+ as|rule) (\w+)", text)[1]
            source = re.match(r"use rule (\w+)", text)
            if names:
                found[rule] = script[1] if script else found[source[1]][0], names
    return found


def test_every_environment_is_of_conda_forge_alone_and_python_comes_first():
    assert len(ENVIRONMENTS) >= 8
    for environment in ENVIRONMENTS.values():
        assert environment.channels == ("conda-forge", "nodefaults"), environment.name
        assert environment.python == "3.11", environment.name


def test_versions_are_those_of_pyproject(root):
    pins = _pins(root)
    for name, environment in ENVIRONMENTS.items():
        # img2dataset wants other versions than everything else.
        stated = {} if name == "download" else environment.from_pypi
        assert stated == {package: pins.get(package) for package in stated}, name


def test_versions_are_those_of_the_lock(root):
    text = (root / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ]+)", text, flags=re.M))
    locked = {normal(name): version for name, version in locked.items()}
    compared = 0
    for name, environment in ENVIRONMENTS.items():
        if name != "download":
            for package, version in environment.from_pypi.items():
                compared += package in locked
                assert locked.get(package, version) == version, f"{name}: {package}"
    assert compared > 50


def test_the_environment_of_downloads_decodes_with_the_same_pillow(root):
    versions = ENVIRONMENTS["download"].pip
    assert versions["img2dataset"] == "1.47.0"
    assert int(versions["pandas"].split(".")[0]) < 3  # else pip falls back to an old img2dataset
    assert versions["pillow"] == _pins(root)["pillow"]


def test_a_package_without_an_exact_version_is_refused(tmp_path):
    for text in ("numpy", "numpy>=2", "numpy=2.*"):
        told = {"channels": ["conda-forge"], "dependencies": ["python=3.11", text]}
        (tmp_path / "some.yaml").write_text(yaml.safe_dump(told))
        with pytest.raises(ValueError, match=r"numpy.* has no exact version"):
            read_environment(tmp_path / "some.yaml")


def test_environments_with_cuda_name_it_and_are_for_jobs_with_a_gpu_alone(root, rules):
    with_gpu = {name for name, env in ENVIRONMENTS.items() if set(SELECTORS) & set(env.conda)}
    assert with_gpu == {"embed_gpu", "open_clip", "train_gpu"}
    for name in with_gpu:
        assert set(SELECTORS) < set(ENVIRONMENTS[name].conda), name
        assert "pytorch" not in ENVIRONMENTS[name].conda, name
    assert {rule for rule, (_, names) in rules.items() if with_gpu & set(names)} == {
        "embed_dataset",
        "embed_range",
        "train_sae",
        "train_swept",
    }


def test_an_environment_holds_what_the_scripts_of_its_rules_load(root, rules):
    assert {name for _, names in rules.values() for name in names} == set(ENVIRONMENTS)
    distributions = packages_distributions() | APART
    for rule, (script, names) in rules.items():
        modules = _loaded(root / "scripts" / script, root / "scripts")
        assert modules, script
        for name in names:
            environment = ENVIRONMENTS[name]
            held = {*environment.from_pypi, *map(normal, environment.pip)}
            for module in modules:
                known = {normal(text) for text in distributions.get(module, [module])}
                # img2dataset brings these along.
                brought = name == "download" and module in ("numpy", "pyarrow", "tqdm")
                assert known & held or brought, f"{rule}: {name}.yaml lacks {module}"


def _loaded(script, library):
    """Top names of the modules from elsewhere that a script loads as it starts."""
    seen, modules, waiting = set(), set(), [script]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in _imported(ast.parse(path.read_text()).body):
            base = library.joinpath(*name.split("."))
            own = [p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()]
            waiting += own
            top = name.partition(".")[0]
            if not own and not (library / top).exists() and top not in sys.stdlib_module_names:
                modules.add(top)
    return modules - {"binding"}


def _imported(body):
    """Names that statements outside functions import, but for those under conditions of UNUSED."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Try | ast.With) or (
            isinstance(node, ast.If) and ast.unparse(node.test) not in UNUSED
        ):
            yield from _imported(node.body)


def test_every_version_exists_on_pypi(tmp_path):
    stated = {
        f"{name}=={version}"
        for environment in ENVIRONMENTS.values()
        for name, version in (*environment.from_pypi.items(), *environment.pip.items())
    }
    # Of packages that two environments have in two versions, each is asked for by itself.
    rounds = []
    for text in sorted(stated):
        name = normal(text.partition("==")[0])
        free = [asked for asked in rounds if name not in asked]
        (free[0] if free else rounds.append({}) or rounds[-1])[name] = text
    for asked in rounds:
        (tmp_path / "asked.in").write_text("\n".join(asked.values()))
        command = [sys.executable, "-m", "uv", "pip", "compile", "--no-deps", "--quiet"]
        done = subprocess.run(
            [*command, "--python-version", "3.11", str(tmp_path / "asked.in")],
            capture_output=True,
            text=True,
            check=False,
        )
        if "Request failed" in done.stderr or "Failed to fetch" in done.stderr:
            pytest.skip(f"no package index can be reached: {done.stderr.splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
        assert len(re.findall(r"^[^#\s]\S*==", done.stdout, flags=re.M)) == len(asked)


def test_pin_files_are_of_environments_without_packages_of_pip_and_state_their_versions():
    # Snakemake leaves out the section `pip:` of an environment that has a pin file.
    for path in ENVS.glob("*.pin.txt"):
        environment = read_environment(path.with_name(f"{path.name.partition('.')[0]}.yaml"))
        assert not environment.pip, path
        assert path.read_text().count("@EXPLICIT") == 1
        for name, version in environment.conda.items():
            assert f"/{name}-{version}-" in path.read_text(), f"{path}: {name}"
