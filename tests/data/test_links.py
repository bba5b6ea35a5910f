import io
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from isoenergy.data import links
from isoenergy.data.gather import gather_ranges
from isoenergy.data.links import list_links
from isoenergy.data.shards import encode_png, read_pictures, write_shard
from isoenergy.errors import InputError


@pytest.fixture
def metadata(tmp_path):
    """Two files of a list, with columns named as in either release of LAION."""
    folder = tmp_path / "metadata"
    folder.mkdir()
    for part, (url, caption) in enumerate((("URL", "TEXT"), ("url", "caption"))):
        rows = range(100 * part, 100 * part + 100)
        table = pd.DataFrame({"NSFW": "x", url: [f"http://h/{i}" for i in rows]})
        table[caption] = [f"text {i}" for i in rows]
        table.to_parquet(folder / f"part-{part}.parquet", row_group_size=30)
    return folder


def _list(metadata, rows, sample="first", seed=0):
    path = metadata.parent / "links.parquet"
    list_links(path, "laion", rows, sample, seed, str(metadata), "a/b", None)
    return pd.read_parquet(path)


def test_the_first_rows_are_taken_in_order_over_files(metadata):
    table = _list(metadata, 130)
    assert table["url"].tolist() == [f"http://h/{i}" for i in range(130)]
    assert table["caption"].iloc[[0, 129]].tolist() == ["text 0", "text 129"]
    assert table["id"].iloc[129] == "laion-0000000129"


def test_files_that_no_one_made_are_no_part_of_a_list(metadata):
    for name in ("._part-0.parquet", ".cache/part-0.parquet", "__MACOSX/x.parquet"):
        (metadata / name).parent.mkdir(exist_ok=True)
        (metadata / name).write_bytes(b"x")
    assert len(_list(metadata, 200)) == 200


def test_one_file_is_a_list_too(metadata):
    assert _list(metadata / "part-1.parquet", 1)["url"].tolist() == ["http://h/100"]


def test_a_sample_is_drawn_by_seed_from_all_files(metadata):
    first, again, other = (_list(metadata, 40, "random", seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)
    numbers = [int(identity.removeprefix("laion-")) for identity in first["id"]]
    assert numbers == sorted(set(numbers))
    assert first["url"].tolist() == [f"http://h/{i}" for i in numbers]
    assert min(numbers) < 50
    assert max(numbers) >= 150


@pytest.mark.parametrize("sample", ["first", "random"])
def test_more_rows_than_there_are_is_one_sentence(metadata, sample):
    with pytest.raises(InputError, match="has 200 rows and 201 are asked for"):
        _list(metadata, 201, sample)


def test_a_row_without_a_url_or_a_caption_stays_a_row(metadata):
    table = pd.DataFrame({"url": ["http://h/1", None], "caption": [None, "x"]})
    table.to_parquet(metadata / "part-0.parquet")
    assert _list(metadata, 2)[["url", "caption"]].to_numpy().tolist() == [
        ["http://h/1", ""],
        ["", "x"],
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [({"url": ["a"]}, "has no column caption or text"), (None, "cannot be read as parquet")],
)
def test_metadata_of_another_form_is_one_sentence(metadata, content, told):
    path = metadata / "part-0.parquet"
    pd.DataFrame(content).to_parquet(path) if content else path.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=told):
        _list(metadata, 1)


class _Hub:
    """The file system of a hub that lists a gated data set without giving it."""

    def __init__(self, folder):
        self.folder = folder

    def glob(self, pattern):
        return [str(p) for p in self.folder.glob("*.parquet")] + (
            ["gated"] if "/new/" in pattern else []
        )

    def open(self, name, mode):
        if name == "gated":
            raise PermissionError(name)
        return open(name, mode)  # noqa: PTH123


def test_the_mirror_is_asked_where_the_primary_is_not_given(metadata, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "HfFileSystem", lambda: _Hub(metadata))
    path = metadata.parent / "links.parquet"
    list_links(path, "laion", 5, "first", 0, None, "laion/new/", "laion/old")
    assert len(pd.read_parquet(path)) == 5
    for file in metadata.iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"laion/new/: PermissionError; laion/old has no parquet"):
        list_links(path, "laion", 5, "first", 0, None, "laion/new/", "laion/old")
    assert links.FIRST == "first"


class _LoopbackHub(BaseHTTPRequestHandler):
    """A hub with one data set, the parquet files of a folder, which it gives piece by piece."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        name, status, headers = self.path.rpartition("/")[2], 200, {"ETag": '"x"'}
        files = sorted(self.server.folder.glob("*.parquet"))
        if name == self.server.refused:
            status, content = 403, b""
        elif "/tree/" in self.path:
            told = [
                {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": "0" * 40}
                for f in files
            ]
            content = json.dumps(told).encode()
        elif self.path.startswith("/api/"):
            content = json.dumps({"id": "laion/new", "sha": "a" * 40, "siblings": []}).encode()
        else:
            status, whole = 206, (self.server.folder / name).read_bytes()
            start, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            content = whole[start : end + 1]
            headers["Content-Range"] = f"bytes {start}-{end}/{len(whole)}"
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(metadata):
    made = ThreadingHTTPServer(("127.0.0.1", 0), _LoopbackHub)
    made.folder, made.asked, made.refused = metadata, [], None
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def _list_from(hub, rows, sample):
    """In a process of its own: the hub's client reads its settings once."""
    path = hub.folder.parent / "links.parquet"
    told = {"links": path, "dataset": "laion", "rows": rows, "sample": sample, "seed": 0}
    told |= {"metadata": "null", "primary": "laion/new", "mirror": "null"}
    script = Path(__file__).resolve().parents[2] / "scripts/data/list_links.py"
    words = [word for key, value in told.items() for word in (f"--{key}", str(value))]
    env = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_HOME": str(hub.folder.parent / "home")}
    env["HF_ENDPOINT"] = f"http://127.0.0.1:{hub.server_port}"
    command = [sys.executable, str(script), *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return done, pd.read_parquet(path) if path.exists() else None


@pytest.mark.parametrize("sample", ["first", "random"])
def test_a_hub_gives_the_same_list_as_its_files(hub, sample):
    local = _list(hub.folder, 130, sample)
    (hub.folder.parent / "links.parquet").unlink()
    done, remote = _list_from(hub, 130, sample)
    assert done.returncode == 0, done.stderr
    assert remote.equals(local)
    assert {path.rpartition("/")[2] for path, part in hub.asked if part} == {
        "part-0.parquet",
        "part-1.parquet",
    }


def test_a_hub_that_stops_half_way_is_one_sentence(hub):
    hub.refused = "part-1.parquet"
    done, table = _list_from(hub, 130, "first")
    assert done.returncode == 1
    assert table is None
    assert "laion/new/part-1.parquet cannot be read as parquet (403 Forbidden" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_connection_that_breaks_within_a_file_is_one_sentence(metadata, monkeypatch):
    import huggingface_hub

    class Breaking(io.BytesIO):
        def read(self, size=-1):
            if 4 < self.tell() < 2000:  # behind the first bytes, before the description
                raise RuntimeError("the other side has hung up")
            return super().read(size)

    hub = _Hub(metadata)
    hub.open = lambda name, mode: Breaking(Path(name).read_bytes())
    monkeypatch.setattr(huggingface_hub, "HfFileSystem", lambda: hub)
    with pytest.raises(
        InputError, match=r"of laion cannot be read to its end \(RuntimeError: the o"
    ):
        list_links(metadata.parent / "l.parquet", "laion", 5, "first", 0, None, "a/b", None)


def _range(folder, part, statuses):
    rows = range(10 * part, 10 * part + len(statuses))
    table = pd.DataFrame({"id": [f"r{i}" for i in rows], "url": "u", "status": statuses})
    table["image"] = [f"{i:09d}" for i in rows]
    table["sha256"] = ["0" * 64 if status == "ok" else "" for status in statuses]
    table["caption"] = "c"
    table.to_parquet(folder / f"{part}.parquet")
    grey = encode_png(pd.DataFrame([[0]]).to_numpy().astype("uint8")[:, :, None].repeat(3, 2))
    kept = [key for key, status in zip(table["image"], statuses, strict=True) if status == "ok"]
    write_shard(folder / f"{part}.tar", [(f"{key}.png", grey) for key in kept], "")
    return table["id"].tolist()


def _gather(folder, parts):
    tables, shards = ([folder / f"{part}.{end}" for part in parts] for end in ("parquet", "tar"))
    links = folder / "links.parquet"
    gather_ranges(shards, tables, folder / "p.parquet", folder / "images", links, folder / "f.pq")


def test_ranges_are_gathered_with_every_row(tmp_path):
    ids = _range(tmp_path, 0, ["ok", "HTTP 404"]) + _range(tmp_path, 1, ["timed out", "ok", "ok"])
    pd.DataFrame({"id": ids}).to_parquet(tmp_path / "links.parquet")
    _gather(tmp_path, (0, 1))
    pairs = pd.read_parquet(tmp_path / "p.parquet")
    assert pairs["id"].tolist() == ids
    assert pairs["status"].tolist() == ["ok", "HTTP 404", "timed out", "ok", "ok"]
    usable = pairs.loc[pairs["status"] == "ok", "image"].tolist()
    assert [key for key, _ in read_pictures(tmp_path / "images")] == usable
    assert pd.read_parquet(tmp_path / "f.pq")["id"].tolist() == ["r0", "r11", "r12"]


def test_a_row_that_no_range_tells_of_is_refused(tmp_path):
    ids = _range(tmp_path, 0, ["ok", "HTTP 404"])
    pd.DataFrame({"id": [*ids, "r9"]}).to_parquet(tmp_path / "links.parquet")
    with pytest.raises(InputError, match="has 3 rows and its ranges tell of 2"):
        _gather(tmp_path, (0,))


def test_no_picture_at_all_is_told_with_the_reasons(tmp_path):
    ids = _range(tmp_path, 0, ["HTTP 404", "timed out", "HTTP 404"])
    pd.DataFrame({"id": ids}).to_parquet(tmp_path / "links.parquet")
    with pytest.raises(InputError, match=r"none of the 3 links .*\(2 x HTTP 404, 1 x timed out\)"):
        _gather(tmp_path, (0,))


@pytest.mark.parametrize("sample", ["first", "random"])
def test_captions_that_are_bytes_or_categories_are_texts(metadata, sample):
    import pyarrow as pa
    from pyarrow import parquet

    urls = pa.array(["http://h/1", "http://h/2"]).dictionary_encode()
    captions = pa.array([b"None", b"caf\xc3\xa9 \xff"], pa.binary())
    path = metadata / "part-0.parquet"
    parquet.write_table(pa.table({"url": urls, "caption": captions}), path)
    assert _list(path, 2, sample)[["url", "caption"]].to_numpy().tolist() == [
        ["http://h/1", "None"],
        ["http://h/2", "café \N{REPLACEMENT CHARACTER}"],
    ]


@pytest.mark.parametrize(
    ("column", "values", "kind"),
    [("caption", [["a", "b"]], "list"), ("caption", [3], "int64"), ("url", [1.5], "double")],
)
def test_columns_that_are_no_text_are_one_sentence(metadata, column, values, kind):
    table = {"url": ["http://h/1"], "caption": ["x"], column: values}
    pd.DataFrame(table).to_parquet(metadata / "part-0.parquet")
    with pytest.raises(InputError, match=rf"part-0\.parquet has {kind}.* column {column}; text is"):
        _list(metadata, 1)


@pytest.mark.parametrize("kept", [0, 4, 300, -300])
def test_a_truncated_list_is_one_sentence_with_its_file(metadata, kept):
    path = metadata / "part-0.parquet"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"part-0\.parquet .*; copy or download it again"):
        _list(metadata, 1)
