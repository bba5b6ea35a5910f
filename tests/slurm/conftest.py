"""Puts ``cluster.py`` and ``submitter.py`` beside the tests on the path; starts the cluster."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

SLURM = Path("/etc/slurm")


@pytest.fixture(scope="session")
def cluster():
    """A SLURM of one node; afterwards nothing of it is left."""
    if "ISOENERGY_TEST_SLURM" not in os.environ:
        pytest.skip("it takes ten minutes and installs SLURM; `make test-slurm` does that")
    from cluster import Cluster, missing_programs

    assert not missing_programs(), "`make test-slurm` installs them"
    # Clean up when told to end, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    before = sorted(SLURM.rglob("*"))
    with Cluster() as cluster:
        yield cluster
    assert not cluster.folder.exists()
    for _ in range(20):
        if not cluster.processes():
            break
        time.sleep(0.5)
    assert cluster.processes() == {}
    assert sorted(SLURM.rglob("*")) == before
