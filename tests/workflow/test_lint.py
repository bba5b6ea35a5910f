import ast
import tomllib


def test_snakemake_has_nothing_to_remark(workflow, root):
    done = workflow.run("--lint", "--configfile", str(root / "config/demo.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_script_binds_the_library_function_of_its_name(root):
    scripts = sorted((root / "scripts").glob("*/*.py"))
    scripts = [path for path in scripts if path.parent.name != "isoenergy"]
    assert len(scripts) >= 14
    for path in scripts:
        calls = [
            node.args[0].id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "binding.run"
        ]
        assert calls == [path.stem], path


def test_the_library_knows_nothing_of_snakemake(root):
    for path in (root / "scripts/isoenergy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "snakemake" for name in names), path


def _pins(root, without=()):
    told = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = [texts for name, texts in told["optional-dependencies"].items() if name not in without]
    extras = [text for texts in wanted for text in texts]
    pins = dict(text.split("==") for text in told["dependencies"] + extras)
    return {name.lower().replace("_", "-"): version for name, version in pins.items()}


def test_the_lock_states_the_versions_of_pyproject_and_no_torch(root):
    lines = (root / "requirements.lock").read_text().splitlines()
    locked = dict(line.rstrip(" \\").split("==") for line in lines if "==" in line)
    locked = {name.replace("_", "-"): version for name, version in locked.items()}
    pins = _pins(root, without=("open_clip", "dvc", "slurm", "kubernetes"))
    torch = pins.pop("torch")
    assert torch == "2.13.0"
    assert {name: locked.get(name) for name in pins} == pins
    heavy = ("torch", "nvidia", "triton", "timm", "open-clip", "opencv", "scikit-image")
    assert not [name for name in locked if name.startswith(heavy)]


def test_every_locked_package_has_a_hash(root):
    text = (root / "requirements.lock").read_text()
    for block in text.split("\n\n")[0].split("==")[1:]:
        assert "--hash=sha256:" in block
