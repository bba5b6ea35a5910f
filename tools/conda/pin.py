"""Write pin files of environments: the very packages that conda chooses on this machine.

    python tools/conda/pin.py [ENVIRONMENT ...]

Snakemake installs envs/NAME.linux-64.pin.txt in the place of envs/NAME.yaml where there is one.
Environments with packages of pip get none, since those would be left out. Where the environment
names CUDA and this machine has no GPU, set CONDA_OVERRIDE_CUDA to its version.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from environments import ENVS, read_environment


def pin(path: Path) -> Path:
    """Make an environment, and write the pin file of what is in it."""
    with tempfile.TemporaryDirectory(prefix="isoenergy-pin-") as folder:
        prefix = f"{folder}/made"
        create = ["conda", "env", "create", "--quiet", "--file", str(path), "--prefix", prefix]
        subprocess.run(create, check=True, stdout=sys.stderr)
        told = ["conda", "list", "--explicit", "--md5", "--prefix", prefix]
        listed = subprocess.run(told, check=True, capture_output=True, text=True).stdout
    place = path.with_suffix(".linux-64.pin.txt")
    place.write_text(listed)
    return place


def main() -> None:
    """Pin the environments that are named, or all."""
    names = sys.argv[1:] or [path.stem for path in sorted(ENVS.glob("*.yaml"))]
    for name in names:
        path = ENVS / f"{name}.yaml"
        if not path.exists():
            sys.exit(f"there is no {path}")
        if read_environment(path).pip:
            print(f"{name}.yaml has packages of pip, which a pin file would leave out; no pin file")
        else:
            print(pin(path))


if __name__ == "__main__":
    main()
