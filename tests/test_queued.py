import stat

import pytest

from isoenergy.errors import InputError
from isoenergy.queued import cancel_left, claim, enlist

QUEUE = """#!/bin/sh
# A queue whose jobs are lines "number name" of a file; after scancel one ends with every look.
cd {folder}
echo "$(basename $0) $*" >> asked
case $(basename $0) in
squeue) [ -e broken ] && {{ echo "no controller" >&2; exit 1; }}
        [ -e cancelled ] && sed -i '0,/ first/{{/ first/d}}' jobs
        names=$(echo "$*" | sed 's/.*--name=//; s/,/|/g')
        grep -wE "$names" jobs | cut -d' ' -f1 ;;
scancel) touch cancelled ;;
esac
exit 0
"""


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """Programs squeue and scancel, and the folder in which a test writes their jobs."""
    folder = tmp_path / "queue"
    folder.mkdir()
    (folder / "jobs").write_text("")
    for name in ("squeue", "scancel"):
        (folder / name).write_text(QUEUE.format(folder=folder))
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def _claim(results, owner):
    results.mkdir(exist_ok=True)
    with (results / ".lock").open("a") as handle:
        claim(handle, owner)


def test_jobs_of_a_run_that_is_gone_are_cancelled_and_waited_for(tmp_path, queue):
    results = tmp_path / "results"
    _claim(results, "here:1")
    enlist(results, "here:1", "first")
    enlist(results, "here:1", "first")
    (queue / "jobs").write_text("11 first\n12 first\n13 another\n")
    _claim(results, "here:2")
    assert cancel_left(results, pause=0) == 2
    asked = (queue / "asked").read_text().splitlines()
    assert asked.count("scancel 11 12") == 1
    # It returned no sooner than they had left the queue.
    assert (queue / "jobs").read_text() == "13 another\n"
    assert cancel_left(results) == 0
    assert (queue / "asked").read_text().splitlines() == asked


def test_a_run_without_jobs_asks_no_queue(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    _claim(tmp_path / "results", "here:1")
    assert cancel_left(tmp_path / "results") == 0


def test_a_job_does_not_start_once_another_run_has_the_results(tmp_path):
    results = tmp_path / "results"
    _claim(results, "login-with-a-long-name:12345")
    enlist(results, "login-with-a-long-name:12345", "first")
    _claim(results, "here:2")
    with pytest.raises(InputError, match=r"long-name:12345, which is gone, and the run here:2 now"):
        enlist(results, "login-with-a-long-name:12345", "first")
    enlist(results, "here:2", "second")


@pytest.mark.parametrize("fault", ["broken", "absent"])
def test_a_queue_that_does_not_answer_stops_the_run_and_forgets_nothing(
    tmp_path, queue, monkeypatch, fault
):
    results = tmp_path / "results"
    _claim(results, "here:1")
    enlist(results, "here:1", "first")
    if fault == "broken":
        (queue / "broken").touch()
    else:
        monkeypatch.setenv("PATH", "")
    for _ in range(2):
        with pytest.raises(InputError, match=r"squeue cannot tell .*remove .*\.queue if they are"):
            cancel_left(results)


def test_jobs_that_do_not_end_are_told(tmp_path, queue):
    results = tmp_path / "results"
    _claim(results, "here:1")
    enlist(results, "here:1", "first")
    (queue / "jobs").write_text("".join(f"{number} first\n" for number in range(500)))
    with pytest.raises(InputError, match=r"jobs .* of an earlier run do not end"):
        cancel_left(results, patience=0.05, pause=0)
