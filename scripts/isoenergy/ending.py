"""What a run says last: the sentence of each job that failed, once, behind everything else.

A job that refuses its input writes ``error: SENTENCE`` as the last line of its log. The main
process of the workflow reads the log of a job that failed, which works wherever a disk is shared,
and prints what it found when it ends. Of what Snakemake shows, it leaves out what says no more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isoenergy.errors import InputError
from isoenergy.system_errors import KEPT, NO_SPACE, chain, explain, in_words, is_full, no_space

# What stands before a sentence, on the screen and in the log of a job.
MARK = "error: "
# Names a file that takes the sentences in the place of the screen, for tools/dvc.py to show.
HANDED_OVER = "ISOENERGY_ENDING"
INTERRUPTED = "interrupted; what is made is kept, and the same command goes on from there"
# Of Snakemake, behind the message of a job that failed: that one did.
FOLLOWING = (
    "Shutting down, this might take some time.",
    "Exiting because a job execution failed.",
    "At least one job did not complete successfully.",
)
EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(: .*)?")


class Ending(logging.Filter):
    """Follows Snakemake's messages as a filter of its logger, and prints what is to be said last.

    Parameters
    ----------
    since : float
        Seconds since the epoch; older logs are of another run.

    Attributes
    ----------
    silent : bool
        Whether nothing is shown any more, nor said at the end.
    verbose : bool
        Whether everything is shown all the same.
    results : path
        Where a disk that is full is looked for, when an error of Snakemake's does not say.
    takes : callable
        Gives a phrase for the disk that a run takes; empty where it is not known.
    """

    def __init__(self, since: float) -> None:
        super().__init__()
        self.since, self.silent, self.verbose, self.results = since, False, False, "."
        self.takes: Callable[[], str] = str
        self._refused: list[str] = []
        self._failed: dict[Any, list[str]] = {}
        self._groups: set[Any] = set()
        self._memory: dict[Any, float] = {}
        self._statuses: dict[int, int] = {}

    def refuse(self, sentence: str) -> None:
        """Have a sentence printed when the process ends."""
        self._refused.append(sentence)

    def shows(self, record: logging.LogRecord) -> bool:
        """Whether a message still goes to the screen; a filter of handlers."""
        return not self.silent and (self.verbose or not getattr(record, "is_said_last", False))

    def filter(self, record: logging.LogRecord) -> bool:
        """Note what a message says of jobs; every message passes."""
        if self.silent:  # what is killed now has not failed
            return True
        told = vars(record)
        match told.get("event"):
            case "error":
                record.is_said_last = self._error(sys.exc_info()[1])
            case "job_error":
                record.is_said_last = True
                if told["jobid"] not in self._groups:
                    self._job_failed(told["jobid"], [told])
            case "group_error":
                record.is_said_last = True
                jobs = told["job_error_info"]
                self._groups |= {job["jobid"] for job in jobs}
                of_queue = {"rule_name": "", "log": told["aux_logs"]}
                self._job_failed(jobs[0]["jobid"], [*jobs, of_queue])
            case "job_info":
                expected = dict(told["resources"].items()).get("mem_mb")
                self._memory[told["jobid"]] = expected if isinstance(expected, int) else 0
            case "job_started":
                for job in told["jobs"]:
                    self._failed.pop(job, None)
            case "job_finished":
                self._failed.pop(told["job_id"], None)
            case _:
                record.is_said_last = bool(self._failed) and str(record.msg).startswith(FOLLOWING)
        return True

    def _error(self, error: BaseException | None) -> bool:
        """Whether an exception that Snakemake prints is said last, or is of a job said last."""
        raised = list(chain(error))
        ended = [one for one in raised if isinstance(one, subprocess.CalledProcessError)]
        if ended and type(error).__name__ == "RuleException":
            # The message that names the job follows in the same thread.
            self._statuses[threading.get_ident()] = ended[0].returncode
            return True
        if self._failed and str(error).startswith(FOLLOWING):
            return True
        refused = [str(one) for one in raised if isinstance(one, InputError)]
        sentence = explain(error, self.results) if error else None
        if sentence or refused:
            self.refuse(sentence or refused[0])
        return bool(sentence or refused)

    def _job_failed(self, key: Any, jobs: list[dict[str, Any]]) -> None:
        """Note what a job says of its end, or each of a group."""
        status = self._statuses.pop(threading.get_ident(), 1)
        logs = [path for job in jobs for path in job["log"]]
        found = [told for path in logs if (told := sentence_in(path, self.since))]
        rules = ", ".join(dict.fromkeys(job["rule_name"] for job in jobs if job["rule_name"]))
        reason = next((job["rule_msg"] for job in jobs if job.get("rule_msg")), "")
        self._failed[key] = found or [
            describe(rules, logs, status, self._memory.get(key, 0), reason, self.since)
        ]
        logging.getLogger("snakemake.logging").info(
            f"{rules} failed; {'its log is ' + ', '.join(logs) if logs else 'it has no log'}"
        )

    def sentences(self) -> list[str]:
        """What is said last, each sentence once, what the input is refused for behind all else."""
        failed = [told for several in self._failed.values() for told in several]
        said = list(dict.fromkeys([*failed, *self._refused]))
        # That a disk is full is said once, with a file that was to be written if one is known.
        return [one for one in said if not any(o.endswith(f": {one}") for o in said)]

    def tell(self) -> None:
        """Print what is said last, or hand it over; at the end of the process."""
        if self.silent:
            # Another thread ends the process, with its own status and line.
            time.sleep(60)
        self.say_sentences()

    def say_sentences(self) -> None:
        """Print each sentence, and before one of a full disk what the run takes."""
        sentences = self.sentences()
        with contextlib.suppress(Exception):  # never in the place of the sentence
            if any(NO_SPACE in sentence for sentence in sentences) and (takes := self.takes()):
                say(f"what is left of this run takes {takes} (a rough estimate)")
        for sentence in sentences:
            say(MARK + sentence)


def say(line: str) -> None:
    """Write one line where the last ones go: to who asked for them, else to the screen."""
    with contextlib.suppress(OSError):
        # Not made anew: whoever has named it may be gone.
        with Path(os.environ.get(HANDED_OVER, "")).open("r+", encoding="utf-8") as file:
            file.seek(0, os.SEEK_END)
            file.write(f"{line}\n")
        return
    with contextlib.suppress(OSError):  # a pipe that nobody reads any more
        sys.stdout.flush()
    print(line, file=sys.stderr, flush=True)


def sentence_in(log: str | Path, since: float = 0.0) -> str | None:
    """The sentence that the log of a job ends with; None without one, and of a log older than that.

    Parameters
    ----------
    log : path
    since : float
        Seconds since the epoch.
    """
    try:
        if Path(log).stat().st_mtime < since:
            return None
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    last = next((line for line in reversed(lines) if line.strip()), "")
    return last.removeprefix(MARK) if last.startswith(MARK) else None


def describe(
    rule: str, logs: list[str], status: int, megabytes: float, reason: str, since: float
) -> str:
    """One sentence for a job that failed without giving its own.

    Parameters
    ----------
    rule : str
        Its rule, or those of a group of jobs.
    logs : list of path
    status : int
        Exit status of the job's shell, negative for a signal.
    megabytes : float
        Memory that the job was expected to take; 0 where that is not known.
    reason : str
        What the queue says.
    since : float
        As for :func:`sentence_in`.
    """
    number = -status if status < 0 else status - 128
    where = f"; see {', '.join(logs)}" if logs else ""
    if full := [log for log in logs if is_full(log)]:
        return no_space("", full[0])
    if number == signal.SIGKILL or "OUT_OF_MEMORY" in reason:
        took = f" (about {in_words(1e6 * megabytes)} were expected)" if megabytes else ""
        return (
            f"{rule} was killed, most likely because memory was full{took}; end other programs, or "
            f"run fewer jobs at a time (`--cores 1`); {KEPT}"
        )
    if number == signal.SIGBUS:
        return (
            f"{rule} lost the file under it (SIGBUS): the disk is full or fails; make room, or see "
            f"that it answers; {KEPT}"
        )
    if number in signal.valid_signals():
        return f"{rule} was ended by {signal.Signals(number).name}{where}; {KEPT}"
    for log in logs:
        if bug := _exception_in(log, since):
            return f"{rule} failed with {bug}, which no input should cause; {log} has the traceback"
    told = reason.partition("For further error details")[0].strip(" .")
    return f"{rule} failed{': ' + told if told else ''}{where or ', and has no log'}"


def _exception_in(log: str, since: float) -> str | None:
    """The last line of a log that ends with a traceback."""
    try:
        if Path(log).stat().st_mtime < since:
            return None
        text = Path(log).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = [line for line in text.splitlines() if EXCEPTION.fullmatch(line)]
    return found[-1][:300] if found and "Traceback (most recent call last)" in text else None
