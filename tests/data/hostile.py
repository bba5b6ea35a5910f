"""A web server on the loopback that answers as badly as the web does."""

import contextlib
import io
import select
import threading
import time
import zipfile
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image, ImageDraw, ImageOps

ORIENTATION = 0x0112
# Seconds without a byte, of those who wait so long; a drip takes minutes.
STALLED = 60
TURNED_BY = {  # the transposition whose inverse each EXIF orientation asks for
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def upright(text, size=(96, 64)):
    """A picture with a text and a mark in one corner."""
    picture = Image.new("RGB", size, (250, 240, 200))
    draw = ImageDraw.Draw(picture)
    draw.text((10, 24), text, fill=(20, 20, 120), font_size=20)
    draw.rectangle((0, 0, 20, 10), fill=(200, 30, 30))
    return picture


def encoded(picture, form="JPEG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()


def turned(picture, orientation):
    """A JPEG whose pixels are turned, and whose EXIF data say how to turn them back."""
    how = TURNED_BY[orientation]
    pixels = picture if how is None else picture.transpose(how)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert ImageOps.exif_transpose(picture).size == picture.size
    return encoded(pixels, quality=95, exif=exif)


def _png(width, height, *chunks):
    """A PNG of one bit a pixel, of any further chunks."""

    def chunk(kind, content):
        crc = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + crc

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((1, 0, 0, 0, 0))
    parts = [(b"IHDR", header), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def _zeros(count):
    """So many bytes of 0, a thousandth of that deflated."""
    packer = zlib.compressobj(9)
    pieces = [packer.compress(bytes(min(2**20, count - at))) for at in range(0, count, 2**20)]
    return b"".join(pieces) + packer.flush()


def huge_png(width, height):
    """A PNG of one grey value: a few kilobytes that decode to width x height pixels."""
    return _png(width, height, (b"IDAT", _zeros(height * (1 + (width + 7) // 8))))


def stuffed_png(kind, size=400_000_000):
    """A PNG of 80 x 60 pixels whose chunk of this kind inflates to so many bytes."""
    body = _zeros(60 * 11)
    stuffing = _zeros(size)
    told = {
        "IDAT": [(b"IDAT", stuffing)],
        "zTXt": [(b"zTXt", b"Comment\0\0" + stuffing), (b"IDAT", body)],
        "iTXt": [(b"iTXt", b"Comment\0\1\0\0\0" + stuffing), (b"IDAT", body)],
        "iCCP": [(b"iCCP", b"profile\0\0" + stuffing), (b"IDAT", body)],
    }
    return _png(80, 60, *told[kind])


def zip_bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x", bytes(50_000_000))
    return buffer.getvalue()


def pictures(number):
    """Good pictures, among them every kind that has to be made alike; name to bytes."""
    made = {f"good{i}": encoded(upright(f"n {i}")) for i in range(number)}
    made |= {f"turned{o}": turned(upright("F up"), o) for o in range(1, 9)}
    grey = np.linspace(0, 65535, 64 * 96).reshape(64, 96).astype(np.uint16)
    frames = [upright(str(i)).quantize() for i in range(3)]
    made["png"] = encoded(upright("png"), "PNG")
    made["webp"] = encoded(upright("webp"), "WEBP", lossless=True)
    made["alpha"] = encoded(upright("alpha").convert("RGBA"), "PNG")
    made["cmyk"] = encoded(upright("cmyk").convert("CMYK"))
    made["deep"] = encoded(Image.fromarray(grey), "PNG")
    made["animated"] = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    made["wide"] = encoded(upright("wide", (3000, 1500)))
    return made


class Server:
    """Serves ``/KIND/NAME``; counts what it is asked for.

    A KIND of ``ok`` sends the picture NAME, the others fail in their own way. While ``away`` it
    closes every connection without a word; until ``come`` is called, one that is not ``here``
    refuses them. ``published`` are further files, by path; ``held`` says of each answer that is
    slow its KIND and how many seconds the other side waited for it.
    """

    def __init__(self, files, published=(), here=True):
        self.files, self.asked, self.away, self.stopped = files, Counter(), False, False
        self.published, self.held = dict(published), []
        whole = files["good0"]
        self.bodies = {
            "half": whole[: len(whole) * 4 // 5],
            "corrupt": b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8,
            "html": b"<html><body>no picture here</body></html>",
            "bomb": zip_bomb(),
            "huge": huge_png(20_000, 20_000),
            "stuffed": stuffed_png("zTXt", 100_000_000),
            "empty": b"",
            "pixel": encoded(Image.new("RGB", (1, 40)), "PNG"),
            "fat": bytes(3_000_000),
        }
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked[self.path] += 1
                if self.path in outer.published:
                    content = outer.published[self.path]
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                    return
                _, kind, name = self.path.split("/")
                if outer.away:
                    self.close_connection = True
                    return
                with contextlib.suppress(OSError):  # the other side has hung up
                    outer.answer(self, kind, name)

            def do_HEAD(self):
                self.send_response(200 if self.path in outer.published else 404)
                self.end_headers()

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

        self.http = Quiet(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.http.server_bind()
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.here = False
        if here:
            self.come()

    def come(self):
        self.here = True
        self.http.server_activate()
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.stopped = True
        if self.here:
            self.http.shutdown()
        self.http.server_close()

    def answer(self, to, kind, name):
        if kind in ("403", "404", "410"):
            return to.send_error(int(kind))
        if kind == "flaky" and self.asked[to.path] == 1:
            return to.send_error(503)
        if kind in ("loop", "moved"):
            to.send_response(302)
            to.send_header("Location", f"/ok/{name}" if kind == "moved" else to.path)
            return to.end_headers()
        if kind == "outward":
            to.send_response(302)
            to.send_header("Location", "file:///etc/passwd")
            return to.end_headers()
        if kind == "stall":
            return self._hold(to, kind, [b""] * 2 * STALLED)
        body = self.files[name] if kind not in self.bodies else self.bodies[kind]
        to.send_response(200)
        to.send_header("Content-Type", "image/jpeg")
        if kind == "optout":
            to.send_header("X-Robots-Tag", "noai")
        announced = {"cut": len(body) + 999, "announced": 10**13}.get(kind, len(body))
        to.send_header("Content-Length", str(announced))
        to.end_headers()
        if kind == "drip":
            return self._hold(to, kind, [bytes((byte,)) for byte in body])
        to.wfile.write(body)
        return None

    def _hold(self, to, kind, drops):
        """Send a drop each half second until none is left, or the other side hangs up."""
        start, gone = time.time(), False
        try:
            for i, drop in enumerate(drops):
                to.wfile.write(drop)
                while time.time() < start + (i + 1) / 2 and not gone and not self.stopped:
                    # A side that waits says nothing more; all that can be read of it is its end.
                    gone = bool(select.select([to.connection], [], [], 0.05)[0])
                if gone or self.stopped:
                    break
        finally:
            self.held.append((kind, time.time() - start))
