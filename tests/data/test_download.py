import hashlib
import json
import shutil
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from isoenergy.data import download
from isoenergy.data.download import Downloading, download_file, why_not
from isoenergy.errors import InputError

WHOLE = bytes(range(256)) * 2000
SIZE = len(WHOLE)
SHA256 = f"sha256:{hashlib.sha256(WHOLE).hexdigest()}"
SETTINGS = {"timeout": 1, "shard_seconds": 20.0, "retries": 2, "pause": 0.05}


class _Files(BaseHTTPRequestHandler):
    """Serves one file by the manner that its address names."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        how = self.path.split("/")[1]
        began = self.headers.get("Range")
        self.server.asked.append((how, began, self.headers.get("If-Range")))
        turn = sum(asked[0] == how for asked in self.server.asked)
        if how == "gone":
            return self.send_error(404)
        if how == "busy" and turn == 1:
            return self.send_error(503)
        if how == "outward":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        content = {"other": WHOLE[::-1], "large": WHOLE * 2}.get(how, WHOLE)
        if how == "changed" and turn > 1:
            content = b"new" + WHOLE[3:]
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        start = 0
        if began and how != "whole" and self.headers.get("If-Range") in (None, tag):
            start = int(began.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        if how != "untagged":
            self.send_header("ETag", tag)
        if start:
            where = 0 if how == "elsewhere" else start
            self.send_header("Content-Range", f"bytes {where}-{len(content) - 1}/{len(content)}")
        content = content[start:]
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            cut = how in ("cut", "changed", "untagged", "whole", "elsewhere", "drip") and turn == 1
            self.wfile.write(content[:200_000] if cut else content)
            self.wfile.flush()
            if how == "drip" and turn == 1:
                time.sleep(2)
            self.close_connection = cut
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def certificate(tmp_path_factory):
    """A certificate of 127.0.0.1 that nobody vouches for, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed here")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    told = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -out"
    command = ["openssl", *told.split(), str(path), "-keyout", str(path.with_suffix(".key"))]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_suffix(".key").read_text())
    return path


@pytest.fixture
def server():
    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass

    made = Quiet(("127.0.0.1", 0), _Files)
    made.asked = []
    made.address = f"http://127.0.0.1:{made.server_address[1]}"
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def _download(server, folder, *ways, digest=SHA256, size=SIZE, private=True, **changes):
    urls = [f"{server.address}/{way}/a.zip" for way in ways]
    told = Downloading(**SETTINGS | changes, private_addresses=private)
    download_file(folder / "a.zip", urls, size, digest, told)
    return (folder / "a.zip").read_bytes()


def _refusal(*arguments, **changes):
    with pytest.raises(InputError) as error:
        _download(*arguments, **changes)
    return str(error.value)


def test_a_file_arrives_whole_and_nothing_else_stays(server, tmp_path):
    assert _download(server, tmp_path, "ok") == WHOLE
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("way", ["cut", "drip"])
@pytest.mark.parametrize("digest", [SHA256, None])
def test_a_try_goes_on_where_the_one_before_stopped(server, tmp_path, way, digest):
    assert _download(server, tmp_path, way, digest=digest) == WHOLE
    first, second = server.asked
    assert (first[1], second[1]) == (None, "bytes=200000-")
    assert second[2] == f'"{hashlib.md5(WHOLE).hexdigest()}"'


@pytest.mark.parametrize(
    ("way", "ranges"),
    [
        ("whole", [None, "bytes=200000-"]),  # a server that cannot resume
        ("elsewhere", [None, "bytes=200000-", None]),  # one that gives another part
        ("untagged", [None, "bytes=200000-"]),  # the digest vouches for what is put together
    ],
)
def test_servers_that_resume_badly_are_survived(server, tmp_path, way, ranges):
    assert _download(server, tmp_path, way) == WHOLE
    assert [asked[1] for asked in server.asked] == ranges


def test_without_tag_and_digest_a_file_is_begun_anew(server, tmp_path):
    assert _download(server, tmp_path, "untagged", digest=None) == WHOLE
    assert [asked[1] for asked in server.asked] == [None, None]


def test_a_file_that_changed_in_between_is_not_put_together(server, tmp_path):
    found = _download(server, tmp_path, "changed", digest=None)
    assert found == b"new" + WHOLE[3:]


def test_what_a_killed_job_had_is_not_fetched_again(server, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(download, "_is_right", killed)
        with pytest.raises(KeyboardInterrupt):
            _download(server, tmp_path, "cut")
    assert not (tmp_path / "a.zip").exists()
    (part,) = tmp_path.glob(".a.zip.part")
    part.write_bytes(WHOLE[:300_000])
    server.asked.clear()
    assert _download(server, tmp_path, "ok") == WHOLE
    assert [asked[1] for asked in server.asked] == ["bytes=300000-"]


def test_what_is_there_and_wrong_is_thrown_away_once(server, tmp_path):
    tag = f'"{hashlib.md5(WHOLE).hexdigest()}"'
    state = {"url": f"{server.address}/ok/a.zip", "validator": tag}
    (tmp_path / ".a.zip.part").write_bytes(b"x" * 200_000)
    (tmp_path / ".a.zip.part.json").write_text(json.dumps(state))
    assert _download(server, tmp_path, "ok") == WHOLE
    assert [asked[1] for asked in server.asked] == ["bytes=200000-", None]


def test_the_mirror_is_asked_where_the_primary_fails(server, tmp_path):
    assert _download(server, tmp_path, "gone", "other", "ok") == WHOLE
    assert [asked[0] for asked in server.asked] == ["gone", "other", "ok"]


def test_a_server_that_is_busy_is_asked_again_and_one_without_the_file_is_not(server, tmp_path):
    assert _download(server, tmp_path, "gone", "busy") == WHOLE
    assert [asked[0] for asked in server.asked] == ["gone", "busy", "busy"]


@pytest.mark.parametrize(
    ("ways", "changes", "told"),
    [
        (["gone"], {}, "/gone/a.zip: HTTP 404); run again to go on, or get the data set by other"),
        (["other"], {}, "is not the file that is published (another digest)"),
        (["large"], {}, "too many bytes"),
        (["large"], {"digest": None, "size": 1000}, "too many bytes"),
        (["outward"], {}, "redirected to no http or https URL"),
        (["ok"], {"private": False}, "address is not public"),
    ],
)
def test_refusals_are_one_sentence_and_leave_no_file(server, tmp_path, ways, changes, told):
    sentence = _refusal(server, tmp_path, *ways, **changes)
    assert sentence.startswith("a.zip cannot be downloaded (")
    assert told in sentence
    assert "\n" not in sentence
    assert not (tmp_path / "a.zip").exists()


def test_preflight_asks_without_taking(server):
    gone, there = (f"{server.address}/{way}/a.zip" for way in ("gone", "ok"))
    assert why_not([gone, there], True) is None
    assert why_not([gone], True) == f"{gone}: HTTP 404"
    assert why_not([there], False) == f"{there}: address is not public"
    server.shutdown()
    server.server_close()
    assert why_not([there], True) == f"{there}: no connection"


def test_certificates_are_checked(server, certificate, tmp_path, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.address = server.address.replace("http:", "https:")
    assert "certificate is not valid" in _refusal(server, tmp_path, "cut")
    assert server.asked == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert _download(server, tmp_path, "cut") == WHOLE
    assert [asked[1] for asked in server.asked] == [None, "bytes=200000-"]
