"""A run that is killed or interrupted and called again: every file is as if nothing had been.

`make test-kill` does so twenty times by SIGKILL, five times by Ctrl-C and five by SIGTERM, at
moments that a seed draws; without it, one of each of the last two. Files that may differ are those
that tell times and processes: logs, benchmarks and the lock.
"""

import hashlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from isoenergy.ending import INTERRUPTED

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux")
long = pytest.mark.skipif(
    "ISOENERGY_TEST_KILL" not in os.environ, reason="takes minutes; `make test-kill` runs it"
)

KILLS = {signal.SIGKILL: 20, signal.SIGINT: 5, signal.SIGTERM: 5}
# Signals that come to one run before it is left in peace.
AT_ONE_RUN = 3
DIFFERING = ("logs", "benchmarks", ".lock")


class Run:
    """A run of some words of `snakemake`, in folders below one of the test's own."""

    def __init__(self, new_workflow, folder, words):
        self.new_workflow, self.folder, self.words = new_workflow, folder, words

    def start(self, name):
        """The command, in a session of its own, as a terminal starts it."""
        work = self.new_workflow(self.folder / name)
        return subprocess.Popen(
            work.command(*self.words, "--cores", "2"),
            cwd=work.root,
            env=work.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, name):
        """Run to the end; returns the seconds that it took."""
        began = time.monotonic()
        with self.start(name) as process:
            told, _ = process.communicate()
            assert process.returncode == 0, told[-4000:]
        return time.monotonic() - began

    def digests(self, name):
        """Content of every file of the results that has to be the same."""
        results = self.folder / name / "results"
        return {
            str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(results.rglob("*"))
            if path.is_file() and not set(path.relative_to(results).parts) & set(DIFFERING)
        }

    def disturb(self, name, number, seconds, times=1):
        """Send a signal after some seconds and see that nothing goes on; whether it was in time."""
        with self.start(name) as process:
            time.sleep(seconds)
            in_time = process.poll() is None
            for _ in range(times if in_time else 0):
                # A terminal sends Ctrl-C to all of a command's processes.
                send = os.killpg if number == signal.SIGINT else os.kill
                send(process.pid, number)
            told, _ = process.communicate(timeout=60)
        if in_time and number != signal.SIGKILL and process.returncode != 0:
            # A negative one is Python's own at the start, without what `make env` puts there.
            assert process.returncode in (128 + number, -number), told[-4000:]
            if process.returncode > 0:
                assert told.splitlines()[-1] == INTERRUPTED, told[-4000:]
                assert "Traceback" not in told
        end = time.monotonic() + 20
        while left := _session(process.pid):
            assert time.monotonic() < end, left
            time.sleep(0.05)
        return in_time


def _session(number):
    """What runs of a session that a process began."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            command = (path.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[3]) == number and fields[0] != "Z":
            found.append(command)
    return found


def test_a_run_that_is_interrupted_goes_on_to_the_same_files(new_workflow, ci_config, tmp_path):
    # Two short jobs, of which the second reads nothing of the first.
    targets = ("results/ci/toy/toy-1/store/store.json", "results/ci/toy/sketch.parquet")
    run = Run(new_workflow, tmp_path, (*targets, "--configfile", ci_config))
    seconds = run.finish("whole")
    expected = run.digests("whole")
    assert len(expected) > 3
    assert run.disturb("cut", signal.SIGINT, 0.5 * seconds, times=2)
    assert run.disturb("cut", signal.SIGTERM, 0.6 * seconds)
    run.finish("cut")
    assert run.digests("cut") == expected


@pytest.fixture
def small_store(root, tmp_path):
    """The words for tables and figures of a small store of one's own."""
    store, config = tmp_path / "store", tmp_path / "small.yaml"
    store.mkdir()
    draw = np.random.default_rng(0)
    common = draw.standard_normal((600, 16))
    for name in ("image", "text"):
        rows = common + 0.3 * draw.standard_normal((600, 16))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        np.save(store / f"{name}.npy", rows.astype(np.float32))
    keys = yaml.safe_load((root / "config/store.yaml").read_text())
    keys |= {"seeds": [0], "comparisons": dict.fromkeys(keys["comparisons"])}
    keys["sae"] |= {"expansion": 2, "l0": 4}
    keys["sae_training"] |= {"epochs": 4, "batch_size": 64}
    config.write_text(yaml.safe_dump(keys))
    targets = ("figure_02", "table_summary")
    return (*targets, "--configfile", str(config), "--config", f"store={store}")


@long
def test_runs_killed_at_random_moments_go_on_to_the_same_files(new_workflow, small_store, tmp_path):
    run = Run(new_workflow, tmp_path, small_store)
    seconds = run.finish("whole")
    expected = run.digests("whole")
    assert len(expected) > 50
    left = [number for number, count in KILLS.items() for _ in range(count)]
    draw = random.Random(0)
    draw.shuffle(left)
    rounds = 0
    while left:
        rounds += 1
        name = f"cut-{rounds}"
        for number in left[:AT_ONE_RUN]:
            moment = draw.uniform(0, 0.7 * seconds)
            if run.disturb(name, number, moment, times=draw.choice((1, 2))):
                left.remove(number)
                print(f"signal {int(number)} after {moment:.1f} s, {len(left)} to go", flush=True)
        run.finish(name)
        assert run.digests(name) == expected, name
