"""How an image is laid out: levels, chunks, shards. Decided before a pixel is read, from sizes
alone.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from .model import Series, UnreadableImage

MB = 1 << 20


CHUNKS = ("planes", "volume")
_BAND = 16 * MB  # more at once is no faster, and pages of more aren't kept
BASE = 160 * MB
"""What Python, its libraries and the threads' buffers take before any pixel."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the bytes of a derived image besides its pixels. Part of the derivation's id.

    Attributes
    ----------
    version : raised when the code would write other bytes for the same source.
    ngff : version of OME-Zarr that is written.
    chunks : inner chunks of ``planes`` (one t, c, z each: what people look at) or of a ``volume``
        (64 x 64 x 64 pixels: cuts along any axis, meshes, training).
    chunk : side of a plane's inner chunk in y and x (px).
    shard_bytes : upper bound of a shard before compression.
    smallest : levels are added until y and x are at most this.
    compressor, level, shuffle, blocksize : Blosc's, as ``benchmarks/convert/choose_codec.py``
        found them best; blocks of 256 KiB stay in the cache of a core.
    """

    version: int = 2
    ngff: str = "0.5"
    chunks: str = "planes"
    chunk: int = 512
    shard_bytes: int = 64 * MB
    smallest: int = 256
    compressor: str = "zstd"
    level: int = 1
    shuffle: str = "shuffle"
    blocksize: int = 1 << 18

    def __post_init__(self) -> None:
        if self.chunks not in CHUNKS:
            raise ValueError(f"chunks are {' or '.join(CHUNKS)}, not {self.chunks!r}")

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
    ahead: bool = True
    """Whether there is room to read the next band while one is worked on."""


def make_plan(series: Series, recipe: Recipe, memory: int) -> Plan:
    """Levels, chunks and shards of a series, and what is held in memory at once.

    ``memory`` (bytes) bounds the height of chunks of very wide images, the depth of a volume's, and
    the bands read. Raises UnreadableImage when the file can only be read in larger pieces.
    """
    t, c, z, y, x = (series.size(a) for a in "tczyx")
    item = series.dtype.itemsize
    # Alive at once: a row of chunks, those in flight, and all lower levels' (as much again); the
    # wide sums of the reduction are cut into blocks and don't count.
    budget = max(memory - BASE, 64 * MB)
    tall, wide, deep = _sides(series, recipe, budget)
    shapes = [((t, c, z, y, x), (1, 1, 1), (False, False, False))]
    size_z, size_y, size_x = (series.pixel_size.get(a) for a in "zyx")
    spacing = (size_z, math.sqrt(size_y * size_x)) if size_z and size_y and size_x else None
    while max(shapes[-1][0][3:]) > recipe.smallest:
        (_, _, pz, py, px), (fz, fy, fx), _ = shapes[-1]
        # z is halved when that brings voxels nearer to cubes (and its step is known), from the
        # first level on where the sums of a plane, which wait for the next, have room
        halve_z = bool(
            spacing
            and pz > 1
            and spacing[0] * fz < math.sqrt(2) * spacing[1] * max(fy, fx)
            and py * px * item * series.samples // 2 <= budget // 6
        )
        halve = (halve_z, py > 1, px > 1)
        new = tuple(-(-n // 2) if h else n for n, h in zip((pz, py, px), halve, strict=True))
        factors = tuple(f * 2 if h else f for f, h in zip((fz, fy, fx), halve, strict=True))
        shapes.append(((t, c, *new), factors, halve))
    levels = []
    for index, (shape, factors, halved) in enumerate(shapes):
        chunk = (1, 1, min(deep, shape[2]), _chunk(shape[3], tall), _chunk(shape[4], wide))
        if recipe.ngff == "0.4":
            shard = chunk  # Zarr 2 has no shards: a chunk is a file
        else:
            shard = _shard(shape, chunk, item, recipe.shard_bytes, series)
        levels.append(LevelPlan(index, shape, factors, halved, chunk, shard))
    band = _band(series, budget)
    piece = band * x * item * series.samples
    # A band is there as it is stored, as it is decoded and as it is cut into rows; where a plane is
    # one piece, all of that is. Another band may be ahead.
    needed = BASE + (5 * piece // 2 if band == y else 2 * piece)
    if needed > BASE + budget and band > 1:
        raise UnreadableImage(
            f"{band} rows of {x} pixels are stored in one piece, and to read it takes "
            f"{math.ceil(needed / MB)} MB of memory; allowed are {memory // MB} MB "
            "(slidebox convert --memory, images.memory in the configuration)",
            file=series.file,
            series=series.index,
        )
    in_flight = 2 if tall == recipe.chunk else 1
    return Plan(levels, band, in_flight, needed + piece <= BASE + budget)


def _sides(series: Series, recipe: Recipe, budget: int) -> tuple[int, int, int]:
    """Height, width and depth of inner chunks, of what the memory allows."""
    row = series.size("x") * series.dtype.itemsize * series.samples
    if recipe.chunks == "volume" and series.size("z") > 1:
        # A slab of as many planes as a chunk is deep is held, and half as much of lower levels;
        # where it can't be, chunks are flatter and wider, of as many pixels.
        for deep, side in ((64, 64), (32, 96), (16, 128), (8, 184)):
            slab = min(deep, series.size("z")) * series.size("y") * row
            if slab * 3 // 2 <= budget * 3 // 4:
                return side, side, deep
    tall = recipe.chunk
    while tall > 64 and tall * row * 4 > budget:
        tall //= 2
    return tall, recipe.chunk, 1


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
    return (t, c, z * chunk[2], y * chunk[3], x * chunk[4])


def _band(series: Series, budget: int) -> int:
    """Rows to read at once: whole planes if they are small, else whole strips or tiles."""
    height = series.size("y")
    row = series.size("x") * series.dtype.itemsize * series.samples
    most = max(1, min(budget // 6, _BAND) // row)
    if series.rows is None or height <= most:
        return height
    return min(height, max(series.rows, most // series.rows * series.rows))
