import time
import urllib.error
import urllib.request

import pytest
from hostile import Server, pictures

from isoenergy.data.fetch import reason_of
from isoenergy.data.guard import Limits, RefusedError, build_opener, is_public


@pytest.fixture(scope="module")
def server():
    server = Server(pictures(2))
    yield server
    server.close()


def _open(url, **changes):
    limits = {
        "picture_seconds": 1.0,
        "end": time.time() + 60,
        "max_bytes": 100_000,
        "private_addresses": True,
        **changes,
    }
    with build_opener(Limits(**limits)).open(url, timeout=5) as answer:
        return answer.read()


def _refusal(url, **changes):
    started = time.time()
    with pytest.raises((OSError, urllib.error.URLError)) as caught:
        _open(url, **changes)
    return reason_of(str(caught.value)), time.time() - started


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False),
    ],
)
def test_public_addresses(address, public):
    assert is_public(address) == public


def test_a_good_picture_arrives_whole(server):
    assert _open(f"{server.address}/ok/good1") == server.files["good1"]
    assert _open(f"{server.address}/moved/good1") == server.files["good1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::1]"])
def test_the_loopback_is_refused_however_it_is_written(server, host):
    asked = sum(server.asked.values())
    url = server.address.replace("127.0.0.1", host) + "/ok/good0"
    assert _refusal(url, private_addresses=False)[0] in ("address is not public", "no connection")
    assert sum(server.asked.values()) == asked


def test_a_redirect_is_checked_like_the_first_address(server, monkeypatch):
    from isoenergy.data import guard

    # As if the server stood on a public address, and what it redirects to did not.
    first = iter((True,))
    monkeypatch.setattr(guard, "is_public", lambda _: next(first, False))
    told, _ = _refusal(f"{server.address}/moved/good0", private_addresses=False)
    assert told == "address is not public"
    assert server.asked["/moved/good0"] == 1
    assert server.asked["/ok/good0"] == 0


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/loop/good0", "redirects in a loop"),
        ("/outward/good0", "redirected to no http or https URL"),
        ("/404/good0", "HTTP 404"),
        ("/fat/good0", "too many bytes"),
        ("/announced/good0", "too many bytes"),
    ],
)
def test_refusals(server, path, told):
    reason, seconds = _refusal(server.address + path)
    assert reason == told
    assert seconds < 10


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_other_schemes_are_unknown(url):
    with pytest.raises(urllib.error.URLError, match="unknown url type"):
        _open(url)


def test_a_slow_drip_ends_with_the_time_of_its_picture(server):
    reason, seconds = _refusal(f"{server.address}/drip/good0")
    assert reason == "took too long"
    assert 0.9 < seconds < 10  # all of it takes minutes


def test_every_fetch_ends_with_the_shard(server):
    reason, seconds = _refusal(
        f"{server.address}/drip/good0", picture_seconds=30, end=time.time() + 0.7
    )
    assert reason == "shard ran out of time"
    assert seconds < 10
    assert issubclass(RefusedError, OSError)
