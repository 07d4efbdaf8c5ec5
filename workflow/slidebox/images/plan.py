"""How an image is laid out: levels, chunks, shards. Decided before a pixel is read, from sizes
alone.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from .model import Series

MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the bytes of a derived image besides its pixels. Part of the derivation's id.

    Attributes
    ----------
    version : raised when the code would write other bytes for the same source.
    ngff : version of OME-Zarr that is written: 0.5 (Zarr 3, shards), or 0.4 (Zarr 2, a file a
        chunk) for readers that know no other.
    chunk : side of an inner chunk in y and x (px); one plane of t, c and z each.
    shard_bytes : upper bound of a shard before compression.
    smallest : levels are added until y and x are at most this.
    compressor, level, shuffle, blocksize : Blosc's, chosen by ``benchmarks/convert/choose_codec.py``;
        blocks of 256 KiB stay in the cache of a core.
    """

    version: int = 2
    ngff: str = "0.5"
    chunk: int = 512
    shard_bytes: int = 64 * MB
    smallest: int = 256
    compressor: str = "zstd"
    level: int = 1
    shuffle: str = "shuffle"
    blocksize: int = 1 << 18

    def __post_init__(self) -> None:
        if self.ngff not in ("0.4", "0.5"):
            raise ValueError(f"OME-Zarr {self.ngff!r} isn't written: choose 0.5 or 0.4")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """One resolution. Shapes are always five-dimensional here (t, c, z, y, x)."""

    index: int
    shape: tuple[int, int, int, int, int]
    factors: tuple[int, int, int]
    """How many pixels of level 0 one pixel is, in z, y, x."""
    halved: tuple[bool, bool, bool]
    """Which of z, y, x were halved from the level above."""
    chunk: tuple[int, int, int, int, int]
    shard: tuple[int, int, int, int, int]

    @property
    def path(self) -> str:
        return str(self.index)


@dataclass(frozen=True, slots=True)
class Plan:
    levels: list[LevelPlan] = field(default_factory=list)
    band: int = 0
    """Rows that are read from the source at once."""
    in_flight: int = 2
    """Rows of chunks that may wait to be compressed or proven."""


def make_plan(series: Series, recipe: Recipe, memory: int) -> Plan:
    """Levels, chunks and shards of a series, and what is held in memory at once.

    ``memory`` (bytes) bounds the height of chunks of very wide images, and of the bands read.
    """
    t, c, z, y, x = (series.size(a) for a in "tczyx")
    item = series.dtype.itemsize
    tall = recipe.chunk
    # Alive at once: a row of chunks, those in flight, and all lower levels' (as much again); the
    # wide sums of the reduction are cut into blocks and don't count.
    budget = max(memory - 160 * MB, 64 * MB)
    while tall > 64 and tall * x * item * series.samples * 4 > budget:
        tall //= 2
    shapes = [((t, c, z, y, x), (1, 1, 1), (False, False, False))]
    size_z, size_y, size_x = (series.pixel_size.get(a) for a in "zyx")
    spacing = (size_z, math.sqrt(size_y * size_x)) if size_z and size_y and size_x else None
    while max(shapes[-1][0][3:]) > recipe.smallest:
        (_, _, pz, py, px), (fz, fy, fx), _ = shapes[-1]
        # z is halved when that brings voxels nearer to cubes (and its step is known)
        halve_z = bool(
            spacing and pz > 1 and spacing[0] * fz < math.sqrt(2) * spacing[1] * max(fy, fx)
        )
        halve = (halve_z, py > 1, px > 1)
        new = tuple(-(-n // 2) if h else n for n, h in zip((pz, py, px), halve, strict=True))
        factors = tuple(f * 2 if h else f for f, h in zip((fz, fy, fx), halve, strict=True))
        shapes.append(((t, c, *new), factors, halve))
    levels = []
    for index, (shape, factors, halved) in enumerate(shapes):
        chunk = (1, 1, 1, _chunk(shape[3], tall), _chunk(shape[4], recipe.chunk))
        if recipe.ngff == "0.4":
            shard = chunk  # Zarr 2 has no shards: a chunk is a file
        else:
            shard = _shard(shape, chunk, item, recipe.shard_bytes, series)
        levels.append(LevelPlan(index, shape, factors, halved, chunk, shard))
    return Plan(levels, _band(series, budget), 2 if tall == recipe.chunk else 1)


def _chunk(length: int, side: int) -> int:
    """A chunk length near ``side`` that divides the axis without much padding.

    A multiple of 8 where there are several, so that halving never crosses two rows of chunks.
    """
    count = max(1, round(length / side))
    if count == 1:
        return length
    return math.ceil(math.ceil(length / count) / 8) * 8


def _shard(shape, chunk, item: int, limit: int, series: Series) -> tuple[int, int, int, int, int]:
    """Grow a shard from one chunk: x and y together, then z, colour samples, c, t, up to the
    limit.
    """
    counts = [-(-n // k) for n, k in zip(shape, chunk, strict=True)]
    room = max(1, limit // (math.prod(chunk) * item))
    colours = series.samples if series.rgb else 1
    room = max(1, room // colours)
    side = max(1, math.isqrt(room))
    x = min(counts[4], side)
    y = min(counts[3], max(1, room // x))
    x = min(counts[4], max(1, room // y))
    if x < counts[4] or y < counts[3]:
        return (chunk[0], colours, chunk[2], y * chunk[3], x * chunk[4])
    room //= x * y
    z = min(counts[2], max(1, room))
    room //= z
    c, t = colours, 1
    if z == counts[2] and room * colours >= shape[1]:
        room = room * colours // shape[1]
        c = shape[1]
        t = min(counts[0], max(1, room))
    return (t, c, z, y * chunk[3], x * chunk[4])


def _band(series: Series, budget: int) -> int:
    """Rows to read at once: whole planes if they are small, else whole strips or tiles."""
    height = series.size("y")
    row = series.size("x") * series.dtype.itemsize * series.samples
    most = max(1, budget // 6 // row)
    if series.rows is None or height <= most:
        return height
    return min(height, max(series.rows, most // series.rows * series.rows))
