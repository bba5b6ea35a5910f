import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import isoenergy

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")

# A run with a job at work through a shell, as Snakemake starts it, and a thread that waits for it.
RUN = """
import subprocess, sys, threading, time
from isoenergy.interruption import end_when_interrupted
end_when_interrupted(prepare=lambda: None, tell=lambda: print("told", flush=True))
command = "trap '' INT; python3 -c 'import time; print(1, flush=True); time.sleep(60)'; true"
thread = threading.Thread(target=subprocess.run, args=(["bash", "-c", command],), daemon=True)
thread.start()
try:
    {main}
except BaseException as error:
    print(type(error).__name__, flush=True)
"""


@pytest.fixture
def start(tmp_path):
    """Starts a run in a session of its own, as from a terminal; its job is at work."""
    started = []

    def start(main="time.sleep(60)", before=(), **changes):
        script = tmp_path / "run.py"
        script.write_text(RUN.replace("{main}", main))
        path = str(Path(isoenergy.__file__).parents[1])
        run = subprocess.Popen(
            [*before, sys.executable, str(script)],
            env={**os.environ, "PYTHONPATH": path, **changes},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(run)
        assert run.stdout.readline() == "1\n"
        return run

    yield start
    for run in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


def session(number):
    """The processes of a session that are no zombies."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == number and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("main", ["time.sleep(60)", "sum(1 for _ in iter(int, 1))"])
def test_a_signal_ends_a_run_and_its_jobs_with_one_line(start, number, times, main):
    run = start(main)
    for _ in range(times):
        os.killpg(run.pid, number)
    told, _ = run.communicate(timeout=30)
    assert told == "told\n"
    assert run.returncode == 128 + number
    assert session(run.pid) == []


def test_sigterm_to_the_run_alone_ends_its_jobs_too(start):
    run = start()
    os.kill(run.pid, signal.SIGTERM)
    assert run.communicate(timeout=30)[0] == "told\n"
    assert session(run.pid) == []


def test_a_signal_that_is_ignored_stays_so(start):
    run = start("time.sleep(1)", before=["bash", "-c", "trap '' INT; exec \"$@\"", "-"])
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(timeout=30) == 0


def test_a_stage_ends_with_the_dvc_that_has_started_it(start):
    """DVC starts commands by a shell."""
    dvc = ["bash", "-c", 'PATH=$PATH; "$@"; true', "-"]
    python = "import subprocess, sys; subprocess.run(sys.argv[1:]); print('on')"
    run = start(before=[sys.executable, "-c", python, *dvc], DVC_STAGE="train")
    assert len(session(run.pid)) >= 4
    run.kill()
    assert run.communicate(timeout=30)[0] == "told\n"
    end = time.monotonic() + 20
    while session(run.pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert session(run.pid) == []


START = """
import os, signal, site, sys
site.addsitedir(sys.argv[1])
os.kill(os.getpid(), int(sys.argv[2]))
print("on")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_snakemake_ends_with_one_line_also_before_it_reads_the_workflow(root, tmp_path, number):
    """tools/starting, which `make env` copies into the environment."""
    for name, code in (("snakemake", 128 + number), ("other", -number)):
        (tmp_path / name).write_text(START)
        done = subprocess.run(
            [sys.executable, str(tmp_path / name), str(root / "tools/starting"), str(int(number))],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code
        if name == "snakemake":
            from isoenergy.ending import INTERRUPTED

            assert done.stdout + done.stderr == f"{INTERRUPTED}\n"
