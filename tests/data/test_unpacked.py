import io
import zipfile

import pytest

from isoenergy.data.unpacked import Unpacked
from isoenergy.errors import InputError

ZEROS = bytes(1_000_000)


def _archive(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_files_go_before_archives_and_folders_in_their_order(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, content in ((first, b"one"), (second, b"two")):
        folder.mkdir()
        _archive(folder / "x.zip", {"d/f": content, "d/g": content})
    (second / "d").mkdir()
    (second / "d/f").write_bytes(b"plain")
    (second / "._x.zip").write_bytes(b"x")
    with Unpacked(first, second) as files:
        assert files.read("d/f", 10) == b"plain"
        assert files.read("d/g", 10) == b"one"
        assert files.has("d/g")
        assert not files.has("d/h")


def test_nothing_is_written_whatever_an_archive_names(tmp_path):
    folder = tmp_path / "deep/folder"
    folder.mkdir(parents=True)
    names = ["../../out.png", "/abs.png", "c:\\x.png", "fine.png"]
    _archive(folder / "x.zip", dict.fromkeys(names, b"x"))
    before = sorted(tmp_path.rglob("*"))
    with Unpacked(folder) as files:
        assert files.read("fine.png", 10) == b"x"
        with pytest.raises(InputError, match="lies outside the folder"):
            files.read("../../other.png", 10)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bomb_is_refused_before_it_is_in_memory(tmp_path):
    _archive(tmp_path / "x.zip", {"bomb": ZEROS})
    with Unpacked(tmp_path) as files, pytest.raises(InputError, match="larger than 1000 bytes"):
        files.read("bomb", 1000)


def test_what_a_bomb_says_of_its_size_is_not_believed(tmp_path):
    _archive(tmp_path / "x.zip", {"bomb": ZEROS})
    content = bytearray((tmp_path / "x.zip").read_bytes())
    size = len(ZEROS).to_bytes(4, "little")
    while (at := content.find(size)) >= 0:
        content[at : at + 4] = (500).to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(content)
    with Unpacked(tmp_path) as files, pytest.raises(InputError, match="broken in its archive"):
        files.read("bomb", 1000)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_a_limit_are_not_read(tmp_path, method):
    _archive(tmp_path / "x.zip", {"bomb": ZEROS}, method)
    with Unpacked(tmp_path) as files, pytest.raises(InputError, match="a way that is not read"):
        files.read("bomb", 2_000_000)


def test_a_file_that_is_broken_in_its_archive_is_told(tmp_path):
    _archive(tmp_path / "x.zip", {"a": b"some text " * 100, "b": b"fine"}, zipfile.ZIP_STORED)
    content = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(content.replace(b"some text", b"same text", 1))
    with Unpacked(tmp_path) as files:
        assert files.read("b", 10) == b"fine"
        with pytest.raises(InputError, match="broken in its archive"):
            files.read("a", 10_000)


@pytest.mark.parametrize("length", [0, 10, 60])
def test_half_an_archive_is_one_sentence(tmp_path, length):
    buffer = io.BytesIO()
    _archive(buffer, {"a": b"x" * 100})
    (tmp_path / "x.zip").write_bytes(buffer.getvalue()[:length])
    with (
        Unpacked(tmp_path) as files,
        pytest.raises(InputError, match=r"x\.zip is no whole zip arch"),
    ):
        files.read("a", 10)


def test_json_of_an_archive_is_read_or_told(tmp_path):
    _archive(tmp_path / "x.zip", {"a.json": '{"b": 1}', "c.json": "{"})
    with Unpacked(tmp_path) as files:
        assert files.read_json("a.json") == {"b": 1}
        with pytest.raises(InputError, match=r"c\.json of .* is not valid JSON"):
            files.read_json("c.json")
        with pytest.raises(InputError, match=r"d\.json is not in the folder: "):
            files.read_json("d.json")
