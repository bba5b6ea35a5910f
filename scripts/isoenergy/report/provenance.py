"""What a report was made with: versions, the repository's commit, the machine.

Nothing here changes from one run to the next of the same checkout on the same machine, so that
equal results give equal bytes: no dates, times, host names or paths.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

from isoenergy import __version__
from isoenergy.errors import InputError

# What results depend on; a changed test or README is no change of these.
_SOURCES = ("config", "envs", "scripts", "workflow", "pyproject.toml", "requirements.lock")
_SECONDS = 20


def versions(pyproject: str | Path) -> dict[str, str]:
    """Installed versions of Python, this package and every package that it pins.

    A package that is absent, as in the small environments of single rules, or not at its pin says
    so.

    Parameters
    ----------
    pyproject : path
        Its ``dependencies`` are pins, ``name==version``.

    Raises
    ------
    InputError
        If the file is missing.
    """
    try:
        project = tomllib.loads(Path(pyproject).read_text(encoding="utf-8"))["project"]
    except FileNotFoundError:
        raise InputError(f"{pyproject} does not exist; it states the versions") from None
    found = {"python": platform.python_version(), "isoenergy": __version__}
    for dependency in project["dependencies"]:
        name, _, pin = dependency.partition("==")
        found[name] = _installed(name, pin)
    return found


def _installed(name: str, pin: str) -> str:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"not installed (pinned: {pin})"
    # "2.13.0+cpu" is a build of 2.13.0.
    return version if version.partition("+")[0] == pin else f"{version} (pinned: {pin})"


def commit(repository: str | Path) -> str | None:
    """The commit that is checked out, and whether what results depend on differs from it.

    Returns
    -------
    str or None
        None where the folder is no git checkout of its own, or git is absent.
    """
    top = _git(repository, "rev-parse", "--show-toplevel")
    # An unpacked archive inside another checkout has no commit of its own.
    if top is None or Path(top).resolve() != Path(repository).resolve():
        return None
    name = _git(repository, "rev-parse", "HEAD")
    changed = _git(repository, "status", "--porcelain", "--untracked-files=no", "--", *_SOURCES)
    return f"{name}, with uncommitted changes" if name and changed else name


def _git(repository: str | Path, *words: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(repository), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def machine() -> str:
    """Processor and cores of this machine, e.g. ``AMD EPYC, 2 cores, x86_64, Linux``."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        told = ""
    model = re.search(r"^model name\s*:\s*(.+)$", told, re.M)
    name = model[1].strip() if model else platform.processor()
    cores = f"{os.cpu_count()} cores"
    return ", ".join(filter(None, (name, cores, platform.machine(), platform.system())))
