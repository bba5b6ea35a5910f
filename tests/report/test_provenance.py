import subprocess
from importlib import metadata

import pytest

from isoenergy.errors import InputError
from isoenergy.report import provenance
from isoenergy.report.provenance import commit, machine, versions


def _git(folder, *words):
    name = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    done = subprocess.run(
        ["git", "-C", folder, *name, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts/a.py").write_text("a = 1\n")
    (folder / "README.md").write_text("a\n")
    _git(folder, "init", "--quiet")
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "-m", "a")
    return folder


def test_versions_are_those_installed_and_a_departure_from_a_pin_is_told(tmp_path, monkeypatch):
    installed = {"numpy": "2.4.6", "torch": "2.13.0+cpu", "scipy": "1.0"}

    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError
        return installed[name]

    monkeypatch.setattr(provenance.metadata, "version", version)
    path = tmp_path / "pyproject.toml"
    pins = '"numpy==2.4.6", "torch==2.13.0", "scipy==1.17.1", "umap-learn==0.5.12"'
    path.write_text(f"[project]\ndependencies = [{pins}]\n")
    found = versions(path)
    assert list(found)[:2] == ["python", "isoenergy"]
    assert {name: found[name] for name in list(found)[2:]} == {
        "numpy": "2.4.6",
        "torch": "2.13.0+cpu",
        "scipy": "1.0 (pinned: 1.17.1)",
        "umap-learn": "not installed (pinned: 0.5.12)",
    }
    with pytest.raises(InputError, match="does not exist"):
        versions(tmp_path / "other.toml")


def test_the_commit_is_told_with_changes_of_what_results_depend_on(checkout):
    head = _git(checkout, "rev-parse", "HEAD")
    assert commit(checkout) == head
    (checkout / "README.md").write_text("b\n")
    assert commit(checkout) == head
    (checkout / "scripts/a.py").write_text("a = 2\n")
    assert commit(checkout) == f"{head}, with uncommitted changes"


def test_a_copy_without_git_has_no_commit(checkout, monkeypatch):
    # An unpacked archive inside another checkout is not that checkout.
    assert commit(checkout / "scripts") is None
    assert commit(checkout.parent) is None
    monkeypatch.setenv("PATH", "")
    assert commit(checkout) is None


def test_the_machine_is_told_without_its_name():
    told = machine()
    assert " cores" in told
    assert __import__("socket").gethostname() not in told
