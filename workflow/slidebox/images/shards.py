"""Shards of a Zarr v3 array, written as their chunks come and read back chunk by chunk.

Sharding codec 1.0: the inner chunks one after the other in any order, then an index of (offset,
length) pairs, 16 bytes each, little-endian, and its CRC-32C. A chunk of only fill values is left
out (both numbers 2**64 - 1), and so is a shard of only such chunks.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
from pathlib import Path

import google_crc32c
import imagecodecs
import numpy as np

from .plan import LevelPlan, Recipe

EMPTY = 2**64 - 1
_MOST_OVERHEAD = 16  # Blosc's, in bytes, when nothing can be compressed


class Codec:
    """Blosc as numcodecs writes it: C-order little-endian bytes of one inner chunk."""

    def __init__(self, dtype: np.dtype, recipe: Recipe) -> None:
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.recipe = recipe
        self.own = threading.local()

    def gather(self, planes: list[np.ndarray], shape: tuple[int, int, int]) -> np.ndarray:
        """A chunk as it is stored, of its planes: C order, little-endian, zeros beyond the image's
        edge. It is this thread's, until its next call.
        """
        chunk = self._scratch("chunk", math.prod(shape) * self.dtype.itemsize)
        chunk = chunk.view(self.dtype).reshape(shape)
        tall, wide = planes[0].shape
        if (len(planes), tall, wide) != shape:
            chunk[...] = 0
        for place, plane in zip(chunk, planes, strict=False):
            place[:tall, :wide] = plane
        return chunk

    def encode(self, chunk: np.ndarray) -> bytes:
        chunk = np.ascontiguousarray(chunk, self.dtype)
        # imagecodecs shuffles by the array's own item size, whatever else it is told
        return bytes(
            imagecodecs.blosc_encode(
                chunk,
                level=self.recipe.level,
                compressor=self.recipe.compressor,
                shuffle=self.recipe.shuffle,
                blocksize=self.recipe.blocksize,
                numthreads=1,
                out=self._scratch("encoded", chunk.nbytes + _MOST_OVERHEAD),
            )
        )

    def decode(self, data: bytes, shape: tuple[int, ...]) -> np.ndarray:
        return np.frombuffer(imagecodecs.blosc_decode(data, numthreads=1), self.dtype).reshape(
            shape
        )

    def decode_bytes(self, data: bytes, size: int) -> memoryview:
        """The bytes of a chunk of ``size`` bytes. They are this thread's, until its next call."""
        out = self._scratch("decoded", size)
        return memoryview(imagecodecs.blosc_decode(data, numthreads=1, out=out))

    def _scratch(self, name: str, size: int) -> np.ndarray:
        """A buffer of each thread: fresh pages for each chunk cost a third of the compression."""
        buffer = getattr(self.own, name, None)
        if buffer is None or buffer.size < size:
            buffer = np.empty(size, np.uint8)
            setattr(self.own, name, buffer)
        return buffer[:size]


class Shard:
    """One open shard file. Not for two threads at once, but for ``read`` beside ``append``."""

    def __init__(self, path: Path, chunks: int, expected: int) -> None:
        self.path, self.expected, self.done = path, expected, 0
        self.index = np.full((chunks, 2), EMPTY, "<u8")
        self.end = 0
        self.fd = -1
        self.md5 = hashlib.md5(usedforsecurity=False)
        """Of what ``sum`` was given; None after going on from a state, which can't hold it."""

    def append(self, number: int, data: bytes | None) -> tuple[int, int] | None:
        """Put a chunk at the end of the file; None is a chunk of fill values."""
        self.done += 1
        if data is None:
            return None
        if self.fd < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        place = (self.end, len(data))
        self._write(data)
        self.index[number] = place
        self.end += len(data)
        return place

    def read(self, place: tuple[int, int]) -> bytes:
        return os.pread(self.fd, place[1], place[0])

    def sync(self) -> None:
        """Make what was appended so far durable."""
        if self.fd >= 0:
            os.fsync(self.fd)

    def state(self) -> tuple:
        return (self.index, self.end, self.done)

    def restore(self, state: tuple) -> None:
        """Go on from a state: what was appended after it is cut off."""
        index, self.end, self.done = state
        self.index = index.copy()
        self.md5 = None if self.end else self.md5
        if self.end:
            self.fd = os.open(self.path, os.O_RDWR)
            os.ftruncate(self.fd, self.end)
            os.lseek(self.fd, self.end, os.SEEK_SET)

    @property
    def complete(self) -> bool:
        return self.done == self.expected

    def sum(self, data: bytes) -> None:
        """Add what was appended to the file's MD5; in the same order."""
        if self.md5 is not None:
            self.md5.update(data)

    def seal(self) -> bool:
        """Write the index. False: all is fill, there is no file."""
        if self.fd < 0:
            return False
        index = self.index.tobytes()
        index += google_crc32c.value(index).to_bytes(4, "little")
        self._write(index)
        self.sum(index)
        return True

    def close(self) -> None:
        """Make the file durable and let go of it."""
        try:
            os.fsync(self.fd)
        finally:
            self.abandon()

    def abandon(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]


class ChunkFile(Shard):
    """A chunk that is a file of its own, as in Zarr 2: a shard of one, without an index."""

    def seal(self) -> bool:
        return self.fd >= 0


class Grid:
    """Where a chunk of a level is: which shard file, which place in it.

    In OME-Zarr 0.4 each chunk is a file, named by its place alone.
    """

    def __init__(self, level: LevelPlan, axes: str, folder: Path, ngff: str = "0.5") -> None:
        self.level, self.folder, self.plain = level, folder, ngff == "0.4"
        self.keep = ["tczyx".index(a) for a in axes]
        self.counts = tuple(-(-n // k) for n, k in zip(level.shape, level.chunk, strict=True))
        self.per_shard = tuple(s // k for s, k in zip(level.shard, level.chunk, strict=True))

    def shard_of(self, chunk: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(i // n for i, n in zip(chunk, self.per_shard, strict=True))

    def number_in_shard(self, chunk: tuple[int, ...]) -> int:
        number = 0
        for i, n in zip(chunk, self.per_shard, strict=True):
            number = number * n + i % n
        return number

    def path(self, shard: tuple[int, ...]) -> Path:
        base = self.folder if self.plain else self.folder / "c"
        return base.joinpath(*(str(shard[k]) for k in self.keep))

    def expected(self, shard: tuple[int, ...]) -> int:
        """How many chunks of a shard lie within the array."""
        number = 1
        for i, n, total in zip(shard, self.per_shard, self.counts, strict=True):
            number *= min(n, total - i * n)
        return number

    def new_shard(self, shard: tuple[int, ...]) -> Shard:
        kind = ChunkFile if self.plain else Shard
        return kind(self.path(shard), int(np.prod(self.per_shard)), self.expected(shard))


def read_index(path: Path, chunks: int) -> np.ndarray:
    """The index of a shard file, checked against its CRC-32C. Raises ValueError when it is
    damaged.
    """
    size = chunks * 16
    with path.open("rb") as handle:
        handle.seek(0, os.SEEK_END)
        if handle.tell() < size + 4:
            raise ValueError(f"{path} is too short for its index")
        handle.seek(-size - 4, os.SEEK_END)
        raw = handle.read(size + 4)
    if google_crc32c.value(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
        raise ValueError(f"the index of {path} is damaged (CRC-32C)")
    return np.frombuffer(raw[:-4], "<u8").reshape(chunks, 2)
