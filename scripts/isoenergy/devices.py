"""Which GPUs a job on this machine may use: as many as it asked for, for itself."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import IO

VISIBLE = "CUDA_VISIBLE_DEVICES"
# Locks of GPUs that this process holds, until it ends.
_HELD: list[IO[str]] = []


def count_gpus() -> int:
    """How many NVIDIA GPUs ``nvidia-smi`` lists."""
    smi = shutil.which("nvidia-smi")
    if not smi:
        return 0
    told = subprocess.run([smi, "-L"], capture_output=True, text=True, check=False)
    return told.stdout.count("UUID: GPU-") if told.returncode == 0 else 0


def visible_gpus(environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """GPUs that this process may choose from: those that a scheduler gave it, or all there are."""
    told = environment.get(VISIBLE)
    if told is None:
        return [str(i) for i in range(count_gpus())]
    return [name for name in told.split(",") if name]


def claim_gpus(
    count: int,
    environment: MutableMapping[str, str] = os.environ,
    folder: str | Path | None = None,
) -> None:
    """Let this process see ``count`` GPUs that no other job of this user has claimed.

    A GPU that is claimed is freed when the process ends, however it ends. Where fewer are free, as
    when more jobs run than a profile's ``resources: gpu`` would allow, some are shared.

    Parameters
    ----------
    count : int
        0 hides all of them.
    environment : mutable mapping
        Its ``CUDA_VISIBLE_DEVICES`` is read and set; before torch asks for a GPU.
    folder : path, optional
        Where locks lie.
    """
    candidates = visible_gpus(environment) if count else []
    if count and not candidates:
        return
    place = Path(folder or Path(tempfile.gettempdir(), f"isoenergy-gpus-{os.getuid()}"))
    place.mkdir(parents=True, exist_ok=True)
    chosen: list[str] = []
    for name in candidates:
        if len(chosen) < count and _lock(place / name):
            chosen.append(name)
    chosen += [name for name in candidates if name not in chosen][: max(count - len(chosen), 0)]
    environment[VISIBLE] = ",".join(chosen)


def _lock(path: Path) -> bool:
    """Whether this process could claim what a file stands for."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return False
    _HELD.append(file)
    return True
