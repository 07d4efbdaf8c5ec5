"""A web server for one's own machine: what a static host does, with the originals beside it.

Serves a site's folder with byte ranges and CORS, and ``/<accession>/files/v<N>/<path>`` from the
vault for exactly the files that the study's public file lists name. For the public internet use a
real web server or ``snakemake publish``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import sys
import threading
from collections.abc import Callable
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote_to_bytes, urlsplit

from slidebox.catalogue import evicted, listing
from slidebox.catalogue.media import ZARR_METADATA, media_type

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range, If-Range, If-None-Match, Content-Type",
    "Access-Control-Expose-Headers": (
        "Accept-Ranges, Content-Length, Content-Range, Content-Type, ETag, Last-Modified"
    ),
    "Access-Control-Max-Age": "86400",
}
# What strangers sent is never shown by a browser, only saved.
_ORIGINAL_HEADERS = {
    "Content-Type": "application/octet-stream",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
_BLOCK = 1 << 20
_ORIGINAL = re.compile(
    r"^/([A-Za-z0-9][A-Za-z0-9-]{0,63}|review/[0-9a-f]{32})/files/v([1-9][0-9]*)/(.+)$", re.S
)


class RangeNotSatisfiable(Exception):
    """No byte of the file is in what was asked for."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The one range of a ``Range`` header as (first, last), both included.

    None means: send the whole file, as RFC 9110 says for a header that isn't understood, and
    allows for several ranges. Raises RangeNotSatisfiable when the range lies outside.
    """
    if not header:
        return None
    match = re.fullmatch(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", header, re.I)
    if not match or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = int(match[2])
        if length == 0 or size == 0:
            raise RangeNotSatisfiable
        return max(0, size - length), size - 1
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < first:
        return None
    if first >= size:
        raise RangeNotSatisfiable
    return first, last


class Originals:
    """Which files of the vault are public, as the studies' file lists say."""

    def __init__(self, public: Path, vault: Any) -> None:
        self._public, self._vault = public, vault
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple, set[tuple[str, int]]]] = {}

    def open(self, home: str, version: int, path: str) -> BinaryIO | None:
        """An open handle on a listed file's bytes, else None; ``home`` is the study's folder."""
        if self._vault is None or (path, version) not in self._listed(home):
            return None
        accession = home
        if home.startswith("review/"):
            accession = json.loads((self._public / home / "study.json").read_bytes())["accession"]
        try:
            return self._vault.open(accession, path, version)
        except (LookupError, OSError, ValueError):
            return None

    def _listed(self, home: str) -> set[tuple[str, int]]:
        folder = self._public / home
        tables = sorted([folder / "files.tsv", *folder.glob("v[0-9]*/files.tsv")])
        stamps = tuple(
            (str(t), s.st_mtime_ns, s.st_size) for t in tables if t.is_file() and (s := t.stat())
        )
        with self._lock:
            known = self._known.get(home)
            if known is None or known[0] != stamps:
                rows = {
                    (row["path"], row["version"])
                    for name, _, _ in stamps
                    for row in listing.read_table(Path(name))
                }
                known = self._known[home] = (stamps, rows)
            return known[1]


def make_server(
    public: Path | str, vault: Any = None, host: str = "127.0.0.1", port: int = 8000
) -> ThreadingHTTPServer:
    """A server that isn't running yet; ``server_address`` says its port (0 asks for a free one).

    Parameters
    ----------
    public : the site's folder.
    vault : a :class:`slidebox.vault.Vault`, or None when there are no originals to serve.
    """
    public = Path(public).resolve(strict=True)
    originals = Originals(public, vault)

    class Handler(_Handler):
        pass

    Handler.public, Handler.originals = public, originals
    return _Server((host, port), Handler)


def serve(
    public: Path | str,
    vault: Any = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until interrupted. ``ready`` is called with the address once it listens."""
    with make_server(public, vault, host, port) as server:
        if ready:
            shown = f"[{host}]" if ":" in host else host
            ready(f"http://{shown}:{server.server_address[1]}/")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.2)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A viewer opens many connections at once; the default backlog of 5 makes some of them wait.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader who went away is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "slidebox"
    sys_version = ""
    timeout = 60
    # Headers and body are two writes: the second would wait 40 ms for the first to be acknowledged.
    disable_nagle_algorithm = True
    public: Path
    originals: Originals

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: a viewer asks for hundreds of tiles."""

    def do_OPTIONS(self) -> None:
        self.send_response(HTTPStatus.NO_CONTENT)
        self._send_headers({**_CORS, "Allow": "GET, HEAD, OPTIONS"})
        self.end_headers()

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        raw = urlsplit(self.path).path
        path = os.fsdecode(unquote_to_bytes(raw))
        if match := _ORIGINAL.match(path):
            original = self.originals.open(match[1], int(match[2]), match[3])
            if original is None:
                return self._error(HTTPStatus.NOT_FOUND, "No such file in this study.", body)
            name = match[3].rsplit("/", 1)[-1]
            headers = {
                **_ORIGINAL_HEADERS,
                "Content-Disposition": "attachment; filename*=UTF-8''"
                + quote(name, safe="", errors="surrogateescape"),
            }
            with original:
                return self._send_file(original, os.fstat(original.fileno()), headers, body)
        target = self._resolve(path)
        if target is None and (mark := self._evicted(path)):
            return self._elsewhere(mark, raw, body)
        if target is None:
            return self._error(HTTPStatus.NOT_FOUND, "There is no such page here.", body)
        if target.is_dir():
            if not raw.endswith("/"):
                # A path that begins with // would be read as another host.
                place = "/" + raw.strip("/") + "/"
                self.send_response(HTTPStatus.MOVED_PERMANENTLY)
                self._send_headers({**_CORS, "Location": place, "Content-Length": "0"})
                self.end_headers()
                return None
            target = target / "index.html"
            if not target.is_file():
                return self._error(HTTPStatus.NOT_FOUND, "There is no such page here.", body)
        return self._send_path(
            target, {"Content-Type": media_type(target.name), "Cache-Control": "no-cache"}, body
        )

    def _resolve(self, path: str) -> Path | None:
        """The file or folder of the site that a path names; None for whatever isn't part of it."""
        parts = [p for p in path.split("/") if p]
        hidden = (p for p in parts if p.startswith(".") and p not in ZARR_METADATA)
        if any(hidden) or any("\0" in p or "\\" in p for p in parts):
            return None
        target = self.public.joinpath(*parts)
        try:
            real = target.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            return None
        # A link inside the site may not lead out of it.
        return real if real == self.public or self.public in real.parents else None

    def _evicted(self, path: str) -> dict[str, Any] | None:
        """What is known of the image that a path lies in, when it is only in the bucket."""
        prefix = evicted.tree_prefix(path.lstrip("/"))
        if prefix is None or ".." in path.split("/"):
            return None
        return evicted.mark_of(self.public / prefix.rstrip("/"))

    def _elsewhere(self, mark: dict[str, Any], raw: str, body: bool) -> None:
        if not mark["url"]:
            said = f"This image was taken off this disk; it is at {mark['address']}"
            return self._error(HTTPStatus.NOT_FOUND, said, body)
        _, _, rest = raw.partition(".ome.zarr/")
        self.send_response(HTTPStatus.TEMPORARY_REDIRECT)
        place = {"Location": f"{mark['url']}/{rest}", "Content-Length": "0"}
        self._send_headers({**_CORS, **place})
        self.end_headers()

    def _send_path(self, path: Path, headers: dict[str, str], body: bool) -> None:
        try:
            handle = path.open("rb")
        except OSError:
            return self._error(HTTPStatus.NOT_FOUND, "There is no such page here.", body)
        with handle:
            info = os.fstat(handle.fileno())
            if not stat.S_ISREG(info.st_mode):
                return self._error(HTTPStatus.NOT_FOUND, "There is no such page here.", body)
            self._send_file(handle, info, headers, body)

    def _send_file(
        self, handle: BinaryIO, info: os.stat_result, headers: dict[str, str], body: bool
    ) -> None:
        etag = f'"{info.st_mtime_ns:x}-{info.st_size:x}"'
        modified = formatdate(info.st_mtime, usegmt=True)
        shared = {
            **_CORS,
            **headers,
            "Accept-Ranges": "bytes",
            "ETag": etag,
            "Last-Modified": modified,
            "X-Content-Type-Options": "nosniff",
        }
        if self._unchanged(etag, info.st_mtime):
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self._send_headers(shared)
            self.end_headers()
            return
        wanted = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if condition and condition not in (etag, modified):
            wanted = None
        try:
            span = parse_range(wanted, info.st_size)
        except RangeNotSatisfiable:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            extra = {"Content-Range": f"bytes */{info.st_size}", "Content-Length": "0"}
            self._send_headers({**shared, **extra})
            self.end_headers()
            return
        first, last = span or (0, info.st_size - 1)
        length = last - first + 1
        self.send_response(HTTPStatus.PARTIAL_CONTENT if span else HTTPStatus.OK)
        if span:
            shared["Content-Range"] = f"bytes {first}-{last}/{info.st_size}"
        self._send_headers({**shared, "Content-Length": str(length)})
        self.end_headers()
        if not body:
            return
        handle.seek(first)
        try:
            while length > 0 and (block := handle.read(min(_BLOCK, length))):
                self.wfile.write(block)
                length -= len(block)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the reader went away; that is its right

    def _unchanged(self, etag: str, modified: float) -> bool:
        if tags := self.headers.get("If-None-Match"):
            return etag in (t.strip().removeprefix("W/") for t in tags.split(",")) or tags == "*"
        if since := self.headers.get("If-Modified-Since"):
            try:
                return int(modified) <= parsedate_to_datetime(since).timestamp()
            except (TypeError, ValueError):
                return False
        return False

    def _error(self, status: HTTPStatus, message: str, body: bool) -> None:
        data = (message + "\n").encode()
        self.send_response(status)
        self._send_headers(
            {
                **_CORS,
                "Content-Type": "text/plain; charset=utf-8",
                "Content-Length": str(len(data)),
                "X-Content-Type-Options": "nosniff",
            }
        )
        self.end_headers()
        if body:
            self.wfile.write(data)

    def _send_headers(self, headers: dict[str, str]) -> None:
        for name, value in headers.items():
            self.send_header(name, value)
