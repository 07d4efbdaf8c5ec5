"""``meta/times.tsv``: when each file was last changed, and which folders were empty.

A line a file: path, tab, nanoseconds since 1970 UTC. An empty folder's path ends in ``/``. Tab,
newline, carriage return and backslash in a path are written with a backslash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

NAME = "times.tsv"

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_TABLE = str.maketrans(_ESCAPES)
_BACK = {value[1]: key for key, value in _ESCAPES.items()}


def escape(path: str) -> str:
    """A path on one line, without tabs."""
    return path.translate(_TABLE)


def unescape(text: str) -> str:
    """What `escape` was given; ValueError for what it can't have made."""
    if "\\" not in text:
        return text
    out, letters = [], iter(text)
    for letter in letters:
        if letter == "\\":
            letter = _BACK.get(next(letters, ""))
            if letter is None:
                raise ValueError(f"not an escaped path: {text!r}")
        out.append(letter)
    return "".join(out)


def dump(rows: Iterable[tuple[str, int]]) -> bytes:
    """The table's bytes, of (path, mtime_ns), sorted by path."""
    return "".join(f"{escape(path)}\t{time}\n" for path, time in sorted(rows)).encode()


def parse(data: bytes) -> Iterator[tuple[str, int]]:
    """(path, mtime_ns) of the table's bytes."""
    # not splitlines(): a path may hold other characters that Unicode counts as line ends
    for line in data.decode().split("\n"):
        if line:
            path, _, time = line.rpartition("\t")
            yield unescape(path), int(time)
