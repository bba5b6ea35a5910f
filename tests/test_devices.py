import subprocess
import sys

import pytest

from isoenergy.devices import claim_gpus, count_gpus, visible_gpus

# Claims GPUs, says which, and keeps them until its input ends.
CLAIM = """
import sys
from isoenergy.devices import claim_gpus
seen = {"CUDA_VISIBLE_DEVICES": "0,1,2"}
claim_gpus(int(sys.argv[1]), seen, sys.argv[2])
print(seen["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def claim(root, tmp_path):
    """Starts a process that claims GPUs; gives it and what it got."""
    started = []

    def start(count):
        process = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(count), str(tmp_path / "locks")],
            env={"PYTHONPATH": str(root / "scripts")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_jobs_at_the_same_time_get_gpus_of_their_own(claim):
    first, one = claim(1)
    _, two = claim(2)
    assert (one, two) == ("0", "1,2")
    first.kill()
    first.wait()
    assert claim(1)[1] == "0"


def test_more_jobs_than_gpus_share(claim):
    assert claim(2)[1] == "0,1"
    assert claim(2)[1] == "2,0"


def test_a_job_that_asks_for_none_sees_none(tmp_path):
    seen = {"CUDA_VISIBLE_DEVICES": "0,1"}
    claim_gpus(0, seen, tmp_path)
    assert seen == {"CUDA_VISIBLE_DEVICES": ""}


def test_what_a_scheduler_gave_is_taken_whole(claim, tmp_path):
    seen = {"CUDA_VISIBLE_DEVICES": "GPU-5f1c,GPU-77aa"}
    assert visible_gpus(seen) == ["GPU-5f1c", "GPU-77aa"]
    claim_gpus(2, seen, tmp_path)
    assert seen == {"CUDA_VISIBLE_DEVICES": "GPU-5f1c,GPU-77aa"}


def test_gpus_are_counted_as_nvidia_smi_lists_them(tmp_path, monkeypatch):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho 'GPU 1: B (UUID: GPU-2)'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert count_gpus() == 2
    seen = {}
    claim_gpus(2, seen, tmp_path)
    assert seen == {"CUDA_VISIBLE_DEVICES": "0,1"}
    smi.unlink()
    seen = {}
    claim_gpus(1, seen, tmp_path)
    assert seen == {}
