"""How a large object is made of what the target has of it, so that only the rest is sent.

S3 makes an object of parts, and a part can be a range of an object that is there. Each part but the
last must have 5 MiB, so what is sent before such a range takes some of its bytes along.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

LEAST = 5 << 20  # bytes of a part that isn't the last
MOST = 512 << 20  # bytes of a part, of which S3 allows ten times as many
BLOCK = 1 << 20

Pieces = list[tuple[str, int]]


@dataclass(slots=True)
class Part:
    """Bytes ``start`` to ``end`` of a file, which the target holds from ``source`` on, or not."""

    start: int
    end: int
    source: int | None

    @property
    def size(self) -> int:
        return self.end - self.start

    def blocks(self, file: IO[bytes]) -> Iterator[bytes]:
        """The part's bytes; OSError when the file has become shorter."""
        file.seek(self.start)
        left = self.size
        while left:
            block = file.read(min(BLOCK, left))
            if not block:
                raise FileNotFoundError(f"{file.name} is being replaced")
            yield block
            left -= len(block)


def plan(old: Pieces, new: Pieces, size: int) -> list[Part] | None:
    """The parts of a file of ``size`` bytes made of ``new``, where ``old`` are there.

    None when copying would not spare half of the file.
    """
    parts = _lawful(_runs(old, new, size))
    sent = sum(part.size for part in parts if part.source is None)
    return [piece for part in parts for piece in _cut(part)] if sent <= size // 2 else None


def etag(file: IO[bytes], parts: list[Part]) -> str:
    """The etag of an object of these parts: MD5 of the parts' MD5s, and how many."""
    whole = hashlib.md5(usedforsecurity=False)
    for part in parts:
        md5 = hashlib.md5(usedforsecurity=False)
        for block in part.blocks(file):
            md5.update(block)
        whole.update(md5.digest())
    return f"{whole.hexdigest()}-{len(parts)}"


def _runs(old: Pieces, new: Pieces, size: int) -> list[Part]:
    """What is there in stretches as long as can be, and what isn't."""
    there, at = {}, 0
    for name, length in old:
        there[name, length] = at
        at += length
    runs: list[Part] = []
    at = 0
    for name, length in new:
        source = there.get((name, length))
        _add(runs, Part(at, at + length, source))
        at += length
    _add(runs, Part(at, size, None))
    return runs


def _add(runs: list[Part], part: Part) -> None:
    last = runs[-1] if runs else None
    if not part.size:
        return
    if last and (
        last.source is None
        if part.source is None
        else last.source is not None and last.source + last.size == part.source
    ):
        last.end = part.end
    else:
        runs.append(part)


def _lawful(runs: list[Part]) -> list[Part]:
    """The same so that each part but the last has the least size."""
    found: list[Part] = []
    for run in runs:
        if run.source is not None:
            if found and found[-1].source is None and found[-1].size < LEAST:
                taken = min(LEAST - found[-1].size, run.size)
                found[-1].end += taken
                run = Part(run.start + taken, run.end, run.source + taken)
            if run.size < LEAST:
                run = Part(run.start, run.end, None)
        _add(found, run)
    return found


def _cut(part: Part) -> Iterator[Part]:
    """Parts of no more than the most bytes, alike in size."""
    count = -(-part.size // MOST)
    for n in range(count):
        start, end = part.size * n // count, part.size * (n + 1) // count
        source = None if part.source is None else part.source + start
        yield Part(part.start + start, part.start + end, source)
