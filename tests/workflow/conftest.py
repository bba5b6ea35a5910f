import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

CONFIGS = ("config", "quick", "demo", "ci", "store")


class Workflow:
    """Runs `snakemake` as a user does, in a working directory of the test's own."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        folder.mkdir(parents=True, exist_ok=True)

    def command(self, *words: str) -> list[str]:
        return [
            *(sys.executable, "-m", "snakemake"),
            *("--snakefile", str(self.root / "workflow/Snakefile")),
            *("--directory", str(self.folder)),
            *words,
        ]

    def environment(self, **changes: str) -> dict[str, str]:
        return {**os.environ, "ISOENERGY_PROGRESS": "lines", **changes}

    def run(self, *words: str, **changes: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(*words),
            cwd=self.root,
            env=self.environment(**changes),
            capture_output=True,
            text=True,
            check=False,
        )

    def run_and_kill(self, seconds: float, *words: str) -> None:
        """Start a run and `kill -9` it and all its jobs after some seconds."""
        process = subprocess.Popen(
            self.command(*words),
            cwd=self.root,
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session")
def ci_config(root):
    return str(root / "config/ci.yaml")


@pytest.fixture
def workflow(root, tmp_path):
    return Workflow(root, tmp_path / "work")


@pytest.fixture(scope="session")
def new_workflow(root):
    """Makes a workflow in a working directory."""
    return lambda folder: Workflow(root, folder)


@pytest.fixture(scope="session")
def ci_run(new_workflow, ci_config, tmp_path_factory):
    """One whole run of config/ci.yaml."""
    work = new_workflow(tmp_path_factory.mktemp("ci") / "work")
    done = work.run("--configfile", ci_config)
    assert done.returncode == 0, done.stderr[-4000:]
    yield work
    shutil.rmtree(work.folder)


@pytest.fixture(scope="module")
def s3_server():
    """The address of an S3 server on the loopback, at a port that was free."""
    command = [sys.executable, "-m", "moto.server", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        for line in server.stderr:
            if found := re.search(r"Running on (http://\S+)", line):
                break
        # What it goes on to say of every request must not fill the pipe.
        threading.Thread(target=server.stderr.read, daemon=True).start()
        yield found[1]
        server.terminate()


@pytest.fixture(scope="module")
def s3_bucket(s3_server):
    """Reads an object of the bucket that the profile kubernetes names; the bucket is there."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=s3_server,
        region_name="us-east-1",
        aws_access_key_id="me",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="isoenergy")
    return lambda key: client.get_object(Bucket="isoenergy", Key=key)["Body"].read()
