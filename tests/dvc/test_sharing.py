"""Sharing a run through a remote, drawing from a shared one, and what goes wrong with remotes."""

import subprocess

import pytest
import yaml
from remotes import Bucket, Folder
from repository import TOOL, jobs

SWEEP = "results/ci/metrics/SceneCLIP/SAE-A/sweep/scenes/sweep.parquet"


@pytest.fixture(scope="module", params=[Folder, Bucket], ids=["folder", "s3"])
def remote(request, author, tmp_path_factory):
    """Where the author is to send the run."""
    remote = request.param(tmp_path_factory.mktemp("remote"))
    author.environment = remote.keys
    remote.name_in(author)
    author.commit("Name the remote")
    yield remote
    remote.close()


@pytest.fixture(scope="module")
def shared(remote, author):
    """The author's run, pushed to a remote."""
    author.run(*TOOL, "push")
    return remote


def _found(author):
    """What there is of the author's run, here and in the cache."""
    folders = (author.folder / "results", author.folder / ".dvc/cache/files")
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_push_that_fails_is_told_loses_nothing_and_the_next_one_goes_on(author, remote):
    # The first test of each remote, so that there is something left to send.
    before = _found(author)
    with remote.forbid() as (prefix, around):
        told = author.refused(*prefix, *TOOL, "push", **around)
    assert told.startswith("error: remote shared: ")
    assert remote.forbidden in told
    with remote.interrupted() as sentence:
        assert sentence in author.refused(*TOOL, "push")
    assert _found(author) == before
    author.run(*TOOL, "push")
    assert "up to date" in author.run(*TOOL, "push").told
    assert _found(author) == before


def test_one_figure_of_a_shared_run_is_drawn_by_the_rendering_rules_alone(author, shared, tmp_path):
    other = author.clone(tmp_path / "other")
    done = other.run(*TOOL, "pull", "figure_07")
    assert jobs(done) == {"render_figure": 1, "figure_07": 1}
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
    assert "measure_sweep" in jobs(planned)


def test_a_damaged_object_is_told_and_taken_once_it_is_mended(author, shared, tmp_path):
    name = author.digest(SWEEP)
    other = author.clone(tmp_path / "other")
    # DVC sends nothing of a folder whose list the remote has.
    lock = yaml.safe_load((author.folder / "dvc.lock").read_text())
    listed = lock["stages"]["measure"]["outs"][0]["md5"]
    shared.damage(name)
    try:
        told = other.refused(*TOOL, "pull", "figure_07")
    finally:
        for lost in (name, f"{listed[:2]}/{listed[2:]}"):
            shared.delete(lost)
        author.run(*TOOL, "push")
    assert f"{SWEEP} (object {name})" in told
    assert "is missing or damaged; whoever shared it deletes what is damaged there" in told
    assert not (other.folder / "results/ci/figures").exists()
    assert jobs(other.run(*TOOL, "pull", "figure_07")) == {"render_figure": 1, "figure_07": 1}


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
        assert jobs(other.run(*TOOL, "pull", "figure_07")) == {"render_figure": 1, "figure_07": 1}
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_remote_that_refuses_or_is_gone_is_told_and_nothing_is_changed(author, shared, tmp_path):
    other = author.clone(tmp_path / "other")
    with shared.forbid() as (prefix, around):
        told = other.refused(*prefix, *TOOL, "pull", "figure_07", **around)
    assert shared.forbidden in told
    with shared.gone():
        assert shared.missing in other.refused(*TOOL, "pull", "figure_07")
    if isinstance(shared, Bucket):
        none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(tmp_path)}
        assert "asks for credentials and there are none" in other.refused(*TOOL, "pull", **none)
        other.run("dvc", "remote", "modify", "--local", "shared", "url", "s3://absent/run")
        assert "there is no such bucket" in other.refused(*TOOL, "pull", "figure_07")
        other.run("dvc", "remote", "modify", "--local", "shared", "url", shared.url)
    assert other.run("git", "status", "--short").stdout == ""
    assert jobs(other.run(*TOOL, "pull", "figure_07")) == {"render_figure": 1, "figure_07": 1}


def test_a_remote_that_goes_half_way_is_told_and_the_second_try_goes_on(author, shared, tmp_path):
    other = author.clone(tmp_path / "other")
    cached = (author.folder / ".dvc/cache/files").rglob("*")
    with shared.lost(sum(path.stat().st_size for path in cached if path.is_file())) as sentence:
        assert sentence in other.refused(*TOOL, "pull")
    arrived = {path: path.stat().st_mtime_ns for path in _objects(other)}
    assert arrived
    other.run(*TOOL, "pull")
    assert {path: path.stat().st_mtime_ns for path in arrived} == arrived
    assert len(_objects(other)) > len(arrived)
    done = other.run("snakemake", "-n", "all", "--configfile", "config/ci.yaml")
    assert set(jobs(done)) <= {"write_report", "write_comparison", "all"}
    assert "up to date" in other.run("dvc", "status").stdout


def _objects(repository):
    return [path for path in (repository.folder / ".dvc/cache/files").rglob("*") if path.is_file()]


def test_a_remote_can_be_removed_and_named_again(author, shared, tmp_path):
    """What checks its downloads is not left behind, where it would break every later command."""
    other = author.clone(tmp_path / "other")
    other.run(*TOOL, "pull", "table_06")
    assert not (other.folder / ".dvc/config.local").exists()
    other.run("dvc", "remote", "remove", "shared")
    assert "DVC has no remote; name one" in other.refused(*TOOL, "pull", "figure_07")
    other.run("dvc", "config", "--local", "core.remote", "shared")
    assert "DVC's remote is shared, and there is none" in other.refused(*TOOL, "pull", "figure_07")
    other.run("dvc", "config", "--local", "--unset", "core.remote")
    shared.name_in(other)
    assert jobs(other.run(*TOOL, "pull", "figure_07")) == {"render_figure": 1, "figure_07": 1}
