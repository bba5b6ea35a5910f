"""Configs and registries of the repository, whole or changed, and how they are loaded."""

import copy
import shutil

import pytest
import yaml

from isoenergy.config import load_run
from isoenergy.errors import InputError


@pytest.fixture
def read(root):
    """A config of the repository by its name."""
    return lambda name: yaml.safe_load((root / f"config/{name}.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def load(root):
    return lambda config, where=root: load_run(config, "my.yaml", where)


@pytest.fixture
def refusal(load):
    """The one sentence with which a config is refused."""

    def of(*arguments):
        with pytest.raises(InputError) as told:
            load(*arguments)
        assert "\n" not in str(told.value)
        return str(told.value)

    return of


@pytest.fixture
def changed(read):
    """A config of the repository with some keys changed: ``changed("demo", {"sae.l0": 3})``."""

    def change(name, changes):
        config = copy.deepcopy(read(name))
        for key, value in changes.items():
            *path, last = key.split(".")
            inner = config
            for part in path:
                inner = inner[part]
            if value is KeyError:
                del inner[last]
            else:
                inner[last] = value
        return config

    return change


@pytest.fixture
def copied(root, tmp_path):
    """A copy of the repository's registries and schemas, to be spoilt."""
    for part in ("config", "workflow/schemas"):
        shutil.copytree(root / part, tmp_path / part)
    return tmp_path
