import os
import signal
import socket
import subprocess
import sys
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


def test_a_job_with_calls_makes_one_of_each(tmp_path):
    outs = [str(tmp_path / f"out{n}") for n in range(2)]
    calls = [{"out": outs[0], "rows": 5}, {"out": outs[1]}]
    binding.run(_work, _job(tmp_path, settings={"size": 2, "name": "x"}, each=calls))
    assert [Path(out).read_text() for out in outs] == ["in.npy 2 x 5", "in.npy 2 x 3"]


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
    assert (tmp_path / "job.log").read_text() == "in is wrong; mend it\n"
    with pytest.raises(SystemExit) as ended:
        binding.run(_break, job)
    assert ended.value.code == 1
    assert "RuntimeError: a bug" in (tmp_path / "job.log").read_text()
