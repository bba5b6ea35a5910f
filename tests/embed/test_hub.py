"""What the hub answers, told in one sentence; against a server on this machine."""

import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import huggingface_hub
import pytest

from isoenergy.embed.encoder import EncoderSpec
from isoenergy.embed.encoders import load_encoder
from isoenergy.errors import InputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOAD = """
import json, sys
from isoenergy.embed.encoder import EncoderSpec
from isoenergy.embed.encoders import load_encoder
from isoenergy.errors import InputError
for checkpoint, revision in json.loads(sys.argv[1]):
    try:
        encoder = load_encoder(EncoderSpec("M", "clip", checkpoint, revision, 32, 16, False))
        told = encoder.describe()
        print(json.dumps({key: told[key] for key in ("checkpoint", "revision")}))
    except InputError as error:
        print(json.dumps(str(error)))
"""
ERRORS = {
    "who/gated": (403, "GatedRepo"),
    "who/locked": (401, "GatedRepo"),
    "who/absent": (401, "RepoNotFound"),
    "who/private": (403, None),
    "who/moved": (404, "RevisionNotFound"),
}


class Hub(http.server.BaseHTTPRequestHandler):
    def __init__(self, folder, asked, *arguments):
        self.folder, self.asked = folder, asked
        super().__init__(*arguments)

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        self.asked.append(self.path)
        path = self.path.removeprefix("/api/models").strip("/").split("/")
        name, file = "/".join(path[:2]), "/".join(path[4:])
        status, code, content = 404, "EntryNotFound", b""
        if name in ERRORS:
            status, code = ERRORS[name]
        elif name == "who/model" and path[2] == "resolve" and (self.folder / file).is_file():
            status, code, content = 200, None, (self.folder / file).read_bytes()
        self.send_response(status)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{len(content)}-{file}"')
        self.send_header("Content-Length", str(len(content)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture(scope="module")
def hub(tiny_encoders):
    asked = []
    handler = functools.partial(Hub, Path(tiny_encoders["clip"].checkpoint), asked)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def load(root, endpoint, cache, checkpoints, **environment):
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": os.pathsep.join([str(root / "scripts"), *sys.path]),
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(checkpoints)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def told(root, hub, cache):
    """What loading each name says; ``who/model`` is left in the cache."""
    names = [*ERRORS, "who/empty", "not//a name", "who/model"]
    said = load(root, hub[0], cache, [[name, "main"] for name in names])
    return dict(zip(names, said, strict=True))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("who/gated", "it is gated, .* accept its terms at .*/who/gated, then `hf auth login`"),
        ("who/locked", "it is gated, .* accept its terms at .*/who/locked, then `hf auth login`"),
        ("who/absent", r"the hub has no such model, or it is private; .*models\.tsv, or `hf auth"),
        ("who/private", r"the hub has no such model, or it is private; .*models\.tsv, or `hf auth"),
        ("who/moved", r"it has no revision main; correct its row of config/models\.tsv$"),
        ("who/empty", "revision main lacks a file of a model of family clip; correct"),
        ("not//a name", "it is neither a folder nor a name on the hub; correct"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_on_what_to_do(told, name, reason):
    assert re.match(rf"model M \({name}\) cannot be loaded: ", told[name])
    assert re.search(reason, told[name]), told[name]
    assert "\n" not in told[name]


def test_a_branch_is_read_at_one_commit_that_the_store_records(root, hub, cache, told):
    endpoint, asked = hub
    expected = {"checkpoint": "who/model", "revision": COMMIT}
    assert told["who/model"] == expected
    files = [path.split("/", 5)[4:] for path in asked if path.startswith("/who/model/resolve/")]
    assert [COMMIT, "model.safetensors"] in files
    assert {file for revision, file in files if revision != COMMIT} == {"config.json"}
    # Cached, it needs the hub no more; at another revision it is not there.
    asked.clear()
    checkpoints = [["who/model", COMMIT], ["who/model", "main"], ["who/model", "f" * 40]]
    *found, missing = load(root, endpoint, cache, checkpoints, HF_HUB_OFFLINE="1")
    assert found == [expected] * 2
    assert not asked
    assert f"the cache {cache}/hub lacks revision {'f' * 40}, and HF_HUB_OFFLINE" in missing
    assert f"`hf download who/model --revision {'f' * 40}`" in missing
    assert "point HF_HOME at that cache" in missing


def test_a_hub_out_of_reach_names_the_cache(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    spec = EncoderSpec("M", "clip", "who/model", COMMIT, 32, 16, False)
    with pytest.raises(InputError) as refused:
        load_encoder(spec)
    assert str(refused.value) == (
        f"model M (who/model) cannot be loaded: the cache {tmp_path} lacks revision {COMMIT}, and "
        f"{huggingface_hub.constants.ENDPOINT} does not answer; check the connection, or run "
        f"`hf download who/model --revision {COMMIT}` elsewhere, point HF_HOME at that cache and "
        "set HF_HUB_OFFLINE=1"
    )
