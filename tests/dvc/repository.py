"""Runs `dvc`, `git`, `snakemake` and the repository's own tools in a working copy."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

TOOL = ("python", "tools/shared.py")


class Repository:
    """A working copy with what is run in it."""

    def __init__(self, folder, **environment):
        self.folder, self.environment = folder, environment

    def run(self, *words, check=True, **environment):
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", **self.environment}
            | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        done.told = done.stdout + done.stderr
        assert done.returncode == 0 or not check, done.told[-4000:]
        return done

    def commit(self, message):
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", message)

    def clone(self, folder):
        self.run("git", "clone", "-q", ".", str(folder))
        return Repository(folder, **self.environment)

    def refused(self, *words, **environment):
        """The one sentence that a command ends with."""
        done = self.run(*words, check=False, **environment)
        assert done.returncode == 1, done.told
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, done.told
        return lines[0]

    def digest(self, path):
        """The name of a file in DVC's cache."""
        md5 = hashlib.md5((self.folder / path).read_bytes()).hexdigest()
        return f"{md5[:2]}/{md5[2:]}"


def ran(done):
    """The stages that DVC started."""
    return re.findall(r"^Running stage '(.*)':$", done.stdout, flags=re.M)


def jobs(done):
    """How many jobs of each rule Snakemake ran, or would run."""
    told = dict(re.findall(r"^(\w+) +(\d+)$", done.told, flags=re.M))
    return {rule: int(count) for rule, count in told.items() if rule != "total"}
