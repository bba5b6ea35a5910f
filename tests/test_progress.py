import io
import logging
import sys

import pytest

from isoenergy import progress
from isoenergy.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def lines(caplog, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    caplog.set_level(logging.INFO, logger="isoenergy")
    return caplog


def test_a_log_gets_a_line_at_most_every_ten_seconds(clock, lines):
    with Progress("embed", 100, "pictures") as bar:
        for _ in range(100):
            clock[0] += 1
            bar.step()
    assert lines.messages[:2] == [
        "embed: 10 of 100 pictures, about 2 min left",
        "embed: 20 of 100 pictures, about 80 s left",
    ]
    # Nine lines on the way, none at the last step, and what it took.
    assert len(lines.messages) == 10
    assert lines.messages[-1] == "embed: 100 pictures in 2 min"


def test_resumed_work_reckons_with_its_own_pace(clock, lines):
    with Progress("train", 100, "steps", done=80) as bar:
        clock[0] += 30
        bar.step(10)
    assert lines.messages == [
        "train: 90 of 100 steps, about 30 s left",
        "train: 10 steps in 30 s",
    ]


def test_figures_are_asked_for_only_when_shown(clock, lines):
    asked = []

    def figures():
        asked.append(clock[0])
        return {"loss": "0.5"}

    with Progress("train", 10, "steps") as bar:
        for _ in range(5):
            clock[0] += 4
            bar.step(figures=figures)
    assert asked == [1012.0]
    assert lines.messages[0].endswith("left, loss 0.5")


def test_work_that_fails_is_not_said_to_be_done(clock, lines):
    def fail():
        with Progress("train", 10, "steps") as bar:
            bar.step()
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert lines.messages == []


@pytest.mark.parametrize(("told", "has_bar"), [(None, True), ("lines", False)])
def test_a_terminal_gets_a_bar_unless_lines_are_asked_for(monkeypatch, told, has_bar):
    monkeypatch.delenv("ISOENERGY_PROGRESS", raising=False)
    if told:
        monkeypatch.setenv("ISOENERGY_PROGRESS", told)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress("embed", 3, "pictures") as bar:
        bar.step(3, figures=lambda: {"loss": "0.25"})
    drawn = sys.stderr.getvalue()
    assert ("3/3" in drawn) == has_bar
    assert ("loss=0.25" in drawn) == has_bar


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (9000, "2.5 h")],
)
def test_durations_read_well(seconds, text):
    assert progress._duration(seconds) == text
