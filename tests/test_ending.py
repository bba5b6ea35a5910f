import errno
import logging
import os
import re
import subprocess
import time

import pytest

from isoenergy.ending import HANDED_OVER, MARK, Ending, say, sentence_in
from isoenergy.errors import InputError
from isoenergy.system_errors import explain


class RuleException(Exception):  # noqa: N818
    """As Snakemake raises it for a job that failed."""


@pytest.fixture
def ending():
    """Follows the messages of a logger; `shown` are those that still go to the screen."""
    ending = Ending(since=time.time() - 60)
    logger = logging.getLogger("snakemake.logging")
    logger.setLevel(logging.INFO)
    shown = []
    handler = logging.Handler()
    handler.emit = lambda record: shown.append(record.getMessage())
    handler.addFilter(ending.shows)
    logger.addFilter(ending)
    logger.addHandler(handler)
    ending.shown, ending.logger = shown, logger
    yield ending
    logger.removeFilter(ending)
    logger.removeHandler(handler)


@pytest.fixture
def fails(ending, tmp_path):
    """Has a job fail as Snakemake's local executor tells it."""

    def fail(jobid, log=None, status=1, rule="train_sae"):
        path = tmp_path / f"{jobid}.log"
        if log is not None:
            path.write_text(log)
        try:
            try:
                raise subprocess.CalledProcessError(status, "python x.py")
            except subprocess.CalledProcessError as error:
                raise RuleException(f"CalledProcessError in line 238: {error}") from None
        except RuleException as error:
            ending.logger.error(str(error), extra={"event": "error"})
        told = {"event": "job_error", "jobid": jobid, "rule_name": rule, "rule_msg": None}
        ending.logger.error("Error in rule", extra=told | {"log": [str(path)]})
        return path

    return fail


def _close(ending):
    """What Snakemake says and raises once a job has failed."""
    ending.logger.info("Shutting down, this might take some time.")
    ending.logger.error("Exiting because a job execution failed. Look above for error messages")
    try:
        raise RuntimeError("At least one job did not complete successfully.")
    except RuntimeError as error:
        ending.logger.error(f"WorkflowError:\n{error}", extra={"event": "error"})


def test_the_sentence_of_several_jobs_is_said_once_and_last(ending, fails, capfd):
    logs = [fails(n, "some progress\nerror: row 7 holds NaN; drop it\n") for n in (1, 2)]
    _close(ending)
    ending.tell()
    assert capfd.readouterr().err == "error: row 7 holds NaN; drop it\n"
    assert ending.shown == [f"train_sae failed; its log is {log}" for log in logs]


def test_each_sentence_is_said(ending, fails):
    fails(1, "error: one\n")
    fails(2, "error: two\n\n")
    assert ending.sentences() == ["one", "two"]


def test_a_job_that_is_tried_again_with_success_is_not_told(ending, fails):
    fails(1, "error: one\n")
    fails(2, "error: two\n")
    ending.logger.info("Execute 1 jobs...", extra={"event": "job_started", "jobs": [1]})
    ending.logger.info("Finished", extra={"event": "job_finished", "job_id": 2})
    assert ending.sentences() == []


def test_a_fault_of_the_program_names_the_job_and_its_log(ending, fails):
    trace = 'Traceback (most recent call last):\n  File "x.py", line 1\nKeyError: "a"\n'
    log = fails(1, f"progress\n{trace}")
    (sentence,) = ending.sentences()
    assert sentence == (
        f'train_sae failed with KeyError: "a", which no input should cause; {log} has the traceback'
    )


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (-9, r"train_sae was killed, most likely because memory was full \(about 900 MB were exp"),
        (137, r"train_sae was killed, most likely because memory was full"),
        (-7, r"train_sae lost the file under it \(SIGBUS\): the disk is full or fails"),
        (139, r"train_sae was ended by SIGSEGV; see .*1\.log; what was made before is kept"),
        (1, r"train_sae failed; see .*1\.log$"),
    ],
)
def test_a_job_that_is_ended_without_a_word_has_one_sentence(ending, fails, status, told):
    info = {"event": "job_info", "jobid": 1, "resources": {"mem_mb": 900}}
    ending.logger.info("rule train_sae", extra=info)
    fails(1, status=status)
    (sentence,) = ending.sentences()
    assert re.match(told, sentence), sentence


def test_a_log_of_an_earlier_run_tells_nothing(ending, fails, tmp_path):
    log = tmp_path / "1.log"
    log.write_text("error: long ago\n")
    os.utime(log, (1, 1))
    fails(1)
    assert ending.sentences() == [f"train_sae failed; see {log}"]


def test_a_group_on_a_cluster_tells_what_its_jobs_say(ending, tmp_path):
    jobs = []
    for n, text in enumerate(["done\n", "error: row 7 holds NaN\n"]):
        (tmp_path / f"{n}.log").write_text(text)
        log = [str(tmp_path / f"{n}.log")]
        jobs.append({"jobid": n, "rule_name": f"rule_{n}", "log": log, "rule_msg": None})
    group = {"event": "group_error", "aux_logs": [str(tmp_path / "slurm.log")]}
    ending.logger.error("Error in group", extra=group | {"job_error_info": jobs})
    for job in jobs:
        ending.logger.error("Error in rule", extra=job | {"event": "job_error"})
    assert ending.sentences() == ["row 7 holds NaN"]


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (
            "SLURM-job '3' failed, SLURM status is: 'TIMEOUT'. For further error details see",
            "rule_0 failed: SLURM-job '3' failed, SLURM status is: 'TIMEOUT'",
        ),
        ("SLURM status is: 'OUT_OF_MEMORY'.", "rule_0 was killed, most likely because memory was"),
    ],
)
def test_what_a_queue_says_of_a_job_is_told(ending, reason, told):
    job = {"event": "job_error", "jobid": 3, "rule_name": "rule_0", "log": [], "rule_msg": reason}
    ending.logger.error("Error in rule", extra=job)
    (sentence,) = ending.sentences()
    assert sentence.startswith(told)
    assert "For further" not in sentence


def test_an_error_of_the_main_process_is_a_sentence_and_another_one_stays(ending):
    def raise_and_log(error):
        try:
            raise error
        except Exception as raised:
            ending.logger.error(f"told of {raised!r}", extra={"event": "error"})

    raise_and_log(InputError("a store is wrong"))
    raise_and_log(PermissionError(13, "Permission denied", "/x/a"))
    assert ending.shown == []
    raise_and_log(KeyError("a bug"))
    assert ending.shown == ["told of KeyError('a bug')"]
    refused, denied = ending.sentences()
    assert refused == "a store is wrong"
    assert denied.startswith("/x/a may not be read or written by this user")


def test_before_a_full_disk_stands_what_the_run_takes(ending, capfd):
    ending.takes = lambda: "about 60 GB of disk"
    ending.refuse("row 7 holds NaN")
    ending.tell()
    assert capfd.readouterr().err == "error: row 7 holds NaN\n"
    ending.refuse(explain(OSError(errno.ENOSPC, "", "/x/a")))
    ending.refuse(explain(OSError(errno.ENOSPC, "")))
    ending.tell()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0] == "what is left of this run takes about 60 GB of disk (a rough estimate)"
    assert lines[-1].startswith("error: /x/a cannot be written: no space is left on the disk at /")


def test_an_interrupted_run_shows_nothing_of_the_jobs_that_it_kills(ending, fails):
    fails(1, "error: one\n")
    ending.silent = True
    fails(2, status=-9)
    _close(ending)
    assert ending.sentences() == ["one"]
    assert len(ending.shown) == 1


def test_the_log_tells_the_sentence_it_ends_with_alone(tmp_path):
    log = tmp_path / "job.log"
    assert sentence_in(log) is None
    for text, told in {
        "": None,
        "error: a\nand on it goes\n": None,
        "x\nerror: a; b\n\n": "a; b",
        "error: \u00e9\udcff\n": "\u00e9\ufffd\ufffd\ufffd",
    }.items():
        log.write_bytes(text.encode(errors="surrogatepass"))
        assert sentence_in(log) == told


def test_lines_go_to_who_asked_for_them_or_to_the_screen(tmp_path, monkeypatch, capfd):
    told = tmp_path / "told"
    told.touch()
    monkeypatch.setenv(HANDED_OVER, str(told))
    say(f"{MARK}one")
    say(f"{MARK}two")
    assert told.read_text() == "error: one\nerror: two\n"
    assert capfd.readouterr().err == ""
    told.unlink()
    say(f"{MARK}three")
    assert capfd.readouterr().err == "error: three\n"
    assert not told.exists()
