import errno
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import isoenergy
from isoenergy.errors import InputError
from isoenergy.files import open_npy, replacing, replacing_folder
from isoenergy.system_errors import KEPT, explain, in_words


class SafetensorError(Exception):
    """As the library raises it, with the system's number in its text alone."""


class OutOfMemoryError(RuntimeError):
    """As torch raises it for a GPU."""


def _raised(work):
    with pytest.raises(Exception) as error:  # noqa: PT011
        work()
    return error.value


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.EDQUOT, "", "/x/a"),
            r"^/x/a cannot be written: your quota on the disk of /",
        ),
        (OSError(errno.EROFS, "", "/x/a"), r"^/x/a cannot .* is read-only; .*--directory FOLDER"),
        (PermissionError(errno.EACCES, "", "/x/a"), r"^/x/a may not be read or written by this us"),
        (OSError(errno.EMFILE, "", "/x/a"), r"^/x/a .*too many files are open.*ulimit -n \d+"),
        (OSError(errno.EIO, "", "/x/a"), r"^/x/a cannot .*: its disk or network share fails"),
        (OSError(errno.EFBIG, "", "/x/a"), r"^/x/a cannot .*`ulimit -f` allows"),
        (RuntimeError("can't start new thread"), r"no further process or thread"),
        (OSError("4096 requested and 1024 written"), r"^no space is left on the disk at /"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), r"^no space is left"),
        (
            MemoryError("Unable to allocate 7.50 GiB for an array with shape (1,)"),
            r": 8\.1 GB were",
        ),
        (
            RuntimeError("can't allocate memory: you tried to allocate 4096000000000 bytes. Error"),
            r"^memory is full: 4,096 GB were asked for at once; .*--cores 1",
        ),
        (MemoryError(), r"^memory is full; end"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), r"^memory is full; end"),
        (
            ImportError("/x/blas.so: failed to map segment from shared object"),
            r"^memory is full; end",
        ),
        (
            OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has"),
            r"^the memory of the GPU is full: 21\.5 GB were asked for at once",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else f"{type(value).__name__} {value}"[:40],
)
def test_an_error_of_the_system_is_one_sentence(error, told):
    sentence = explain(error)
    assert re.search(told, sentence), sentence
    assert "\n" not in sentence
    assert not sentence.endswith(".")


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        FileNotFoundError(errno.ENOENT, "", "/x/a"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        InputError("/x/a: row 7 holds NaN; [Errno 28] is no reason here"),
    ],
)
def test_other_errors_have_no_sentence_of_the_system(error):
    assert explain(error) is None


def test_a_full_disk_is_named_with_the_file_that_was_to_be_written(tmp_path):
    """/dev/full answers every write with ENOSPC, in which the system gives no name."""
    path = tmp_path / "codes.npy"

    def work():
        with replacing(path), open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
            file.write(b"x")

    sentence = explain(_raised(work))
    assert sentence.startswith(f"{path} cannot be written: no space is left on the disk at /")
    assert sentence.endswith(KEPT)
    assert list(tmp_path.iterdir()) == []


def test_of_files_within_a_folder_the_folder_is_named(tmp_path):
    def work():
        with replacing_folder(tmp_path / "store") as folder, replacing(folder / "a.npy"):
            raise OSError(errno.EDQUOT, "quota")

    assert explain(_raised(work)).startswith(f"{tmp_path / 'store'} cannot be written: your quota")


def test_a_file_larger_than_allowed_is_named(tmp_path):
    code = (
        "import sys; from isoenergy.files import write_text\n"
        "from isoenergy.system_errors import explain\n"
        "try: write_text(sys.argv[1], 'x' * 100_000)\n"
        "except OSError as error: print(explain(error))\n"
    )
    limit = (resource.RLIMIT_FSIZE, (10_000, 10_000))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.txt")],
        env={**os.environ, "PYTHONPATH": str(Path(isoenergy.__file__).parents[1])},
        preexec_fn=lambda: resource.setrlimit(*limit),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{tmp_path / 'a.txt'} cannot be written: it would be larger")


def test_what_a_sentence_of_ours_was_raised_from_is_told_instead(monkeypatch, tmp_path):
    """Too many open files do not make a file a broken one."""

    def refuse(*arguments, **named):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(tmp_path / "a.npy"))

    (tmp_path / "a.npy").touch()
    monkeypatch.setattr("numpy.lib.format.open_memmap", refuse)
    error = _raised(lambda: open_npy(tmp_path / "a.npy"))
    assert isinstance(error, InputError)
    assert explain(error).startswith(f"{tmp_path / 'a.npy'} cannot be opened: too many files")


def test_bytes_in_words():
    assert [in_words(n) for n in (409_600, 12e6, 999e6, 4.096e12)] == [
        "409.6 kB",
        "12 MB",
        "999 MB",
        "4,096 GB",
    ]
