"""A file at an address, read by range as if it were here."""

from __future__ import annotations

import io
import re
import urllib.error
import urllib.request

_TIMEOUT = 60
_AGENT = {"User-Agent": "slidebox-search"}


class RangedFile(io.RawIOBase):
    """A file on a web server, read only and seekable; each read is a request for a range.

    A server without ranges gives the whole file once, which is then held.
    Raises OSError when there is no such file.
    """

    def __init__(self, url: str) -> None:
        self._url, self._at, self._whole = url, 0, None
        with self._open("bytes=0-0") as answer:
            if answer.status == 206:
                total = re.fullmatch(r"bytes 0-0/(\d+)", answer.headers["Content-Range"] or "")
                if not total:
                    raise OSError(f"{url}: the server does not say how long the file is")
                self._size = int(total[1])
            else:
                self._whole = answer.read()
                self._size = len(self._whole)

    def _open(self, span: str):
        headers = {**_AGENT, "Range": span}
        return urllib.request.urlopen(
            urllib.request.Request(self._url, headers=headers), timeout=_TIMEOUT
        )

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        if self._whole is not None:
            data = self._whole[self._at : end]
        else:
            with self._open(f"bytes={self._at}-{end - 1}") as answer:
                data = answer.read()
            if len(data) != end - self._at:
                raise OSError(f"{self._url}: {len(data)} bytes came instead of {end - self._at}")
        buffer[: len(data)] = data
        self._at = end
        return len(data)
