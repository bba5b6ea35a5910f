import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import pandas as pd
import pytest
import yaml
from hostile import STALLED, Server, pictures, upright

from isoenergy.data import fetch
from isoenergy.data.fetch import Fetching, fetch_range
from isoenergy.data.shards import decode_picture
from isoenergy.errors import InputError

GOOD = 150
# Kind of answer, how many URLs of it, and the status that each of their rows gets.
FAULTS = (
    ("404", 25, "HTTP 404"),
    ("403", 12, "HTTP 403"),
    ("410", 5, "HTTP 410"),
    ("loop", 8, "redirects in a loop"),
    ("outward", 4, "redirected to no http or https URL"),
    ("stall", 6, "timed out"),
    ("drip", 6, "took too long"),
    ("half", 8, "picture is truncated or corrupt"),
    ("cut", 5, "connection was cut off"),
    ("corrupt", 6, "not a picture"),
    ("html", 10, "not a picture"),
    ("bomb", 4, "not a picture"),
    ("empty", 4, "not a picture"),
    ("huge", 5, "picture has too many pixels"),
    ("stuffed", 3, "not a picture"),
    ("pixel", 4, "picture has a side of one pixel"),
    ("fat", 4, "too many bytes"),
    ("announced", 3, "too many bytes"),
    ("optout", 6, "opted out (X-Robots-Tag)"),
)
SETTINGS = {
    "threads": 24,
    "timeout": 2,
    "picture_seconds": 4.0,
    # Far more than it takes, so that a slow machine changes no status.
    "shard_seconds": 240.0,
    "retries": 1,
    "pause": 1.0,
    "max_bytes": 2_000_000,
    "side": 512,
    "private_addresses": True,
    "agent": None,
}


@pytest.fixture
def server():
    server = Server(pictures(GOOD))
    yield server
    server.close()


def _links(server, path):
    """Rows in mixed order: every good picture, redirects, flaky ones, duplicates, and faults."""
    rows = [(f"/ok/{name}", "ok") for name in server.files]
    rows += [(f"/moved/good{i}", "ok") for i in range(5)]
    rows += [(f"/flaky/good{i}", "ok") for i in range(5)]
    rows += [(f"/ok/good{i}", "ok") for i in range(10)]  # the same URL twice
    rows += [(f"/{kind}/good{i}", told) for kind, count, told in FAULTS for i in range(count)]
    rows = [(server.address + url, told) for url, told in rows]
    rows += [(url, "not a http or https URL") for url in ("ftp://127.0.0.1/x.jpg", "not a url")]
    order = np.random.default_rng(0).permutation(len(rows))
    table = pd.DataFrame([rows[i] for i in order], columns=["url", "told"])
    table["id"] = [f"row-{i}" for i in range(len(table))]
    table["caption"] = [f"caption {i}" for i in range(len(table))]
    table.to_parquet(path)
    return table


def _command(root, folder, python, rows, **changes):
    told = {
        "links": folder / "links.parquet",
        "shard": folder / "00000.tar",
        "table": folder / "00000.parquet",
        "work": folder / "work",
        "start": 0,
        "rows": rows,
        "fetching": json.dumps({"python": python, **SETTINGS, **changes}),
    }
    words = [word for key, value in told.items() for word in (f"--{key}", str(value))]
    return [sys.executable, str(root / "scripts/data/fetch_range.py"), *words]


def _longest(**changes):
    """Seconds after which fetching a range has ended, whatever the server and the machine do."""
    told = {**SETTINGS, **changes}
    return told["shard_seconds"] + told["timeout"] + fetch._GRACE_SECONDS


def _members(path):
    with tarfile.open(path) as tar:
        return {m.name.partition(".")[0]: tar.extractfile(m).read() for m in tar}


def _check(folder, asked, server):
    got = pd.read_parquet(folder / "00000.parquet")
    assert got[["id", "url", "caption"]].equals(asked[["id", "url", "caption"]])
    wrong = got[got["status"] != asked["told"]]
    assert wrong.empty, wrong[["url", "status"]].to_string()
    members = _members(folder / "00000.tar")
    usable = got[got["status"] == "ok"]
    assert set(members) == set(usable["image"])
    assert (usable["sha256"].str.len() == 64).all()
    assert (got.loc[got["status"] != "ok", "sha256"] == "").all()
    # The same picture has the same hash, by whatever address it came.
    names = usable["url"].str.rpartition("/")[2]
    assert (usable.groupby(names)["sha256"].nunique() == 1).all()
    assert usable["sha256"].duplicated().sum() == names.duplicated().sum()
    for row in usable.to_dict("records"):
        name = row["url"].rpartition("/")[2]
        if name.startswith("good"):
            assert members[row["image"]] == server.files[name]
        if name.startswith("turned"):
            seen = np.asarray(decode_picture(members[row["image"]])).astype(int)
            assert np.abs(seen - np.asarray(upright("F up")).astype(int)).mean() < 4
    return got


def test_three_hundred_urls_are_all_accounted_for(root, tmp_path, server, fetcher):
    asked = _links(server, tmp_path / "links.parquet")
    assert len(asked) >= 300
    started = time.time()
    subprocess.run(_command(root, tmp_path, fetcher, 1000), check=True)
    # Without limits the drips alone would take ten minutes. What the machine is busy with is not
    # in what the server sees: how long each slow answer was waited for.
    assert time.time() - started < _longest()
    waited = pd.DataFrame(server.held, columns=["kind", "seconds"]).groupby("kind")["seconds"].max()
    assert SETTINGS["timeout"] - 0.5 < waited["stall"] < STALLED / 2
    assert SETTINGS["picture_seconds"] - 0.5 < waited["drip"] < STALLED / 2
    # Kilobytes; img2dataset alone takes 0.3 GB, the largest of these pictures would take 1.2.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 900_000
    got = _check(tmp_path, asked, server)
    assert got["sha256"][got["status"] == "ok"].duplicated().sum() == 20  # twice, moved, flaky
    assert not (tmp_path / "work").exists()
    assert server.asked["/ok/good7"] == 1  # two rows, one fetch
    assert server.asked["/404/good3"] == 1  # final
    assert server.asked["/stall/good3"] == 2  # may pass
    assert server.asked["/flaky/good3"] == 2


def test_killed_half_way_and_started_again_gives_the_same(root, tmp_path, server, fetcher):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        asked = _links(server, folder / "links.parquet")
    subprocess.run(_command(root, whole, fetcher, 1000), check=True)
    server.asked.clear()
    process = subprocess.Popen(_command(root, killed, fetcher, 1000))
    while sum(server.asked.values()) < 100:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(1)
    after = sum(server.asked.values())
    time.sleep(2)
    assert sum(server.asked.values()) == after  # nothing goes on behind the killed job's back
    assert not (killed / "00000.tar").exists()
    server.asked.clear()
    subprocess.run(_command(root, killed, fetcher, 1000), check=True)
    first, second = _check(whole, asked, server), _check(killed, asked, server)
    assert first.equals(second)
    assert (whole / "00000.tar").read_bytes() == (killed / "00000.tar").read_bytes()


def test_what_is_fetched_is_not_fetched_again_after_a_kill(tmp_path, server, fetcher, monkeypatch):
    monkeypatch.setattr(fetch, "_BATCH", 20)
    urls = [f"{server.address}/ok/good{i}" for i in range(60)]
    table = pd.DataFrame({"id": urls, "url": urls, "caption": urls})
    table.to_parquet(tmp_path / "links.parquet")

    def broken(*_):
        raise KeyboardInterrupt

    told = [tmp_path / name for name in ("links.parquet", "0.tar", "0.parquet", "work")]
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "_pack", broken)
        with pytest.raises(KeyboardInterrupt):
            fetch_range(*told, 0, 60, Fetching(fetcher, **SETTINGS))
    [lost] = tmp_path.glob("work/*/round_0*/shards/00001_stats.json")
    lost.unlink()
    server.asked.clear()
    fetch_range(*told, 0, 60, Fetching(fetcher, **SETTINGS))
    assert sorted(server.asked) == sorted(f"/ok/good{i}" for i in range(20, 40))
    assert (pd.read_parquet(tmp_path / "0.parquet")["status"] == "ok").all()


@pytest.mark.parametrize("how", ["hangs up", "refuses"])
def test_a_server_that_goes_away_for_a_while_is_survived(root, tmp_path, fetcher, how):
    server = Server(pictures(60), here=how == "hangs up")
    urls = [f"{server.address}/ok/good{i}" for i in range(60)]
    asked = pd.DataFrame({"id": urls, "url": urls, "caption": urls, "told": "ok"})
    asked.to_parquet(tmp_path / "links.parquet")
    server.away = True
    missed = []

    def come_back():
        while not (done := list(tmp_path.glob("work/*/round_0*/shards/00000_stats.json"))):
            time.sleep(0.05)
        missed.extend(pd.read_parquet(done[0].with_name("00000.parquet"))["status"])
        server.away = False
        if not server.here:
            server.come()

    back = threading.Thread(target=come_back, daemon=True)
    back.start()
    subprocess.run(_command(root, tmp_path, fetcher, 60, pause=5.0), check=True)
    back.join()
    assert missed == ["failed_to_download"] * 60
    _check(tmp_path, asked, server)
    server.close()


def test_the_wall_clock_limit_ends_a_shard_with_every_row_told(tmp_path, server, fetcher):
    urls = [f"{server.address}/{'stall' if i % 2 else 'ok'}/good{i}" for i in range(120)]
    pd.DataFrame({"id": urls, "url": urls, "caption": urls}).to_parquet(tmp_path / "links.parquet")
    told = [tmp_path / name for name in ("links.parquet", "0.tar", "0.parquet", "work")]
    slow = {**SETTINGS, "threads": 4, "timeout": 20, "picture_seconds": 20.0, "shard_seconds": 9.0}
    started = time.time()
    fetch_range(*told, 0, 120, Fetching(fetcher, **slow))
    # Without it four threads would wait for sixty stalls of 20 seconds each, twice.
    assert time.time() - started < _longest(**slow)
    statuses = pd.read_parquet(tmp_path / "0.parquet")["status"]
    assert len(statuses) == 120
    assert set(statuses) <= {"ok", "shard ran out of time"}
    assert (statuses == "shard ran out of time").sum() >= 60


def test_private_addresses_need_the_config(tmp_path, server, fetcher):
    port = server.http.server_address[1]
    hosts = ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"]
    urls = [f"http://{host}:{port}/ok/good0" for host in hosts]
    # Link-local, where clouds keep their secrets, and private ones: nobody is asked there.
    urls += [f"http://{host}/x.jpg" for host in ("169.254.169.254", "10.0.0.1", "192.168.1.1")]
    urls += [f"http://{host}/x.jpg" for host in ("[fe80::1]", "[fd00::1]", "[::1]", "0.0.0.0")]
    pd.DataFrame({"id": urls, "url": urls, "caption": urls}).to_parquet(tmp_path / "l.parquet")
    told = [tmp_path / name for name in ("l.parquet", "0.tar", "0.parquet", "work")]
    fetch_range(*told, 0, 99, Fetching(fetcher, **{**SETTINGS, "private_addresses": False}))
    got = pd.read_parquet(tmp_path / "0.parquet")
    assert got["status"].tolist() == ["address is not public"] * len(urls)
    assert not server.asked
    assert _members(tmp_path / "0.tar") == {}


def test_no_config_here_allows_private_addresses(root):
    configs = sorted((root / "config").glob("*.yaml"))
    assert len(configs) == 5
    for path in configs:
        assert yaml.safe_load(path.read_text())["download"]["private_addresses"] is False, path


def test_an_environment_without_img2dataset_is_told(tmp_path, monkeypatch):
    url = "http://127.0.0.1/x"
    pd.DataFrame({"id": ["a"], "url": [url], "caption": ["a"]}).to_parquet(tmp_path / "l.parquet")
    told = [tmp_path / name for name in ("l.parquet", "0.tar", "0.parquet", "work")]
    monkeypatch.setattr(fetch, "_OWN", tmp_path / "none")
    for python, why in (
        (sys.executable, "No module named 'img2dataset'"),
        ("/no", "cannot be started"),
        (None, "`make download-env` does that"),
    ):
        with pytest.raises(InputError, match=why):
            fetch_range(*told, 0, 1, Fetching(python, **SETTINGS))
    assert not told[1].exists()
