"""The one pass: bands of the source go in, every level's chunks come out, each proven once written.

Rows of chunks are the unit of work. A row is cut into chunks, these are compressed (by the
threads), appended to their shards in order (by the caller alone: a shard has one owner), read back
from the file and decompressed. Of both, the planes as the reader gave them and the planes as they
were read back, a digest is made; they must be equal. A row is halved into the next level.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xxhash

from . import journal as journals
from .crew import Crew, Task
from .model import Series
from .plan import LevelPlan, Plan, Recipe
from .reduce import Mean, Mode
from .shards import Codec, Grid, Shard

_CLOSING = 8  # files that may wait to be durable
_TASK = 2 << 20  # bytes of pixels in a task: handing one over costs as much as 10 kB compressed
_QUEUE = 8 << 20  # bytes of pixels that may wait, at least, to keep the threads busy
_HELD = (
    16 << 20
)  # bytes of a band beyond which nothing of it is kept when the next one is worked on


class DamagedOutput(RuntimeError):
    """What was written isn't what was read: a fault of disk or memory. Nothing is published."""


@dataclass(slots=True)
class _Packed:
    """A compressed chunk; of only zeros: None. Of level 0 also the range of its pixels."""

    data: bytes | None
    span: tuple[float, float] | None = None


@dataclass(slots=True)
class _Row:
    """A row of chunks on its way: compressed, then appended, then proven."""

    level: int
    nbytes: int
    places: list[tuple[int, ...]]
    """Of each chunk: its number along t, c, z, y, x."""
    parts: list[list[np.ndarray]]
    """Of each chunk, until it is compressed: its planes, no further than the image's edge."""
    tasks: list[Task]
    """What is being done to the row."""
    back: np.ndarray | None = None
    """The row as it was read back: samples, planes, rows, columns."""
    full: list[Shard] = field(default_factory=list)
    """Shards that this row completed."""


@dataclass(slots=True)
class Facts:
    """What was seen of the pixels on the way."""

    planes: dict[tuple[int, int, int], bytes] = field(default_factory=dict)
    """XXH3-128 of each plane (t, c, z) as read: C order, little-endian."""
    stored: dict[tuple[int, int, int], bytes] = field(default_factory=dict)
    """The same of the planes as they were read back from level 0. Planes that an earlier process
    had begun aren't there."""
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
        self.pending = [Rows(level) for level in plan.levels]
        self.slabs: list[dict[int, np.ndarray]] = [{} for _ in plan.levels]
        """Volumes: rows of chunks, by their number, whose chunks aren't deep enough yet."""
        self.held: list[dict[int, tuple]] = [{} for _ in plan.levels]
        self.queue: deque[_Row] = deque()
        """Rows that are being compressed, then those whose chunks are being proven."""
        self.proving: deque[_Row] = deque()
        self.summing: Task | None = None
        self.closing: deque[Future] = deque()
        count = plan.levels[0].shape[1]
        self.facts = Facts(
            low=[None] * count, high=[None] * count, samples=[[] for _ in range(count)]
        )
        self.hashes: list[xxhash.xxh3_128] = []
        self.back: dict[tuple[int, int, int], xxhash.xxh3_128] = {}
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

    def settle(self) -> None:
        """Finish every row that is on its way."""
        while self.queue:
            self._append()
        while self.proving:
            self._settle()

    def _drain(self) -> None:
        self.settle()
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
            "pending": [(p.buffer, p.bytes) for p in self.pending],
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
        for pending, (buffer, size) in zip(self.pending, state["pending"], strict=True):
            pending.buffer, pending.bytes = buffer, size
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
        for row in [*self.queue, *self.proving]:
            for task in row.tasks:
                task.drop()
            for shard in row.full:
                shard.abandon()
        for future in self.closing:
            future.exception()
        self.queue.clear()
        self.proving.clear()
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
        places, parts = [], []
        for s in range(rows.shape[0]):
            for column in range(-(-level.shape[4] // wide)):
                places.append((t, c + s, z // deep, row, column))
                here = slice(column * wide, (column + 1) * wide)
                parts.append([plane[s, :, here] for plane in slab])
        per = max(1, _TASK // (math.prod(level.chunk) * rows.itemsize))
        tasks = [
            self.crew.start(self._compress, level, parts[k : k + per])
            for k in range(0, len(parts), per)
        ]
        nbytes = sum(plane.nbytes for plane in slab)
        self.queue.append(_Row(number, nbytes, places, parts, tasks))
        most = 0  # alone, one does all to a row while it is in the cache
        if self.crew.helpers:
            most = max(_QUEUE, self.plan.in_flight * max(self.pending[0].bytes, nbytes))
        while self.queue and sum(r.nbytes for r in self.queue) > most:
            self._append()
        while self.proving and sum(r.nbytes for r in self.proving) > most:
            self._settle()

    def _slab(self, number: int, z: int, row: int, rows: np.ndarray) -> list[np.ndarray] | None:
        """A row of chunks as deep as its chunks: a (samples, rows, columns) for each plane; None:
        not yet. They are collected where a chunk is deeper than a plane.
        """
        level = self.plan.levels[number]
        deep = level.chunk[2]
        if deep == 1:
            return [rows]
        slab = self.slabs[number].setdefault(row, [])
        slab.append(rows)
        if len(slab) < min(deep, level.shape[2] - z // deep * deep):
            return None
        return self.slabs[number].pop(row)

    def _compress(self, level: LevelPlan, parts: list[list[np.ndarray]]) -> list[_Packed]:
        # all that looks at a chunk does so at once, while it is in the cache
        packed = []
        for planes in parts:
            chunk = self.codec.gather(planes, level.chunk[2:])
            span = None
            if level.index == 0:
                tall, wide = planes[0].shape
                span = self._range(chunk[: len(planes), :tall, :wide])
            packed.append(_Packed(self.codec.encode(chunk) if _any(chunk) else None, span))
        return packed

    def _append(self) -> None:
        """Append the chunks of the oldest row in order, and let level 0's be proven."""
        row = self.queue[0]
        grid, shards = self.grids[row.level], self.open[row.level]
        written: list[tuple[Shard, bytes]] = []
        proofs: list[tuple[Shard, tuple[int, int], np.ndarray]] = []
        packed = [one for task in row.tasks for one in self.crew.result(task)]
        if row.level == 0 and self.prove:
            row.back = self._blank(row)
        for place, planes, one in zip(row.places, row.parts, packed, strict=True):
            if one.span is not None:
                self._widen(place[1], *one.span)
            where = grid.shard_of(place)
            shard = shards.get(where)
            if shard is None:
                shard = shards[where] = grid.new_shard(where)
                shard.md5 = shard.md5 if self.checksum else None
            kept = shard.append(grid.number_in_shard(place), one.data)
            if kept is not None and one.data is not None:
                written.append((shard, one.data))
            if row.back is not None:
                x = place[4] * grid.level.chunk[4]
                part = row.back[place[1] - row.places[0][1], :, :, x : x + planes[0].shape[1]]
                if kept is None:
                    part[...] = 0
                else:
                    proofs.append((shard, kept, part))
        row.parts = []
        per = max(1, _TASK * len(row.places) // max(1, row.nbytes))
        row.tasks = [
            self.crew.start(self._read_back, proofs[k : k + per])
            for k in range(0, len(proofs), per)
        ]
        if self.checksum and written:
            self.summing = self.crew.start(_sum, self.summing, written)
            row.tasks.append(self.summing)
        row.full = [shards.pop(where) for where in [w for w, s in shards.items() if s.complete]]
        self.proving.append(self.queue.popleft())

    def _settle(self) -> None:
        """Wait until the oldest row is proven, and let go of the shards that it completed."""
        row = self.proving[0]
        for task in row.tasks:
            self.crew.result(task)
        if row.back is not None:
            self._compare(row, row.back)
        while row.full:
            shard = row.full[0]
            if shard.seal():
                self.files.append(shard.path)
                if shard.md5 is not None:
                    name = shard.path.relative_to(self.folder).as_posix()
                    self.facts.md5[name] = shard.md5.hexdigest()
                self.closing.append(self.crew.disk.submit(shard.close))
            row.full.pop(0)
            if len(self.closing) > _CLOSING:
                self.closing.popleft().result()
        self.proving.popleft()

    def _blank(self, row: _Row) -> np.ndarray:
        planes = row.parts[0]
        samples = row.places[-1][1] - row.places[0][1] + 1
        wide = self.plan.levels[0].shape[4]
        return np.empty((samples, len(planes), planes[0].shape[0], wide), self.codec.dtype)

    def _read_back(self, proofs: list[tuple[Shard, tuple[int, int], np.ndarray]]) -> None:
        shape, dtype = self.plan.levels[0].chunk[2:], self.codec.dtype
        for shard, kept, part in proofs:
            data = self.codec.decode_bytes(shard.read(kept), math.prod(shape) * dtype.itemsize)
            deep, tall, wide = part.shape
            part[...] = np.frombuffer(data, dtype).reshape(shape)[:deep, :tall, :wide]

    def _compare(self, row: _Row, back: np.ndarray) -> None:
        """Go on with the digests of a row's planes; those that are whole must be as read."""
        t, c, z, number, _ = row.places[0]
        z *= self.plan.levels[0].chunk[2]
        for s, i in np.ndindex(back.shape[:2]):
            plane = (t, c + s, z + i)
            if number == 0:
                self.back[plane] = xxhash.xxh3_128()
            if plane not in self.back:
                continue  # an earlier process read back its first rows
            self.back[plane].update(back[s, i].reshape(-1).view(np.uint8))
            if number + 1 == self.grids[0].counts[3]:
                self.facts.stored[plane] = self.back.pop(plane).digest()
                self.check(plane)

    def check(self, plane: tuple[int, int, int]) -> None:
        """Raise DamagedOutput where a plane that was read back isn't what was read."""
        if self.facts.stored[plane] != self.facts.planes[plane]:
            t, c, z = plane
            raise DamagedOutput(
                f"plane t={t} c={c} z={z} of {self.folder} is not what was read: a fault of the "
                "disk or of memory"
            )

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


class Rows:
    """Collects bands of any height into rows of chunks."""

    def __init__(self, level: LevelPlan) -> None:
        self.height, self.tall = level.shape[3], level.chunk[3]
        self.buffer: np.ndarray | None = None
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


def _sum(earlier: Task | None, written: list[tuple[Shard, bytes]]) -> None:
    """Sum what was written after what was written earlier."""
    if earlier is not None:
        earlier.result()
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
    progress: Callable[[int, int], None] | None = None,
    journal: Callable[[dict], None] | None = None,
    every: float = 0.0,
    state: dict | None = None,
) -> None:
    """Read every plane of a series once, band by band, and feed it to a pyramid.

    A helper of the crew reads the next band while this one is worked on, where the plan has room
    for it. ``progress(done, total)`` in bytes. ``journal`` is given a state now and then (``every``
    seconds); ``state`` is one to go on from: then only the earlier bands of the plane that it
    stands in are read again, for their digest.
    """
    total, done = series.nbytes, 0
    crew = pyramid.crew
    ahead = plan.ahead and crew.helpers > 0
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
    following = next(bands, None)
    coming = crew.start(series.read_samples, *following) if following else None
    while following and coming:
        here, band = following, crew.result(coming)
        following = next(bands, None)
        if following and ahead:
            coming = crew.start(series.read_samples, *following)
        t, group, z, y0, _ = here
        pyramid.feed(t, group, z, y0, band)
        done += band.nbytes
        if band.nbytes > _HELD:
            pyramid.settle()
        del band
        if following and not ahead:
            coming = crew.start(series.read_samples, *following)
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


def _bands(series: Series, plan: Plan):
    height = series.size("y")
    for t in range(series.size("t")):
        for group in range(series.size("c") // series.samples):
            for z in range(series.size("z")):
                for y0 in range(0, height, plan.band):
                    yield t, group, z, y0, min(height, y0 + plan.band)
