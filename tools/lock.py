"""Resolve pyproject.toml into requirements.lock (`make lock`).

torch is left out: its build, and so its hash, differs between CPU and GPU machines. What torch
itself needs is locked, but for the CUDA packages that only some builds ask for. What the oracle of
the tests, overcomplete, asks for beyond its SAEs is left out too.
"""

import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
HEADER = "# Made from pyproject.toml by `make lock`; torch is installed apart, see Makefile.\n"
CUDA = re.compile(r"^(nvidia|cuda|triton)")
LEFT_OUT = ("torch", "torchvision", "timm", "opencv-python", "scikit-image")


def torch_needs() -> list[str]:
    """What the installed torch needs on any machine."""
    told = [text.split(";")[0].strip() for text in metadata.requires("torch") or []]
    return [text for text in told if not CUDA.match(text)]


def main() -> None:
    """Write the lock file."""
    with tempfile.TemporaryDirectory() as folder:
        override, needs = Path(folder, "override.txt"), Path(folder, "needs.in")
        override.write_text("".join(f"{name}; sys_platform == 'never'\n" for name in LEFT_OUT))
        needs.write_text("\n".join(torch_needs()) + "\n")
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", str(needs)]
        command += ["--extra", "dev", "--extra", "test", "--override", str(override)]
        command += ["--python-version", "3.11", "--generate-hashes"]
        command += ["--no-annotate", "--no-header", "--no-emit-index-url"]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    kept = [line for line in done.stdout.splitlines() if not line.startswith(("#", "--"))]
    LOCK.write_text(HEADER + "\n".join(kept) + "\n")


if __name__ == "__main__":
    main()
