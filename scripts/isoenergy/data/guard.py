"""Run img2dataset on a list of URLs that nobody vouches for, within limits.

img2dataset limits the time of a read, not that of a picture, follows redirects to any address and
reads bodies of any size. This file runs as a program of the environment that img2dataset is in
(``envs/download.yaml``), uses the standard library alone, and gives ``urllib``, which img2dataset
fetches with, an opener of its own: http and https alone, public addresses alone (checked at the
moment of connecting, so that neither a redirect nor a name server leads elsewhere), a limit of
time and of bytes for every picture, and the time at which everything has to end.

``python guard.py SETTINGS.json``, where the settings are ``limits`` (fields of :class:`Limits`)
and ``img2dataset`` (arguments of ``img2dataset.download``).
"""

from __future__ import annotations

import ctypes
import functools
import http.client
import io
import ipaddress
import json
import signal
import socket
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

MAX_REDIRECTS = 5
# What img2dataset passes on of a refusal; fetch.py reads it back.
TOO_SLOW = "picture takes too long"
TOO_LARGE = "picture has too many bytes"
TOO_LATE = "shard has run out of time"
FORBIDDEN = "address is not public"
_PR_SET_PDEATHSIG = 1
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Limits:
    """What fetching one picture may take.

    Attributes
    ----------
    picture_seconds : float
        From the first connection to the last byte, redirects included.
    end : float
        Time, in seconds since 1970, at which every fetch ends.
    max_bytes : int
        Of one response, header included.
    private_addresses : bool
        Allow loopback, private and link-local addresses.
    """

    picture_seconds: float
    end: float
    max_bytes: int
    private_addresses: bool


class RefusedError(OSError):
    """A fetch that the limits end."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, as is what it stands for.

    IPv6 addresses that carry an IPv4 address (mapped, NAT64, 6to4, Teredo) are public if that is.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        carried = [parsed.ipv4_mapped, parsed.sixtofour, *(parsed.teredo or ())]
        if parsed in _NAT64:
            carried.append(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF))
        known = [inner for inner in carried if inner is not None]
        if known:
            return all(_is_global(inner) for inner in known)
    return _is_global(parsed)


def _is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not address.is_multicast


def connect(
    host: tuple[str, int], timeout: float, _source: object = None, *, limits: Limits, end: float
) -> socket.socket:
    """Connect to the first address of a host that is allowed and answers.

    Raises
    ------
    RefusedError
        If none is allowed, or time has run out.
    OSError
        If none answers.
    """
    found = socket.getaddrinfo(*host, type=socket.SOCK_STREAM)
    allowed = [it for it in found if limits.private_addresses or is_public(it[4][0])]
    if not allowed:
        raise RefusedError(FORBIDDEN)
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, address in allowed:
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(min(timeout, _left(limits, end)))
            made.connect(address)
            return made
        except OSError as error:
            made.close()
            failure = error
    raise failure


def _left(limits: Limits, end: float) -> float:
    """Seconds that a fetch that has to end at ``end`` has left."""
    now = time.time()
    if now >= limits.end:
        raise RefusedError(TOO_LATE)
    if now >= end:
        raise RefusedError(TOO_SLOW)
    return min(limits.end, end) - now


class _LimitedReader(io.RawIOBase):
    """What a server sends, until the time or the bytes run out."""

    def __init__(self, raw: socket.SocketIO, own: socket.socket, limits: Limits, end: float):
        self._raw, self._own, self._limits, self._end = raw, own, limits, end
        self._wait, self._bytes = own.gettimeout() or limits.picture_seconds, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:
        self._own.settimeout(min(self._wait, _left(self._limits, self._end)))
        try:
            count = self._raw.readinto(buffer)
        except TimeoutError:
            _left(self._limits, self._end)  # says which limit it was
            raise
        self._bytes += count or 0
        if self._bytes > self._limits.max_bytes:
            raise RefusedError(TOO_LARGE)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _LimitedResponse(http.client.HTTPResponse):
    def __init__(self, own: socket.socket, *args, limits: Limits, end: float, **kwargs):
        super().__init__(own, *args, **kwargs)
        self.fp = io.BufferedReader(_LimitedReader(self.fp.detach(), own, limits, end))


class _Limited:
    """Handler of http and https whose connections keep the limits."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits

    def _open(self, kind: type, request: urllib.request.Request) -> http.client.HTTPResponse:
        # A redirect inherits the end, see _Redirects.
        if not hasattr(request, "end"):
            request.end = time.time() + self._limits.picture_seconds
        kept = {"limits": self._limits, "end": request.end}

        def build(host: str, **kwargs) -> http.client.HTTPConnection:
            connection = kind(host, **kwargs)
            connection._create_connection = functools.partial(connect, **kept)
            connection.response_class = functools.partial(_LimitedResponse, **kept)
            return connection

        response = self.do_open(build, request)
        # Else room for all that is announced would be made before the first byte is read.
        if (response.length or 0) > self._limits.max_bytes:
            response.close()
            raise RefusedError(TOO_LARGE)
        return response


class _HTTP(_Limited, urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self._open(http.client.HTTPConnection, request)


class _HTTPS(_Limited, urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self._open(http.client.HTTPSConnection, request)


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = MAX_REDIRECTS
    max_repeats = 2

    def redirect_request(self, request, *args):
        made = super().redirect_request(request, *args)
        if made is not None:
            made.end = request.end
        return made


def build_opener(limits: Limits) -> urllib.request.OpenerDirector:
    """An opener that keeps the limits and knows http and https alone; proxies are not used."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        _HTTP(limits),
        _HTTPS(limits),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _settle(settings: dict) -> None:
    """Make this process keep the limits, and end with the one that started it."""
    urllib.request.install_opener(build_opener(Limits(**settings["limits"])))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


# img2dataset fetches in processes of its own, which read this file under the second name.
if __name__ in ("__main__", "__mp_main__"):
    SETTINGS = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    _settle(SETTINGS)

if __name__ == "__main__":
    from img2dataset import download

    download(**SETTINGS["img2dataset"])
