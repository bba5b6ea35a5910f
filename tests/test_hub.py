"""A model hub on this machine that answers, refuses, misses and keeps silent."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from isoenergy import hub

WEIGHTS = 605_247_071


class _Hub(BaseHTTPRequestHandler):
    """Answers by the owner of the checkpoint that is asked for."""

    def do_HEAD(self):
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        owner = self.path.split("/")[1]
        if owner == "slow":
            time.sleep(1)
        status = {"gated": 401, "private": 403, "none": 401, "gone": 404, "ill": 503}.get(
            owner, 200
        )
        if owner == "moved":
            status = 302
        self.send_response(status)
        if owner in ("gated", "none"):
            code = {"gated": "GatedRepo", "none": "RepoNotFound"}[owner]
            self.send_header("X-Error-Code", code)
        if owner == "moved":
            self.send_header("Location", "http://elsewhere.invalid/")
            self.send_header("X-Linked-Size", str(WEIGHTS))
        self.send_header("Content-Length", str(WEIGHTS if owner == "open" else 7))
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def loopback(monkeypatch, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(hub, "TIMEOUT_SECONDS", 0.3)
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("checkpoint", "state", "size"),
    [
        ("open/clip", "open", WEIGHTS),
        ("moved/clip", "open", WEIGHTS),
        ("gated/clip", "gated", None),
        ("private/clip", "gated", None),
        ("none/clip", "absent", None),
        ("gone/clip", "absent", None),
        ("ill/clip", "silent", None),
        ("slow/clip", "silent", None),
    ],
)
def test_every_answer_of_the_hub_is_understood(loopback, checkpoint, state, size):
    assert hub.look_up(checkpoint, "v1") == hub.Checkpoint(state, size)
    assert loopback.asked[0][0] == f"/{checkpoint}/resolve/v1/config.json"


def test_a_folder_is_asked_of_nobody(loopback, tmp_path):
    assert hub.look_up(str(tmp_path), None) == hub.Checkpoint("present")
    assert loopback.asked == []


@pytest.mark.parametrize("name", ["./tiny", "/no/such/folder", "~/tiny", "a/b/c", "two words"])
def test_what_can_be_no_name_is_asked_of_nobody(loopback, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    assert hub.look_up(name, None) == hub.Checkpoint("nameless")
    assert loopback.asked == []


def test_the_local_cache_is_enough_without_a_network(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    kept = tmp_path / "models--open--clip"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs/main").write_text("abc")
    (kept / "snapshots/abc").mkdir(parents=True)
    assert hub.look_up("open/clip", "main") == hub.Checkpoint("silent")
    (kept / "snapshots/abc/config.json").write_text("{}")
    assert hub.look_up("open/clip", "main") == hub.Checkpoint("present")


def test_nothing_at_the_address_is_silence(loopback, monkeypatch):
    loopback.shutdown()
    loopback.server_close()
    assert hub.look_up("open/clip", None) == hub.Checkpoint("silent")
    monkeypatch.setenv("HF_ENDPOINT", "no address")
    assert hub.look_up("open/clip", None) == hub.Checkpoint("silent")


def test_a_tag_of_open_clip_is_left_to_its_job(loopback):
    assert hub.look_up("ViT-B-32:datacomp_xl_s13b_b90k", None) == hub.Checkpoint("untold")
    assert loopback.asked == []


class _DataSets(BaseHTTPRequestHandler):
    """Describes data sets to everyone, and gives files to those who were let in."""

    def do_GET(self):
        self.server.asked.append(self.path)
        owner = self.path.split("/")[-2]
        names = [".gitattributes"] + ([] if owner == "empty" else ["b.parquet", "part 0.parquet"])
        told = {"siblings": [{"rfilename": name} for name in names]}
        told["gated"] = "auto" if owner in ("gated", "member") else False
        body = b"<html>" if owner == "odd" else json.dumps(told).encode()
        self.send_response({"none": 401, "ill": 500}.get(owner, 200))
        if owner == "none":
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self):
        self.server.asked.append(self.path)
        self.send_response(403 if "/gated/" in self.path else 302)
        self.send_header("Location", "http://elsewhere.invalid/")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize(
    ("owner", "state"),
    [
        ("open", "open"),
        ("gated", "gated"),
        ("member", "open"),
        ("none", "absent"),
        ("empty", "absent"),
        ("ill", "silent"),
        ("odd", "silent"),
    ],
)
def test_a_list_of_links_is_asked_for_as_it_will_be_read(loopback, owner, state):
    loopback.RequestHandlerClass = _DataSets
    assert hub.look_up_dataset(f"{owner}/links").state == state
    assert loopback.asked[0] == f"/api/datasets/{owner}/links"
    if owner in ("gated", "member"):
        assert loopback.asked[1] == f"/datasets/{owner}/links/resolve/main/b.parquet"


def test_nobody_is_asked_for_a_list_offline(loopback, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub.look_up_dataset("open/links").state == "silent"
    assert loopback.asked == []
