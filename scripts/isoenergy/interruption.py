"""End a run at once, with all that it has started, when it is interrupted or its caller is gone.

What a run makes is whole whenever it is killed, so that nothing has to be finished first.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable

SHELLS = ("sh", "bash", "dash", "ksh", "zsh", "fish")
# Of the environment in which DVC runs the command of a stage.
DVC_STAGE = "DVC_STAGE"
# Seconds for processes that were killed to be gone.
PATIENCE = 5.0


def end_when_interrupted(prepare: Callable[[], None], tell: Callable[[], None]) -> None:
    """Have SIGINT (Ctrl-C) and SIGTERM end this process and all that it has started.

    The process ends with status 128 + the signal's number, 130 for Ctrl-C. It does so too, as after
    SIGTERM, when it is a stage of DVC and DVC is gone. A signal that is ignored stays so.

    Parameters
    ----------
    prepare : callable
        Is called first.
    tell : callable
        Is called last, when nothing else runs.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _go_on)
    # The system writes a signal's number there whatever the main thread is doing, and whatever
    # handlers are set later.
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def wait() -> None:
        handled = (signal.SIGINT, signal.SIGTERM)
        while (number := os.read(read, 1)[0]) not in handled or _ignored(number):
            continue
        try:
            prepare()
            end_children()
            tell()
        finally:
            os._exit(128 + number)

    threading.Thread(target=wait, daemon=True).start()
    if DVC_STAGE in os.environ:
        _watch(_caller(), lambda: os.write(write, bytes([signal.SIGTERM])))


def _go_on(number: int, frame: object) -> None:
    """The thread that waits for signals ends the process."""


def _ignored(number: int) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN


def end_children() -> None:
    """Kill every process that this one has started, and those that they have, and wait for them."""
    import psutil  # comes with Snakemake

    own = psutil.Process()
    for _ in range(3):
        children = own.children(recursive=True)
        # Shells first, which would else say of a child that it was killed.
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        if not children:
            return
        psutil.wait_procs(children, timeout=PATIENCE)


def _caller() -> int:
    """The process that has called this one, directly or through shells."""
    import psutil

    parents = psutil.Process().parents()
    return next(one.pid for one in parents if one.name() not in SHELLS) if parents else 0


def _watch(process: int, gone: Callable[[], object]) -> None:
    """Call a function once a process has ended."""
    if not hasattr(os, "pidfd_open") or not process:
        return

    def watch() -> None:
        with contextlib.suppress(ProcessLookupError):
            select.select([os.pidfd_open(process)], [], [])
        gone()

    threading.Thread(target=watch, daemon=True).start()
