"""Puts ``hostile.py`` beside the tests on the path, and finds an environment with img2dataset."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def fetcher(root):
    """Python of the environment that `make download-env` makes, or of ISOENERGY_IMG2DATASET."""
    told = os.environ.get("ISOENERGY_IMG2DATASET", root / ".venv-download/bin/python")
    if not Path(told).exists():
        pytest.skip("img2dataset is not installed here; `make test-download` does that")
    return str(told)
