"""A conda client out of PyPI packages alone, for machines that no conda installer reaches."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENDORED = "conda_lock._vendor.conda"
CONDA = """#!{python}
import sys
from conda.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
"""
ACTIVATE = """export CONDA_EXE="{root}/bin/conda" CONDA_PYTHON_EXE="{python}"
eval "$("$CONDA_EXE" shell.posix activate "$1")"
"""
# Names of channels are folders beside the client; nothing is told to the user's own conda.
CONDARC = """channel_alias: "file://{channels}"
default_channels: []
channel_priority: strict
solver: classic
sat_solver: pysat
notify_outdated_conda: false
report_errors: false
register_envs: false
pkgs_dirs: ["{packages}"]
"""


def make_client(folder: Path) -> dict[str, str]:
    """Make a conda client in a folder.

    Parameters
    ----------
    folder : path
        ``root``, ``bin`` and ``condarc`` are made there; channels are looked for in ``channels``.

    Returns
    -------
    dict of str to str
        Environment variables with which ``conda`` is this client.
    """
    root = folder / "root"
    python = root / "bin/python"
    subprocess.run([sys.executable, "-m", "venv", str(root)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--no-compile", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*install, "-r", str(HERE / "requirements.txt")], check=True)
    (library,) = root.glob("lib/python3.*/site-packages")
    shutil.move(library.joinpath(*VENDORED.split(".")), library / "conda")
    for rest in library.glob("conda_lock*"):
        shutil.rmtree(rest)
    for path in (library / "conda").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if VENDORED in text:
            path.write_text(text.replace(VENDORED, "conda"), encoding="utf-8")
    (root / "conda-meta").mkdir()
    (root / "conda-meta/history").touch()
    for name, text in (("conda", CONDA), ("activate", ACTIVATE)):
        program = root / "bin" / name
        program.write_text(text.format(python=python, root=root))
        program.chmod(0o755)
    # By itself on the path, so that `python` stays the caller's.
    (folder / "bin").mkdir()
    (folder / "bin/conda").symlink_to(root / "bin/conda")
    rc = CONDARC.format(channels=folder / "channels", packages=folder / "packages")
    (folder / "condarc").write_text(rc)
    # Set to nothing, so that a driver of this machine does not show as the package __cuda.
    return {
        "CONDARC": str(folder / "condarc"),
        "CONDA_OVERRIDE_CUDA": "",
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
