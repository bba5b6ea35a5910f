"""DVC: stages, sharing a run, and drawing from a shared one (`make test-dvc`)."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

DVC = shutil.which("dvc")
needs_dvc = pytest.mark.skipif(DVC is None, reason="no dvc; `make test-dvc` has it")
TOOL = ("python", "tools/shared.py")
SWEEP = "results/ci/metrics/SceneCLIP/SAE-A/sweep/scenes/sweep.parquet"


@pytest.fixture(scope="module")
def pipeline(root):
    return yaml.safe_load((root / "dvc.yaml").read_text())


def _stages(pipeline):
    return {name: stage.get("do", stage) for name, stage in pipeline["stages"].items()}


def _keys(stage):
    (keys,) = stage["params"][0].values()
    return keys


def test_the_run_of_a_newcomer_is_the_demo(pipeline):
    assert pipeline["vars"] == ["config/demo.yaml", {"config": "config/demo.yaml"}]


def test_every_config_key_that_matters_starts_a_stage(root, pipeline):
    """All keys but those that only say where and how a run is made."""
    schema = yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text())
    named = {
        key.split(".")[0] for stage in _stages(pipeline).values() for key in _keys(stage) or ()
    }
    elsewhere = {"results", "together", "preflight", "store", "test_store", "normalise"}
    assert named <= set(schema["properties"])
    assert set(schema["properties"]) - named == elsewhere
    # The captions and the report tell the whole config.
    assert _keys(pipeline["stages"]["render"]) is None


def test_outputs_stay_when_a_stage_starts_and_are_of_one_stage_alone(pipeline):
    paths = []
    for stage in _stages(pipeline).values():
        for out in [*stage["outs"], *stage.get("metrics", [])]:
            ((path, options),) = out.items()
            assert options == {"persist": True}
            paths.append(path)
    assert len(paths) == len(set(paths))
    assert all(path.startswith("${results}/") for path in paths)


def test_stages_are_targets_of_the_workflow(workflow, pipeline, ci_config):
    targets = [
        re.search(r"snakemake (\S+) --configfile \$\{config\}$", stage["cmd"])[1]
        for stage in _stages(pipeline).values()
    ]
    targets = [target.replace("${item}", "SceneCLIP") for target in targets]
    done = workflow.run("-n", *targets, "--configfile", ci_config)
    assert done.returncode == 0, done.stderr
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M))
    assert {"train_swept", "encode_edits", "write_examples", "write_report"} <= planned.keys()


def test_inputs_names_what_a_figure_is_made_of_and_makes_nothing(workflow, ci_config):
    done = workflow.run("inputs", "figure_07", "--configfile", ci_config)
    assert done.returncode == 0
    assert SWEEP in done.stdout.split()
    assert not any(path.is_file() for path in (workflow.folder / "results").rglob("*"))
    done = workflow.run("inputs", "saes", "--configfile", ci_config)
    assert "saes is neither" in done.stderr


def test_numbers_that_are_there_need_no_encoder_data_or_gpu(workflow, root):
    """A figure of the paper's run is drawn from its numbers on a machine that has nothing else."""
    config = str(root / "config/config.yaml")
    refused = workflow.run("figure_07", "--configfile", config)
    assert "cannot run here" in refused.stderr
    inputs = workflow.run("inputs", "figure_07", "--configfile", config).stdout.split()
    for path in inputs:
        (workflow.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (workflow.folder / path).write_text("{}")
    failed = workflow.run("figure_07", "--configfile", config)
    assert "cannot run here" not in failed.stderr
    planned = dict(re.findall(r"^(\w+) +(\d+)$", failed.stdout + failed.stderr, flags=re.M))
    assert planned == {"render_figure": "1", "figure_07": "1", "total": "2"}


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


def _ran(done):
    return re.findall(r"^Running stage '(.*)':$", done.stdout, flags=re.M)


def _jobs(done):
    told = dict(re.findall(r"^(\w+) +(\d+)$", done.told, flags=re.M))
    return {rule: int(count) for rule, count in told.items() if rule != "total"}


STAGES = ["data", "toy", "embed@SceneCLIP", "train@SceneCLIP", "measure", "render"]


@pytest.fixture(scope="module")
def author(root, tmp_path_factory):
    """Whoever has run the ci configuration, for one model and seed, from a clean clone."""
    folder = tmp_path_factory.mktemp("dvc") / "author"
    told = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    tracked = subprocess.run(told, cwd=root, capture_output=True, text=True, check=True).stdout
    for name in filter(lambda name: (root / name).is_file(), tracked.split("\n")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, folder / name)
    config = yaml.safe_load((root / "config/ci.yaml").read_text())
    config |= {"models": ["SceneCLIP"], "seeds": [0]}
    config["comparisons"] = dict.fromkeys(config["comparisons"])
    (folder / "config/ci.yaml").write_text(yaml.safe_dump(config))
    pipeline = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(pipeline.replace("config/demo.yaml", "config/ci.yaml"))
    author = Repository(folder)
    author.run("git", "init", "-q")
    author.commit("A clean clone")
    author.first = author.run("dvc", "repro")
    author.commit("Share the run")
    yield author
    shutil.rmtree(folder)


@needs_dvc
def test_repro_runs_every_stage_once_and_then_nothing(author):
    assert sorted(_ran(author.first)) == sorted(STAGES)
    assert (author.folder / "results/ci/report.html").is_file()
    logs = set((author.folder / ".snakemake/log").iterdir())
    again = author.run("dvc", "repro")
    assert _ran(again) == []
    assert set((author.folder / ".snakemake/log").iterdir()) == logs
    assert "up to date" in author.run("dvc", "status").stdout


@needs_dvc
def test_metrics_and_plots_tell_two_revisions_apart_without_a_network(author, tmp_path):
    path = author.folder / "results/ci/summary.json"
    kept = path.read_text()
    numbers = json.loads(kept)
    numbers["scenes"]["SceneCLIP"]["SAE"]["r2"] += 0.25
    path.write_text(json.dumps(numbers))
    try:
        told = json.loads(author.run("dvc", "metrics", "diff", "--json").stdout)
    finally:
        path.write_text(kept)
    change = told["results/ci/summary.json"]["scenes.SceneCLIP.SAE.r2"]
    assert change["diff"] == pytest.approx(0.25)
    assert len(told["results/ci/summary.json"]) == 1
    page = subprocess.run(
        [Path(DVC).resolve().parent / "python", "tools/plots_page.py"],
        cwd=author.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    template = tmp_path / "plots.html"
    template.write_text(page.stdout)
    out = tmp_path / "plots"
    author.run("dvc", "plots", "diff", "HEAD", "--html-template", str(template), "--out", str(out))
    shown = (out / "index.html").read_text()
    body = re.sub(r"<script>.*?</script>", "", shown, flags=re.S)
    assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?!static/)', body) == []
    assert shown.count("<script>") == 1
    assert "delta_r_at_1" in shown
    assert len(list((out / "static").glob("*figure_07.png"))) >= 1


class Door:
    """A port that leads to a server; after some bytes from it, it is shut until opened again."""

    def __init__(self, port):
        self.behind, self.left = port, None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.left is not None and self.left <= 0:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.behind))
            for source, goal, counted in ((client, server, False), (server, client, True)):
                threading.Thread(target=self.pass_on, args=(source, goal, counted)).start()

    def pass_on(self, source, goal, counted):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if counted and self.left is not None:
                    self.left -= len(piece)
                    if self.left <= 0:
                        break
                goal.sendall(piece)
        for end in (source, goal):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


SERVER = """
import os, sys
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "5"
from moto.server import main
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""
PREPARE = """
import json, sys, boto3
told = {"endpoint_url": f"http://127.0.0.1:{sys.argv[1]}", "region_name": "us-east-1"}
told |= {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
iam = boto3.client("iam", **told)
iam.create_user(UserName="u")
key = iam.create_access_key(UserName="u")["AccessKey"]
allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=policy)
boto3.client("s3", **told).create_bucket(Bucket="shared")
print(key["AccessKeyId"], key["SecretAccessKey"])
"""
DAMAGE = """
import sys, boto3
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}")
if sys.argv[3] == "damage":
    s3.put_object(Bucket="shared", Key=sys.argv[2], Body=b"damaged")
else:
    s3.delete_object(Bucket="shared", Key=sys.argv[2])
"""


class Bucket:
    """An S3 server on the loopback that asks for credentials, behind a door."""

    def __init__(self, folder):
        self.python = Path(DVC).resolve().parent / "python"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with (folder / "server.log").open("w") as log:
            self.server = subprocess.Popen(
                [self.python, "-c", SERVER, str(port)], stdout=log, stderr=log
            )
        for _ in range(240):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.25)
        self.port = port
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        self.keys = dict(zip(names, self.call(PREPARE).split(), strict=True))
        self.keys["AWS_DEFAULT_REGION"] = "us-east-1"
        self.door = Door(port)
        self.url = "s3://shared/run"

    def call(self, program, *words):
        done = subprocess.run(
            [self.python, "-c", program, str(self.port), *words],
            env={**os.environ, **getattr(self, "keys", {})},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def damage(self, name):
        self.call(DAMAGE, f"run/files/md5/{name}", "damage")

    def delete(self, name):
        self.call(DAMAGE, f"run/files/md5/{name}", "delete")

    def close(self):
        self.door.listener.close()
        self.server.terminate()
        self.server.wait()


class Folder:
    """A remote that is a folder."""

    keys: dict = {}  # noqa: RUF012

    def __init__(self, folder):
        self.folder = folder / "remote"
        self.url = str(self.folder)

    def damage(self, name):
        path = self.folder / "files/md5" / name
        path.chmod(0o644)
        path.write_text("damaged")

    def delete(self, name):
        (self.folder / "files/md5" / name).unlink(missing_ok=True)

    def close(self):
        pass


@pytest.fixture(scope="module", params=["folder", "s3"])
def shared(request, author, tmp_path_factory):
    """The author's run, pushed to a remote."""
    folder = tmp_path_factory.mktemp("remote")
    remote = {"folder": Folder, "s3": Bucket}[request.param](folder)
    author.environment = remote.keys
    author.run("dvc", "remote", "add", "--force", "--default", "shared", remote.url)
    if request.param == "s3":
        url = f"http://127.0.0.1:{remote.door.port}"
        author.run("dvc", "remote", "modify", "shared", "endpointurl", url)
        wrong = {"AWS_SECRET_ACCESS_KEY": "wrong"}
        assert "refuses these credentials" in author.refused(*TOOL, "push", **wrong)
        remote.door.left = 300_000
        assert "cannot be reached, or was lost" in author.refused(*TOOL, "push")
        remote.door.left = None
    author.commit("Name the remote")
    author.run(*TOOL, "push")
    yield remote
    remote.close()


def _digest(author, path):
    md5 = author.run("md5sum", path).stdout.split()[0]
    return f"{md5[:2]}/{md5[2:]}"


@needs_dvc
def test_one_figure_of_a_shared_run_is_drawn_by_the_rendering_rules_alone(author, shared, tmp_path):
    other = author.clone(tmp_path / "other")
    done = other.run(*TOOL, "pull", "figure_07")
    assert _jobs(done) == {"render_figure": 1, "figure_07": 1}
    drawn = "results/ci/figures/figure_07.png"
    assert (other.folder / drawn).read_bytes() == (author.folder / drawn).read_bytes()
    assert not (other.folder / "results/ci/saes").exists()
    again = other.run(*TOOL, "pull", "figure_07")
    assert "Nothing to be done" in again.told
    # Numbers of another config are not passed off as those of this one.
    path = other.folder / "config/ci.yaml"
    path.write_text(path.read_text().replace("tau: 0.05", "tau: 0.1"))
    assert "differs from that of the shared run in measure;" in other.refused(
        *TOOL, "pull", "figure_07"
    )
    planned = other.run("snakemake", "-n", "figure_07", "--configfile", "config/ci.yaml")
    assert "measure_sweep" in _jobs(planned)


@needs_dvc
def test_a_damaged_object_is_told_and_taken_once_it_is_mended(author, shared, tmp_path):
    name = _digest(author, SWEEP)
    shared.damage(name)
    other = author.clone(tmp_path / "other")
    told = other.refused(*TOOL, "pull", "figure_07")
    assert (
        "is missing or damaged; whoever shared it deletes what is damaged and pushes again" in told
    )
    assert not (other.folder / "results/ci/figures").exists()
    # DVC sends nothing of a folder whose list the remote has.
    lock = yaml.safe_load((author.folder / "dvc.lock").read_text())
    listed = lock["stages"]["measure"]["outs"][0]["md5"]
    for lost in (name, f"{listed[:2]}/{listed[2:]}"):
        shared.delete(lost)
    author.run(*TOOL, "push")
    assert _jobs(other.run(*TOOL, "pull", "figure_07")) == {"render_figure": 1, "figure_07": 1}


@needs_dvc
def test_a_full_disk_is_told_and_what_arrived_is_kept(author, shared, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=16k", "none", str(small))
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        other = author.clone(tmp_path / "other")
        other.run("dvc", "config", "--local", "cache.dir", str(small / "cache"))
        told = other.refused(*TOOL, "pull", "figure_07")
        assert "no room is left on the disk" in told
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        assert _jobs(other.run(*TOOL, "pull", "figure_07")) == {"render_figure": 1, "figure_07": 1}
    finally:
        subprocess.run(["umount", str(small)], check=True)


@needs_dvc
def test_a_server_that_goes_half_way_is_told_and_the_second_try_goes_on(author, shared, tmp_path):
    if isinstance(shared, Folder):
        pytest.skip("a folder has no server")
    other = author.clone(tmp_path / "other")
    wrong = {"AWS_SECRET_ACCESS_KEY": "wrong"}
    assert "refuses these credentials" in other.refused(*TOOL, "pull", **wrong)
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(tmp_path)}
    assert "asks for credentials and there are none" in other.refused(*TOOL, "pull", **none)
    shared.door.left = 4_000_000
    assert "cannot be reached, or was lost on the way" in other.refused(*TOOL, "pull")
    shared.door.left = None
    arrived = {
        path: path.stat().st_mtime_ns
        for path in (other.folder / ".dvc/cache/files").rglob("*")
        if path.is_file()
    }
    assert arrived
    other.run(*TOOL, "pull")
    assert {path: path.stat().st_mtime_ns for path in arrived} == arrived
    done = other.run("snakemake", "-n", "all", "--configfile", "config/ci.yaml")
    assert set(_jobs(done)) <= {"write_report", "write_comparison", "all"}
    assert "up to date" in other.run("dvc", "status").stdout


@needs_dvc
def test_after_a_changed_parameter_only_what_depends_on_it_runs(author):
    path = author.folder / "config/ci.yaml"
    config = yaml.safe_load(path.read_text())
    config["classifier"]["epochs"] += 1
    path.write_text(yaml.safe_dump(config))
    done = author.run("dvc", "repro")
    assert _ran(done) == ["measure", "render"]
    jobs = set(_jobs(done))
    assert "measure_classifier" in jobs
    made = {rule for rule in jobs if rule.startswith(("measure", "train", "embed", "encode"))}
    assert made == {"measure_classifier"}
    told = json.loads(author.run("dvc", "params", "diff", "--json").stdout)
    assert list(told["config/ci.yaml"]) == ["classifier.epochs"]
