"""Resolve pyproject.toml into requirements.lock and requirements-dvc.lock (`make lock`).

torch is left out: its build, and so its hash, differs between CPU and GPU machines. What torch
itself needs is locked, but for the CUDA packages that only some builds ask for. What the oracle of
the tests, overcomplete, asks for beyond its SAEs is left out too.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
DVC_LOCK = ROOT / "requirements-dvc.lock"
HEADER = "# Made from pyproject.toml by `make lock`; torch is installed apart, see Makefile.\n"
DVC_HEADER = "# Made from the extra `dvc` of pyproject.toml by `make lock`.\n"
CUDA = re.compile(r"^(nvidia|cuda|triton)")
LEFT_OUT = ("torch", "torchvision", "timm", "opencv-python", "scikit-image")


def torch_needs() -> list[str]:
    """What the installed torch needs on any machine."""
    told = [text.split(";")[0].strip() for text in metadata.requires("torch") or []]
    return [text for text in told if not CUDA.match(text)]


def compile_lock(*arguments: str) -> list[str]:
    """The lines of a lock file with hashes."""
    command = [sys.executable, "-m", "uv", "pip", "compile", *arguments]
    command += ["--python-version", "3.11", "--generate-hashes"]
    command += ["--no-annotate", "--no-header", "--no-emit-index-url"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if not line.startswith(("#", "--"))]


def main() -> None:
    """Write the lock files."""
    with tempfile.TemporaryDirectory() as folder:
        override, needs = Path(folder, "override.txt"), Path(folder, "needs.in")
        override.write_text("".join(f"{name}; sys_platform == 'never'\n" for name in LEFT_OUT))
        needs.write_text("\n".join(torch_needs()) + "\n")
        extras = ("--extra", "dev", "--extra", "test", "--override", str(override))
        kept = compile_lock("pyproject.toml", str(needs), *extras)
        LOCK.write_text(HEADER + "\n".join(kept) + "\n")
        told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        needs.write_text("\n".join(told["project"]["optional-dependencies"]["dvc"]) + "\n")
        kept = compile_lock(str(needs))
        DVC_LOCK.write_text(DVC_HEADER + "\n".join(kept) + "\n")


if __name__ == "__main__":
    main()
