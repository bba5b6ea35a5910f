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


def _job(tmp_path, **params):
    return SimpleNamespace(
        input={"store": "in.npy"},
        output={"out": str(tmp_path / "out")},
        params=params,
        log=[str(tmp_path / "logs/job.log")],
    )


def test_named_files_and_params_become_arguments(tmp_path):
    job = _job(tmp_path, settings={"size": 2, "name": "x"}, rows=9)
    binding.run(_work, job)
    assert (tmp_path / "out").read_text() == "in.npy 2 x 9"


def test_the_command_line_takes_the_same_arguments(tmp_path, monkeypatch):
    words = ["--store", "007", "--out", str(tmp_path / "out")]
    words += ["--settings", "{size: 4, name: y}"]
    monkeypatch.setattr(sys, "argv", ["work.py", *words])
    binding.run(_work)
    assert (tmp_path / "out").read_text() == "007 4 y 3"


def test_a_setting_too_many_is_refused():
    with pytest.raises(InputError, match="it takes the keys size, name"):
        binding.convert(_work, {"settings": {"size": 1, "name": "x", "colour": 2}})


def test_bad_input_is_one_sentence_and_a_bug_keeps_its_traceback(tmp_path):
    job = SimpleNamespace(
        input={"store": "in"}, output={}, params={}, log=[str(tmp_path / "job.log")]
    )
    with pytest.raises(SystemExit) as ended:
        binding.run(_refuse, job)
    assert ended.value.code == 1
    assert (tmp_path / "job.log").read_text() == "in is wrong; mend it\n"
    with pytest.raises(SystemExit) as ended:
        binding.run(_break, job)
    assert ended.value.code == 1
    assert "RuntimeError: a bug" in (tmp_path / "job.log").read_text()
