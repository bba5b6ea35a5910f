import ast
import itertools
import shutil

import pytest

from isoenergy.fingerprint import fingerprint, registered

FILES = {
    "run.py": '"""Run."""\nfrom isoenergy.a import f\nprint(f(1))\n',
    "isoenergy/__init__.py": "",
    "isoenergy/a.py": '"""A."""\ndef f(x):\n    """F."""\n    from isoenergy.b import g\n'
    "    return g(x)\n",
    "isoenergy/b.py": "from isoenergy import c, progress\ndef g(x):\n    return x + c.ONE\n",
    "isoenergy/c.py": "import isoenergy.a\nONE = 1\n",  # a circle, which Python allows
    "isoenergy/progress.py": "BAR = 1\n",
    "isoenergy/unused.py": "TWO = 2\n",
}
count = itertools.count()


@pytest.fixture
def taken(tmp_path):
    """The fingerprint of run.py with some files changed, each time in a folder of its own."""

    def take(**changes):
        folder = tmp_path / str(next(count))
        for name, text in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            before, after = changes.get(path.stem, ("", ""))
            assert before in text
            path.write_text(text.replace(before, after, 1) if before else text)
        return fingerprint(folder / "run.py", folder)

    return take


def test_equal_code_has_an_equal_fingerprint(taken):
    assert taken() == taken()
    assert len(taken()) == 16
    int(taken(), 16)


@pytest.mark.parametrize(
    "changes",
    [
        {"run": ('"""Run."""', '"""Run it."""\n# Now.\n')},
        {"run": ('"""Run."""', "")},
        {"a": ('    """F."""\n', "")},
        {"a": ("return g(x)", "return g(\n        x\n    )  # the same")},
        {"c": ("ONE = 1", "# One.\n\n\nONE = 1")},
    ],
)
def test_comments_docstrings_and_layout_do_not_count(taken, changes):
    assert taken(**changes) == taken()


@pytest.mark.parametrize(
    "changes",
    [
        {"run": ("f(1)", "f(2)")},
        {"a": ("g(x)", "g(-x)")},
        {"b": ("+", "-")},
        {"c": ("ONE = 1", "ONE = 2")},
    ],
)
def test_changed_code_counts_wherever_it_is_used(taken, changes):
    assert taken(**changes) != taken()


@pytest.mark.parametrize("changes", [{"unused": ("2", "3")}, {"progress": ("1", "2")}])
def test_code_that_is_not_used_or_cannot_matter_does_not_count(taken, changes):
    assert taken(**changes) == taken()


def test_the_library_has_no_relative_imports_which_would_not_be_followed(root):
    for path in (root / "scripts" / "isoenergy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


def test_a_stage_does_not_depend_on_a_later_one(root):
    scripts = root / "scripts"
    drawing = fingerprint(scripts / "isoenergy/data/scenes.py", scripts)
    from isoenergy import fingerprint as module

    used, waiting = set(), ["isoenergy.data.scenes"]
    while waiting:
        name = waiting.pop()
        path = module._path(name, scripts)
        if path is not None and name not in used:
            used.add(name)
            waiting += module._read(path)[1]
    assert "isoenergy.data.draw" in used
    assert not [name for name in used if name.startswith(("isoenergy.embed", "isoenergy.measure"))]
    assert len(drawing) == 16


KINDS = "isoenergy.train.architectures"


def test_a_new_sae_changes_no_other_ones_fingerprint(root, tmp_path):
    def take(scripts, *names):
        at = registered("ARCHITECTURES", KINDS, scripts)
        chosen = {KINDS: {at[name] for name in names}}
        return fingerprint(scripts / "train/train_saes.py", scripts, chosen)

    scripts, more = root / "scripts", tmp_path / "scripts"
    shutil.copytree(scripts, more, ignore=shutil.ignore_patterns("*.pyc"))
    (more / "isoenergy/train/own.py").write_text(
        "from isoenergy.train.sae import ARCHITECTURES, SAE\n"
        '@ARCHITECTURES.register("own")\nclass Own(SAE):\n    pass\n'
    )
    path = more / "isoenergy/train/architectures.py"
    path.write_text(path.read_text() + "import isoenergy.train.own\n")
    linear = more / "isoenergy/train/linear.py"
    linear.write_text(linear.read_text().replace("MOMENTUM = 0.9", "MOMENTUM = 0.8"))
    assert take(more, "matching_pursuit") == take(scripts, "matching_pursuit")
    assert take(more, "topk") != take(scripts, "topk")
    assert take(more, "matching_pursuit", "own") != take(more, "matching_pursuit")


def test_where_an_entry_is_registered_is_read_without_importing(root):
    from isoenergy.train.checkpoint import ARCHITECTURES

    found = registered("ARCHITECTURES", KINDS, root / "scripts")
    assert found == {name: ARCHITECTURES[name].__module__ for name in ARCHITECTURES}


def _scripts_that_change(root, tmp_path, changed, before, after):
    """Which scripts get another fingerprint when one module of the library changes."""
    shutil.copytree(root / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("*.pyc"))
    path = tmp_path / "scripts/isoenergy" / changed
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    found = set()
    for script in (root / "scripts").glob("*/*.py"):
        name = script.relative_to(root / "scripts")
        if name.parts[0] != "isoenergy":
            copy = fingerprint(tmp_path / "scripts" / name, tmp_path / "scripts")
            if copy != fingerprint(script, root / "scripts"):
                found.add(str(name))
    return found


def test_another_colour_draws_again_and_computes_nothing(root, tmp_path):
    found = _scripts_that_change(root, tmp_path, "render/style.py", "#1b79bd", "#123456")
    assert {name for name in found if not name.startswith("render/")} == set()
    assert "render/render_figure.py" in found


def test_another_metric_measures_again_and_trains_and_encodes_nothing(root, tmp_path):
    found = _scripts_that_change(root, tmp_path, "measure/gap.py", "def ", "ONE = 1\n\n\ndef ")
    assert {"measure/measure_sae.py", "measure/measure_interventions.py"} <= found
    assert not {name.split("/")[0] for name in found} & {"data", "embed", "train", "encode"}
