import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from isoenergy import holding
from isoenergy.errors import InputError
from isoenergy.files import replacing, write_text
from isoenergy.queued import OWNER


@pytest.mark.parametrize("name", ["results/{model}", "a}", "{"])
def test_braces_in_the_name_of_results_are_refused(name):
    with pytest.raises(InputError, match="fills braces in by itself, name a folder without them"):
        holding.check_name(name)
    holding.check_name("results/my run #1 [a]")


@pytest.mark.parametrize("below", ["", "/store", "/a/b"])
def test_results_that_are_a_file_are_refused(tmp_path, below):
    (tmp_path / "README.md").write_text("kept")
    with pytest.raises(
        InputError, match=r"results needs a folder, and .*README\.md is a file, not"
    ):
        holding.hold(f"{tmp_path}/README.md{below}")
    assert (tmp_path / "README.md").read_text() == "kept"


@pytest.mark.parametrize(
    ("leads_to", "told"),
    [
        ("gone", "a link to nothing"),
        ("results", "a link to nothing"),
        ("file", "a file"),
        ("/dev/null", "a device"),
        ("pipe", "a named pipe"),
    ],
)
def test_results_that_are_a_link_to_no_folder_are_refused(tmp_path, leads_to, told):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "results").symlink_to(leads_to)
    with pytest.raises(InputError, match=f"results is {told}, not a folder; name another"):
        holding.hold(tmp_path / "results")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EROFS, "results cannot be used: .* is read-only; `--config results=FOLDER`"),
        (errno.EACCES, "results cannot be used: .* may not be read or written by this user"),
        (errno.ENOSPC, "results cannot be used: .*no space is left on the disk at"),
        (errno.EDQUOT, "results cannot be used: .*your quota on the disk"),
    ],
)
def test_results_that_cannot_be_written_are_refused(monkeypatch, tmp_path, number, told):
    def refuse(dir, prefix):
        raise OSError(number, "", f"{dir}/{prefix}x")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(InputError, match=told):
        holding.hold(tmp_path / "results")


def test_one_run_alone_holds_results(tmp_path):
    handle = holding.hold(tmp_path)
    assert Path(tmp_path, OWNER).read_text() == holding.owner()
    code = "import sys; from isoenergy import holding; holding.hold(sys.argv[1])"
    words = [sys.executable, "-c", code, str(tmp_path)]
    path = {"PYTHONPATH": str(Path(holding.__file__).parents[1])}
    done = subprocess.run(words, env=path, capture_output=True, text=True, check=False)
    assert "InputError: another run is writing to" in done.stderr
    handle.close()
    assert subprocess.run(words, env=path, check=False).returncode == 0


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    def leave_halves():
        with replacing(tmp_path / "codes/a.npy") as half:
            half.with_name(f"{half.name[:-12]}00000000.tmp").touch()
        (tmp_path / "codes/a.npy").unlink()
        (tmp_path / ".b.abcdefgh.tmp").mkdir()
        (tmp_path / ".b.abcdefgh.tmp/part.npy").touch()

    write_text(tmp_path / "codes/a.tmp", "of the user")
    handle = holding.hold(tmp_path)
    leave_halves()
    handle.close()
    holding.let_go(holding.hold(tmp_path))
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert found == {OWNER, "codes", "codes/a.tmp"}
    # A run that came to its end has left nothing, and nothing is looked for.
    leave_halves()
    holding.hold(tmp_path)
    assert (tmp_path / ".b.abcdefgh.tmp/part.npy").exists()
