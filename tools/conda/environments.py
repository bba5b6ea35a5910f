"""The conda environments of envs/, and what their packages are called on PyPI."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

ENVS = Path(__file__).resolve().parents[2] / "envs"
# Where conda-forge calls a package otherwise than PyPI does; `-`, `_` and capitals aside.
PYPI_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
# Packages that hold nothing, but ask for a build of others: what they ask for.
SELECTORS = {"pytorch-gpu": "pytorch", "cuda-version": None}


@dataclass(frozen=True)
class Environment:
    """One file of envs/.

    Attributes
    ----------
    name : str
    python : str
    conda, pip : dict of str to str
        Versions by name, as conda-forge and as PyPI have it.
    channels : tuple of str
    """

    name: str
    python: str
    conda: dict[str, str]
    pip: dict[str, str]
    channels: tuple[str, ...]

    @property
    def from_pypi(self) -> dict[str, str]:
        """Versions by PyPI name of what both have."""
        shared = {
            SELECTORS.get(name, name) or name: version
            for name, version in self.conda.items()
            if SELECTORS.get(name, name) is not None
        }
        return {pypi_name(name): version for name, version in shared.items()}


def normal(name: str) -> str:
    """A name as it is compared: lower case, with hyphens."""
    return name.lower().replace("_", "-").replace(".", "-")


def pypi_name(conda_name: str) -> str:
    """The name on PyPI of a conda-forge package."""
    return normal(PYPI_NAMES.get(conda_name, conda_name))


def read_environment(path: str | Path) -> Environment:
    """Read one file of envs/, every package of which has an exact version.

    Raises
    ------
    ValueError
        If a package has none.
    """
    told = yaml.safe_load(Path(path).read_text())
    conda, pip = {}, {}
    for entry in told["dependencies"]:
        if isinstance(entry, dict):
            pip |= dict(_split(path, text, "==") for text in entry["pip"])
        elif entry != "pip":
            name, version = _split(path, entry, "=")
            conda[name] = version
    python = conda.pop("python")
    return Environment(Path(path).stem, python, conda, pip, tuple(told["channels"]))


def _split(path: str | Path, text: str, sign: str) -> tuple[str, str]:
    name = re.match(r"[\w.-]+", text)[0]
    version = text.removeprefix(name + sign)
    if not re.fullmatch(r"\d[\w.]*", version):
        raise ValueError(f"{path}: {text} has no exact version; write {name}{sign}VERSION")
    return name, version


def read_environments(folder: str | Path = ENVS) -> list[Environment]:
    """Every file of envs/."""
    return [read_environment(path) for path in sorted(Path(folder).glob("*.yaml"))]
