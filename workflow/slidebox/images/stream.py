"""The one pass: bands of the source go in, every level's chunks come out, each proven once written.

Rows of chunks are the unit of work. A row is cut into chunks, these are compressed (by the
threads), appended to their shards in order (by the caller alone: a shard has one owner), read back
from the file, decompressed and compared, by their digests, with what was read. Then the row is
halved into the next level.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xxhash

from . import journal as journals
from .model import Series
from .plan import LevelPlan, Plan, Recipe
from .reduce import Mean, Mode
from .shards import Codec, Grid, Shard

_CLOSING = 8  # files that may wait to be durable


class DamagedOutput(RuntimeError):
    """What was written isn't what was read: a fault of disk or memory. Nothing is published."""


class Crew:
    """Threads that compress and prove, and the caller, who helps when he would wait.

    With one thread there are no others: tasks run where they are asked for. ``disk`` only waits
    until files are durable.
    """

    def __init__(self, threads: int) -> None:
        self.pool = ThreadPoolExecutor(threads - 1, "slidebox") if threads > 1 else None
        self.disk = ThreadPoolExecutor(1, "slidebox-disk")

    def start(self, task: Callable, *args) -> Task:
        return Task(self.pool.submit(task, *args) if self.pool else None, task, args)

    def close(self) -> None:
        if self.pool:
            self.pool.shutdown(wait=True, cancel_futures=True)
        self.disk.shutdown(wait=True)


@dataclass(slots=True)
class Task:
    future: Future | None
    task: Callable
    args: tuple

    def result(self):
        if self.future is None or self.future.cancel():  # not begun: do it here instead of waiting
            return self.task(*self.args)
        return self.future.result()


@dataclass(slots=True)
class _Row:
    """A row of chunks on its way: first compressed, then proven."""

    level: int
    nbytes: int
    chunks: list[tuple[int, ...]]
    tasks: list[Task]


@dataclass(slots=True)
class _Packed:
    """A compressed chunk; of only zeros: None. Of level 0 also its pixels' digest and range."""

    data: bytes | None
    digest: bytes = b""
    span: tuple[float, float] | None = None


@dataclass(slots=True)
class Facts:
    """What was seen of the pixels on the way."""

    planes: dict[tuple[int, int, int], bytes] = field(default_factory=dict)
    """XXH3-128 of each plane (t, c, z) as read: C order, little-endian."""
    low: list[float | None] = field(default_factory=list)
    high: list[float | None] = field(default_factory=list)
    samples: list[list[np.ndarray]] = field(default_factory=list)
    """Per channel: values of the smallest level, thinned, for percentiles."""
    labels: dict[int, int] = field(default_factory=dict)
    """Label images: pixels per value."""
    md5: dict[str, str] = field(default_factory=dict)
    """Of files as they were written, by path in the image's folder."""


class Pyramid:
    """Takes bands in order of t, c, z, y and writes all levels. ``close`` when all are in."""

    def __init__(
        self,
        series: Series,
        plan: Plan,
        recipe: Recipe,
        folder: Path,
        crew: Crew,
        *,
        labels: bool = False,
        prove: bool = True,
        checksum: bool = True,
    ) -> None:
        self.series, self.plan, self.folder, self.crew = series, plan, folder, crew
        self.labels, self.prove, self.checksum = labels, prove, checksum
        self.codec = Codec(series.dtype, recipe)
        self.reduce = Mode(series.dtype) if labels else Mean(series.dtype)
        self.grids = [
            Grid(level, series.axes, folder / level.path, recipe.ngff) for level in plan.levels
        ]
        self.open: list[dict[tuple[int, ...], Shard]] = [{} for _ in plan.levels]
        self.files: list[Path] = []
        self.pending = [_Rows(level) for level in plan.levels]
        self.slabs: list[dict[int, np.ndarray]] = [{} for _ in plan.levels]
        """Volumes: rows of chunks, by their number, whose chunks aren't deep enough yet."""
        self.held: list[dict[int, tuple]] = [{} for _ in plan.levels]
        self.queue: deque[_Row] = deque()
        self.closing: deque[Future] = deque()
        count = plan.levels[0].shape[1]
        self.facts = Facts(
            low=[None] * count, high=[None] * count, samples=[[] for _ in range(count)]
        )
        self.hashes: list[xxhash.xxh3_128] = []
        last = plan.levels[-1].shape
        self.keep_every = max(1, last[0] * last[2] * last[3] * last[4] // 2_000_000)

    def feed(self, t: int, group: int, z: int, y0: int, band: np.ndarray) -> None:
        """Rows y0 onwards of one plane, (samples, rows, columns); the bands of a plane in order."""
        c = group * self.series.samples
        last = y0 + band.shape[1] == self.plan.levels[0].shape[3]
        if y0 == 0:
            self.hashes = [xxhash.xxh3_128() for _ in range(band.shape[0])]
        for s, rows in enumerate(band):
            rows = np.ascontiguousarray(rows)
            self.hashes[s].update(rows.view(np.uint8).reshape(-1) if rows.size else b"")
            if last:
                self.facts.planes[t, c + s, z] = self.hashes[s].digest()
        self._rows(0, t, group, z, y0, band)

    def close(self) -> None:
        self._drain()
        for number, shards in enumerate(self.open):
            if shards:
                raise DamagedOutput(f"level {number} has unfinished shards {sorted(shards)[:3]}")

    def _drain(self) -> None:
        while self.queue:
            self._finish(self.queue.popleft())
        while self.closing:
            self.closing.popleft().result()

    def state(self) -> dict:
        """All that is needed to go on from here in another process; shards are on disk after it."""
        self._drain()
        facts = self.facts
        facts.samples = [[np.concatenate(s)] if s else [] for s in facts.samples]
        for shards in self.open:
            for shard in shards.values():
                shard.sync()
        return {
            "open": [{w: s.state() for w, s in shards.items()} for shards in self.open],
            "files": [str(path.relative_to(self.folder)) for path in self.files],
            "pending": [(p.buffer, p.filled, p.bytes) for p in self.pending],
            "held": self.held,
            "slabs": self.slabs,
            "facts": [getattr(self.facts, name) for name in Facts.__slots__],
        }

    def fits(self, state: dict) -> bool:
        """Whether the shards that a state speaks of are there."""
        sizes = {self.folder / name: 0 for name in state["files"]}
        for grid, states in zip(self.grids, state["open"], strict=True):
            sizes |= {grid.path(where): kept[1] for where, kept in states.items() if kept[1]}
        return all(p.is_file() and p.stat().st_size >= size for p, size in sizes.items())

    def restore(self, state: dict) -> None:
        """Go on from a state. Files that it doesn't know are removed: they were begun after it."""
        self.files = [self.folder / name for name in state["files"]]
        keep = set(self.files)
        for grid, shards, states in zip(self.grids, self.open, state["open"], strict=True):
            for where, kept in states.items():
                shards[where] = grid.new_shard(where)
                keep.add(shards[where].path)
                shards[where].restore(kept)
        for level in self.plan.levels:
            for path in sorted((self.folder / level.path).rglob("*")):
                if path.is_file() and path not in keep:
                    path.unlink()
        for pending, (buffer, filled, size) in zip(self.pending, state["pending"], strict=True):
            pending.buffer, pending.filled, pending.bytes = buffer, filled, size
        self.held, self.slabs = state["held"], state["slabs"]
        for name, value in zip(Facts.__slots__, state["facts"], strict=True):
            setattr(self.facts, name, value)

    def rehash(self, y0: int, band: np.ndarray) -> None:
        """Rows of an unfinished plane that an earlier process has fed already."""
        if y0 == 0:
            self.hashes = [xxhash.xxh3_128() for _ in range(band.shape[0])]
        for s, rows in enumerate(band):
            self.hashes[s].update(np.ascontiguousarray(rows).view(np.uint8).reshape(-1))

    def abandon(self) -> None:
        """Let go of open files after an error; what is on disk is the caller's to remove."""
        for future in [task.future for row in self.queue for task in row.tasks] + [*self.closing]:
            if future is not None and not future.cancel():
                future.exception()
        self.queue.clear()
        self.closing.clear()
        for shards in self.open:
            for shard in shards.values():
                shard.abandon()
            shards.clear()

    # ------------------------------------------------------------ rows of chunks

    def _rows(self, number: int, t: int, group: int, z: int, y0: int, band: np.ndarray) -> None:
        for row, rows in self.pending[number].add(y0, band):
            self._emit(number, t, group, z, row, rows)
            if number + 1 < len(self.plan.levels):
                self._halve(number, t, group, z, row, rows)

    def _halve(self, number: int, t: int, group: int, z: int, row: int, rows: np.ndarray) -> None:
        level, below = self.plan.levels[number], self.plan.levels[number + 1]
        halve_z, halve_y, halve_x = below.halved
        y0 = row * level.chunk[3]
        y0 = y0 // 2 if halve_y else y0
        if not halve_z:
            self._rows(number + 1, t, group, z, y0, self.reduce.plane(rows, halve_y, halve_x))
            return
        held = self.held[number]
        if z % 2 == 0:
            held[row] = self.reduce.begin(rows, halve_y, halve_x)
            if z + 1 < level.shape[2]:
                return
            half = self.reduce.end(held.pop(row), None, halve_y, halve_x)
        else:
            half = self.reduce.end(held.pop(row), rows, halve_y, halve_x)
        self._rows(number + 1, t, group, z // 2, y0, half)

    def _emit(self, number: int, t: int, group: int, z: int, row: int, rows: np.ndarray) -> None:
        level = self.plan.levels[number]
        if number == len(self.plan.levels) - 1 and not self.labels:
            for s, plane in enumerate(rows):
                c = group * self.series.samples + s
                self.facts.samples[c].append(plane.reshape(-1)[:: self.keep_every].copy())
        if self.labels and number == 0:
            self._count(rows)
        slab = self._slab(number, z, row, rows)
        if slab is None:
            return
        wide, deep = level.chunk[4], level.chunk[2]
        c = group * self.series.samples
        chunks = []
        for s in range(slab.shape[0]):
            for column in range(-(-level.shape[4] // wide)):
                part = slab[s, :, :, column * wide : (column + 1) * wide]
                chunks.append(((t, c + s, z // deep, row, column), part))
        tasks = [self.crew.start(self._compress, level, part) for _, part in chunks]
        self.queue.append(_Row(number, slab.nbytes, [chunk for chunk, _ in chunks], tasks))
        waiting = sum(r.nbytes for r in self.queue)
        while self.queue and waiting > self.plan.in_flight * max(
            self.pending[0].bytes, slab.nbytes
        ):
            waiting -= self.queue[0].nbytes
            self._finish(self.queue.popleft())

    def _slab(self, number: int, z: int, row: int, rows: np.ndarray) -> np.ndarray | None:
        """Rows of chunks as deep as their chunks, (samples, planes, rows, columns); None: not yet.

        They are collected where a chunk is deeper than a plane.
        """
        level = self.plan.levels[number]
        deep = level.chunk[2]
        if deep == 1:
            return rows[:, None]
        inside = z % deep
        slab = self.slabs[number].get(row)
        if slab is None:
            count = min(deep, level.shape[2] - z)
            slab = np.empty((rows.shape[0], count, *rows.shape[1:]), rows.dtype)
            self.slabs[number][row] = slab
        slab[:, inside] = rows
        return self.slabs[number].pop(row) if inside + 1 == slab.shape[1] else None

    def _compress(self, level: LevelPlan, part: np.ndarray) -> _Packed:
        # all that looks at a chunk does so at once, while it is in the cache
        chunk = self.codec.gather(part, level.chunk[2:])
        span, digest = None, b""
        if level.index == 0:
            span = self._range(chunk[tuple(slice(n) for n in part.shape)])
        if not _any(chunk):
            return _Packed(None, span=span)
        if level.index == 0 and self.prove:
            digest = xxhash.xxh3_128_digest(chunk.reshape(-1).view(np.uint8))
        return _Packed(self.codec.encode(chunk), digest, span)

    def _finish(self, job: _Row) -> None:
        """Append a row's chunks in order, then prove level 0's by reading them back."""
        grid, shards = self.grids[job.level], self.open[job.level]
        written: list[tuple[Shard, bytes]] = []
        proofs = []
        for chunk, task in zip(job.chunks, job.tasks, strict=True):
            packed = task.result()
            if packed.span is not None:
                self._widen(chunk[1], *packed.span)
            where = grid.shard_of(chunk)
            shard = shards.get(where)
            if shard is None:
                shard = shards[where] = grid.new_shard(where)
                shard.md5 = shard.md5 if self.checksum else None
            place = shard.append(grid.number_in_shard(chunk), packed.data)
            if place is not None:
                written.append((shard, packed.data))
                if packed.digest:
                    proofs.append((shard, place, chunk, packed.digest))
        checks = [self.crew.start(_sum, written)] if self.checksum else []
        checks += [self.crew.start(self._prove, *proof) for proof in proofs]
        for check in reversed(checks):  # another thread begins with the first
            check.result()
        for where in [w for w, s in shards.items() if s.complete]:
            shard = shards.pop(where)
            if shard.seal():
                self.files.append(shard.path)
                if shard.md5 is not None:
                    name = shard.path.relative_to(self.folder).as_posix()
                    self.facts.md5[name] = shard.md5.hexdigest()
                self.closing.append(self.crew.disk.submit(shard.close))
                if len(self.closing) > _CLOSING:
                    self.closing.popleft().result()

    def _prove(self, shard: Shard, place: tuple[int, int], chunk, digest: bytes) -> None:
        size = math.prod(self.plan.levels[0].chunk) * self.codec.dtype.itemsize
        stored = self.codec.decode_bytes(shard.read(place), size)
        if xxhash.xxh3_128_digest(stored) != digest:
            raise DamagedOutput(f"chunk {chunk} of {shard.path} is not what was read")

    # ------------------------------------------------------------ facts

    def _range(self, part: np.ndarray) -> tuple[float, float] | None:
        """The least and the largest finite value; None where that has no sense or there is none."""
        if self.labels or part.dtype.kind not in "buif":
            return None
        low, high = part.min(), part.max()
        if part.dtype.kind == "f" and not (np.isfinite(low) and np.isfinite(high)):
            finite = part[np.isfinite(part)]
            if not finite.size:
                return None
            low, high = finite.min(), finite.max()
        return low.item(), high.item()

    def _widen(self, c: int, low: float, high: float) -> None:
        facts = self.facts
        facts.low[c] = low if facts.low[c] is None else min(facts.low[c], low)
        facts.high[c] = high if facts.high[c] is None else max(facts.high[c], high)

    def _count(self, rows: np.ndarray) -> None:
        values, counts = np.unique(rows, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            if value:
                self.facts.labels[value] = self.facts.labels.get(value, 0) + count


class _Rows:
    """Collects bands of any height into rows of chunks."""

    def __init__(self, level: LevelPlan) -> None:
        self.height, self.tall = level.shape[3], level.chunk[3]
        self.buffer: np.ndarray | None = None
        self.filled = 0
        self.bytes = 0

    def add(self, y0: int, band: np.ndarray):
        """Yields (number of the row of chunks, its rows) for each that is whole."""
        self.bytes = max(self.bytes, band.shape[0] * self.tall * band.shape[2] * band.itemsize)
        at = 0
        while at < band.shape[1]:
            y = y0 + at
            row, inside = divmod(y, self.tall)
            need = min(self.tall, self.height - row * self.tall)
            take = min(need - inside, band.shape[1] - at)
            if inside == 0 and take == need:
                yield row, band[:, at : at + take]  # whole already: no copy
            else:
                if inside == 0:
                    self.buffer = np.empty((band.shape[0], need, band.shape[2]), band.dtype)
                self.buffer[:, inside : inside + take] = band[:, at : at + take]
                if inside + take == need:
                    done, self.buffer = self.buffer, None
                    yield row, done
            at += take


def _any(part: np.ndarray) -> bool:
    """Whether a chunk holds anything but the fill value's bits (-0.0 isn't 0.0)."""
    # nearly always, and a row is soon looked at
    return bool(part[0, 0].any() or _bits(part).any())


def _sum(written: list[tuple[Shard, bytes]]) -> None:
    for shard, data in written:
        shard.sum(data)


def _bits(part: np.ndarray) -> np.ndarray:
    """The same bytes as whole numbers, as wide as a row allows: fewer of them to look at."""
    if part.strides[-1] != part.itemsize:
        part = np.ascontiguousarray(part)
    row = part.shape[-1] * part.itemsize
    return part.view(next(f"u{n}" for n in (8, 4, 2, 1) if row % n == 0))


def run(
    series: Series,
    plan: Plan,
    pyramid: Pyramid,
    *,
    ahead: bool = False,
    progress: Callable[[int, int], None] | None = None,
    journal: Callable[[dict], None] | None = None,
    every: float = 0.0,
    state: dict | None = None,
) -> None:
    """Read every plane of a series once, band by band, and feed it to a pyramid.

    ``ahead``: read the next band while this one is worked on. ``progress(done, total)`` in bytes.
    ``journal`` is given a state now and then (``every`` seconds); ``state`` is one to go on from:
    then only the earlier bands of the plane that it stands in are read again, for their digest.
    """
    total, done = series.nbytes, 0
    reader = ThreadPoolExecutor(1, "slidebox-read") if ahead and plan.ahead else None
    bands, fed = _bands(series, plan), 0
    if state is not None:
        pyramid.restore(state["pyramid"])
        for fed in range(1, state["bands"] + 1):  # noqa: B007  counts what is skipped
            here = next(bands)
            done += (here[4] - here[3]) * series.size("x") * series.dtype.itemsize * series.samples
            if here[:3] == state["plane"]:
                pyramid.rehash(here[3], series.read_samples(*here))
        if progress:
            progress(done, total)
    saved = time.monotonic()
    coming: Future | None = None
    try:
        following = next(bands, None)
        if reader and following:
            coming = reader.submit(series.read_samples, *following)
        while following:
            here = following
            band = coming.result() if coming is not None else series.read_samples(*here)
            following = next(bands, None)
            if reader and following:
                coming = reader.submit(series.read_samples, *following)
            t, group, z, y0, _ = here
            pyramid.feed(t, group, z, y0, band)
            done += band.nbytes
            del band
            fed += 1
            if progress:
                progress(done, total)
            if journal and following and time.monotonic() - saved > every:
                plane = following[:3] if following[3] else None
                began = time.monotonic()
                journal({"bands": fed, "plane": plane, "pyramid": pyramid.state()})
                saved = time.monotonic()
                every = max(every, (saved - began) * journals.PACE)
        pyramid.close()
    finally:
        if reader:
            reader.shutdown(wait=True, cancel_futures=True)


def _bands(series: Series, plan: Plan):
    height = series.size("y")
    for t in range(series.size("t")):
        for group in range(series.size("c") // series.samples):
            for z in range(series.size("z")):
                for y0 in range(0, height, plan.band):
                    yield t, group, z, y0, min(height, y0 + plan.band)
