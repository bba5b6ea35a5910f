"""Progress of long work: a bar on a terminal, sparse lines in a log."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType

LOG = logging.getLogger("isoenergy")
_LINE_SECONDS = 10.0


class Progress:
    """Count steps of known number, saying how far along and how long still.

    Used as a context manager. On a terminal it draws a bar; elsewhere, or when the environment
    variable ISOENERGY_PROGRESS is ``lines`` (set for jobs of a workflow, which share a terminal),
    it logs a line at most every ten seconds.

    Parameters
    ----------
    what : str
        What is being done, e.g. ``"train SAE-A"``.
    total : int
        Number of steps.
    unit : str
        What a step is, e.g. ``"pictures"``.
    done : int
        Steps already done, when work is resumed.
    """

    def __init__(self, what: str, total: int, unit: str, done: int = 0) -> None:
        self.what, self.total, self.unit, self.done = what, total, unit, done
        self._began_at = done
        self._bar = None

    def __enter__(self) -> Progress:
        self._start = self._said = time.monotonic()
        if sys.stderr.isatty() and os.environ.get("ISOENERGY_PROGRESS") != "lines":
            from tqdm import tqdm

            self._bar = tqdm(
                total=self.total, initial=self.done, desc=self.what, unit=f" {self.unit}"
            )
        return self

    def step(self, n: int = 1, figures: Callable[[], Mapping[str, str]] | None = None) -> None:
        """Count ``n`` steps; ``figures`` gives what to show beside them, called only when shown."""
        self.done += n
        if self._bar is not None:
            if figures is not None:
                self._bar.set_postfix(figures(), refresh=False)
            self._bar.update(n)
            return
        now = time.monotonic()
        if now - self._said < _LINE_SECONDS or self.done >= self.total:
            return
        self._said = now
        pace = (now - self._start) / max(self.done - self._began_at, 1)
        shown = "".join(f", {k} {v}" for k, v in (figures() if figures else {}).items())
        LOG.info(
            "%s: %d of %d %s, about %s left%s",
            self.what,
            self.done,
            self.total,
            self.unit,
            _duration(pace * (self.total - self.done)),
            shown,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if kind is None:
            spent = _duration(time.monotonic() - self._start)
            LOG.info("%s: %d %s in %s", self.what, self.done - self._began_at, self.unit, spent)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
