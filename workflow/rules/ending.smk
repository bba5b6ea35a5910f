# How the run ends: its last line is the sentence that says why, also when it is interrupted.

import atexit
import contextlib
import time

from snakemake.logging import logger
from snakemake.scheduling.job_scheduler import JobScheduler

from isoenergy.ending import INTERRUPTED, MARK, Ending, say
from isoenergy.interruption import end_when_interrupted


def begin():
    """Follow what Snakemake tells; None in a job, or where Snakemake is called as a library."""
    if not (workflow.is_main_process and Path(sys.argv[0]).stem in ("snakemake", "__main__")):
        return None
    ending = Ending(since=time.time() - 60)
    logger.addFilter(ending)
    ending.verbose = workflow.output_settings.verbose
    for handler in logger.handlers:
        # Snakemake's own log file keeps everything.
        if handler.name == "DefaultStreamHandler":
            handler.addFilter(ending.shows)
    atexit.register(ending.tell)
    # A job is ended by the run, and so says nothing of a Ctrl-C itself.
    shell.prefix("set -euo pipefail; trap '' INT; ")
    # Snakemake's own answer to SIGTERM is to wait for the jobs at work, for hours perhaps.
    JobScheduler.exit_gracefully = lambda self, *signal_and_frame: None
    return ending


def leave():
    """Go silent, cancel the jobs in a queue, and let go of Snakemake's lock."""
    ENDING.silent = True
    with contextlib.suppress(Exception):
        cancel_jobs(workflow.scheduler)
    with contextlib.suppress(Exception):
        workflow.persistence.unlock()


def cancel_jobs(scheduler):
    """Cancel the jobs in a queue; Snakemake knows of none of them while it asks how they are."""
    executor = scheduler._executor
    if not hasattr(executor, "active_jobs"):
        return
    sent = [job for job in scheduler.running if not job.is_local]
    for _ in range(50):
        if len(executor.active_jobs) >= len(sent):
            break
        time.sleep(0.1)
    executor.cancel_jobs(list(executor.active_jobs))


def tell_interrupted():
    """Say what was refused before, and that the run was interrupted."""
    ENDING.say_sentences()
    if sys.stderr.isatty():  # which shows ^C first
        print(file=sys.stderr)
    say(INTERRUPTED)


def stop(sentence):
    """End at parse time with one sentence and exit status 1."""
    if ENDING is None:
        raise SystemExit(MARK + str(sentence))
    ENDING.refuse(str(sentence))
    raise SystemExit(1)


ENDING = begin()
if ENDING is not None:
    end_when_interrupted(prepare=leave, tell=tell_interrupted)
