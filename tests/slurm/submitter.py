"""A `snakemake` call, watched while it runs and killed from outside."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path


class Submitter:
    """Runs `snakemake` as on a login node; on leaving it is killed, if it still runs."""

    def __init__(
        self, root: Path, folder: Path, name: str, words: list[str], environment: Mapping[str, str]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / f"{name}.txt"
        command = [
            *(sys.executable, "-m", "snakemake"),
            *("--snakefile", str(root / "workflow/Snakefile")),
            *("--directory", str(folder), *words),
        ]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                cwd=root,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> "Submitter":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def told(self) -> str:
        """All that it has said."""
        return self._log.read_text()

    def steps(self) -> tuple[int, int]:
        """How many steps it says are done, and how many there are."""
        done = re.findall(r"^(\d+) of (\d+) steps", self.told(), flags=re.M)
        return tuple(map(int, done[-1])) if done else (0, 0)

    def kill(self) -> None:
        """`kill -9`, as when a login node goes down; what it has submitted goes on."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def watch(self, seconds: float, event: Callable[[], object] = lambda: None) -> bool:
        """Look every second until ``event`` is true; whether it was before the call ended."""
        end = time.monotonic() + seconds
        while self._process.poll() is None:
            if event():
                return True
            assert time.monotonic() < end, f"too slow:\n{self.told()[-3000:]}"
            time.sleep(1)
        return False

    def assert_success(self) -> None:
        """Fail with what it has said last unless it ended well."""
        assert self._process.poll() == 0, self.told()[-6000:]
