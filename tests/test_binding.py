import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

import binding
from isoenergy.errors import InputError


@dataclass(frozen=True)
class Settings:
    size: int
    name: str


def _work(store: str | Path, out: str | Path, settings: Settings, rows: int = 3) -> None:
    """Do it."""
    Path(out).write_text(f"{store} {settings.size} {settings.name} {rows}")


def _refuse(store: str | Path) -> None:
    raise InputError(f"{store} is wrong; mend it")


def _break(store: str | Path) -> None:
    raise RuntimeError("a bug")


@pytest.fixture(autouse=True)
def _gpus_of_this_process(monkeypatch):
    """A job sees the GPUs it asked for; other tests see all of them again."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")


def _job(tmp_path, **params):
    return SimpleNamespace(
        input={"store": "in.npy"},
        output={"out": str(tmp_path / "out")},
        params=params,
        log=[str(tmp_path / "logs/job.log")],
        resources={},
    )


def test_named_files_and_params_become_arguments(tmp_path):
    job = _job(tmp_path, settings={"size": 2, "name": "x"}, rows=9)
    binding.run(_work, job)
    assert (tmp_path / "out").read_text() == "in.npy 2 x 9"


def test_threads_of_the_job_reach_a_function_that_takes_them(tmp_path):
    def work(store: str | Path, out: str | Path, threads: int = 1) -> None:
        Path(out).write_text(f"{threads}")

    job = _job(tmp_path)
    job.threads = 3
    binding.run(work, job)
    assert (tmp_path / "out").read_text() == "3"


def test_a_job_with_calls_makes_one_of_each(tmp_path):
    outs = [str(tmp_path / f"out{n}") for n in range(2)]
    calls = [{"out": outs[0], "rows": 5}, {"out": outs[1]}]
    binding.run(_work, _job(tmp_path, settings={"size": 2, "name": "x"}, each=calls))
    assert [Path(out).read_text() for out in outs] == ["in.npy 2 x 5", "in.npy 2 x 3"]


class _Files(list):
    """As Snakemake gives files: a list, some of it named."""

    def __init__(self, **named):
        super().__init__(named.values())
        self.items = named.items


def test_params_name_the_local_copies_that_a_storage_keeps(tmp_path):
    copies = f"{tmp_path}/storage/bucket/"
    job = _job(tmp_path, settings={"size": 2, "name": "results/ci/x"}, rows=9)
    job.config = {"results": "results/ci"}
    job.input = _Files(store=f"{copies}results/ci/in.npy")
    job.output = _Files(out=f"{copies}results/ci/out")
    job.params |= {"calls": [{"folder": "results/ci/metrics"}, "results/cinema"]}
    arguments = binding.job_arguments(job)
    assert arguments["settings"] == {"size": 2, "name": f"{copies}results/ci/x"}
    assert arguments["calls"] == [{"folder": f"{copies}results/ci/metrics"}, "results/cinema"]
    assert arguments["store"] == f"{copies}results/ci/in.npy"
    job.output = _Files(out="results/ci/out")
    assert binding.job_arguments(job)["calls"] == job.params["calls"]


def test_the_command_line_takes_the_same_arguments(tmp_path, monkeypatch):
    words = ["--store", "007", "--out", str(tmp_path / "out")]
    words += ["--settings", "{size: 4, name: y}"]
    monkeypatch.setattr(sys, "argv", ["work.py", *words])
    binding.run(_work)
    assert (tmp_path / "out").read_text() == "007 4 y 3"


def test_a_setting_too_many_is_refused():
    with pytest.raises(InputError, match="it takes the keys size, name"):
        binding.convert(_work, {"settings": {"size": 1, "name": "x", "colour": 2}})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (3, "settings is 3; it takes the keys size, name"),
        ({"size": "many", "name": "x"}, "settings.size is 'many'; a whole number is needed"),
        ({"size": 1.5, "name": "x"}, "settings.size is 1.5; a whole number is needed"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_refused(settings, told):
    with pytest.raises(InputError, match=told):
        binding.convert(_work, {"settings": settings})


def test_a_list_of_settings_is_one_of_each():
    def work(several: list[Settings]) -> None: ...

    told = [{"size": "2", "name": "x"}, {"size": 3, "name": "y"}]
    assert binding.convert(work, {"several": told}) == {
        "several": [Settings(2, "x"), Settings(3, "y")]
    }
    with pytest.raises(InputError, match=r"several\[1\].size is 'many'; a whole number"):
        binding.convert(work, {"several": [told[0], {"size": "many", "name": "y"}]})
    with pytest.raises(InputError, match="several is 3; a list is needed"):
        binding.convert(work, {"several": 3})


def test_a_number_that_yaml_reads_as_text_is_a_number():
    def work(rate: float, rows: int | None = None) -> None: ...

    assert binding.convert(work, {"rate": "1e-3", "rows": None}) == {"rate": 1e-3, "rows": None}


def test_help_says_what_the_docstring_says(monkeypatch, capsys):
    def work(rate: float, settings: Settings) -> None:
        """Do it.

        Parameters
        ----------
        rate : float
            How fast,
            100 % at most.
        settings : Settings

        Raises
        ------
        InputError
            Never.
        """

    with pytest.raises(SystemExit):
        binding.parse_arguments(work, ["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "float. How fast, 100 % at most." in told
    assert "As YAML: {size: ..., name: ...}" in told
    assert "Never" not in told


def test_a_job_ends_with_the_run_that_started_it(tmp_path):
    run = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    code = "import binding, time; binding.end_with_the_run(); print(1, flush=True); time.sleep(60)"
    environment = {
        **os.environ,
        binding.RUN_VARIABLE: f"{socket.gethostname()}:{run.pid}",
        "PYTHONPATH": str(Path(binding.__file__).parent),
    }
    job = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert job.stdout.readline() == "1\n"
    assert job.poll() is None
    run.kill()
    run.wait()
    assert job.wait(timeout=20) == -signal.SIGKILL


def test_bad_input_is_one_sentence_and_a_bug_keeps_its_traceback(tmp_path):
    job = SimpleNamespace(
        input={"store": "in"},
        output={},
        params={},
        log=[str(tmp_path / "job.log")],
        resources={},
    )
    with pytest.raises(SystemExit) as ended:
        binding.run(_refuse, job)
    assert ended.value.code == 1
    assert (tmp_path / "job.log").read_text() == "error: in is wrong; mend it\n"
    with pytest.raises(SystemExit) as ended:
        binding.run(_break, job)
    assert ended.value.code == 1
    assert "RuntimeError: a bug" in (tmp_path / "job.log").read_text()


# A script as those of the repository are; its function says which process it is in.
SEVERAL = """
import os, sys, time
from pathlib import Path
import binding
from isoenergy.errors import InputError

def work(store: str | Path, out: str | Path, rate: float, wait: int = 0) -> None:
    if store == "bad":
        raise InputError("bad is wrong; mend it")
    import torch
    told = f"{os.getpid()} {os.environ['WORLD_SIZE']} {torch.get_num_threads()} {rate}"
    Path(out + os.environ["RANK"]).write_text(told)
    binding.LOG.info("written")
    time.sleep(wait)

binding.run(work, script=__file__)
"""


@pytest.fixture
def several(tmp_path, monkeypatch):
    """Two processes that torchrun starts for a job."""
    (tmp_path / "work.py").write_text(SEVERAL)
    monkeypatch.setenv("PYTHONPATH", str(Path(binding.__file__).parent))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    job = _job(tmp_path, rate=1e-05, processes=2)
    return job, tmp_path / "work.py"


def test_a_job_of_several_processes_gives_each_the_arguments(several, tmp_path):
    job, script = several
    binding.run(_work, job, script)
    told = [(tmp_path / f"out{rank}").read_text().split() for rank in range(2)]
    assert [words[1:] for words in told] == [["2", "1", "1e-05"]] * 2
    assert told[0][0] != told[1][0]
    # The first one alone tells of progress.
    assert (tmp_path / "logs/job.log").read_text().splitlines().count("written") == 1


def test_bad_input_of_several_processes_ends_the_job(several, tmp_path):
    job, script = several
    job.input["store"] = "bad"
    with pytest.raises(SystemExit) as ended:
        binding.run(_work, job, script)
    assert ended.value.code == 1
    assert "bad is wrong; mend it" in (tmp_path / "logs/job.log").read_text()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
def test_several_processes_end_with_their_job(several, tmp_path):
    job, script = several
    arguments = {"store": "x", "out": job.output["out"], "rate": 1, "wait": 60}
    code = f"import binding; binding.run_by_several({str(script)!r}, {arguments}, 2)"
    started = subprocess.Popen([sys.executable, "-c", code])
    outs = [tmp_path / f"out{rank}" for rank in range(2)]
    wait_until(lambda: all(out.exists() and out.read_text() for out in outs))
    started.kill()
    started.wait()
    processes = [int(out.read_text().split()[0]) for out in outs]
    wait_until(lambda: not any(is_running(process) for process in processes))


def is_running(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
