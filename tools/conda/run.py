"""Run a command with a conda client and a channel that are made of PyPI packages for it alone.

    python tools/conda/run.py [--torch-args "..."] COMMAND ...

The channel is called conda-forge and holds every package of envs/ and what these need. The folder
that all of it lies in, and conda's own, is removed in the end; COMMAND finds it as CONDA_SCRATCH.
"""

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from client import make_client
from environments import read_environments

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# What conda asks of an environment with a `pip:` section.
BESIDE = ("pip", "setuptools", "wheel")


def locked() -> dict[str, str]:
    """Versions by name of requirements.lock."""
    text = (ROOT / "requirements.lock").read_text()
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ]+)", text, flags=re.M))


def download_wheels(folder: Path, torch_args: list[str]) -> None:
    """Download the wheels of every package of envs/, and of what they need, as they are locked."""
    versions = {name: v for env in read_environments() for name, v in env.from_pypi.items()}
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in locked().items()))
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    download += ["--only-binary", ":all:", "--dest", str(folder / "wheels")]
    torch = [f"{name}=={versions[name]}" for name in ("torch", "torchvision") if name in versions]
    # torch comes first, perhaps from an index that has nothing else; what is there is kept.
    subprocess.run([*download, "--no-deps", *torch_args, *torch], check=True)
    wanted = [f"{name}=={version}" for name, version in versions.items()]
    found = ["--find-links", str(folder / "wheels"), "--constraint", str(constraints)]
    subprocess.run([*download, *found, *wanted, *BESIDE], check=True)


def main() -> None:
    """Make client and channel, run the command, and remove them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-args", default="", help="Further arguments of pip for torch.")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    python = read_environments()[0].python
    if "{}.{}".format(*sys.version_info) != python:
        sys.exit(f"the environments have Python {python}; run make PYTHON=python{python}")
    # So that the folder is removed also where this is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="isoenergy-conda-") as name:
        folder = Path(name).resolve()
        conda = make_client(folder)
        download_wheels(folder, shlex.split(arguments.torch_args))
        channel = [folder / "root/bin/python", HERE / "channel.py"]
        channel += [folder / "channels/conda-forge", folder / "wheels"]
        subprocess.run(list(map(str, channel)), check=True)
        environment = {**os.environ, **conda, "CONDA_SCRATCH": str(folder)}
        done = subprocess.run(arguments.command, env=environment, check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
