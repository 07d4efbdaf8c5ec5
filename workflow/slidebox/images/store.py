"""Reading back what was written, without zarr-python: levels, planes, windows of a store of
ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from . import nodes
from .plan import LevelPlan, Recipe
from .shards import EMPTY, Codec, Grid, read_index


class StoredImage:
    """An OME-Zarr image that Slidebox wrote, open for reading planes."""

    def __init__(self, folder: Path | str, group: str = "") -> None:
        self.folder = Path(folder) / group if group else Path(folder)
        self.attributes: dict[str, Any]
        self.ngff, self.attributes = nodes.read_group(self.folder)
        ome = self.attributes["ome"]
        multiscale = ome["multiscales"][0]
        self.axes = "".join(a["name"] for a in multiscale["axes"])
        self.channels = (ome.get("omero") or {}).get("channels") or []
        self.levels = [
            StoredLevel(self.folder / d["path"], self.axes) for d in multiscale["datasets"]
        ]

    def planes(self):
        """(t, c, z) of every plane."""
        t, c, z = self.levels[0].shape[:3]
        return [(i, j, k) for i in range(t) for j in range(c) for k in range(z)]


class StoredLevel:
    """One array: ``plane`` gives two-dimensional arrays; only the shards that are needed are
    opened.
    """

    def __init__(self, folder: Path, axes: str) -> None:
        layout = nodes.array_layout(folder)
        five = {a: n for n, a in enumerate(axes)}

        def full(numbers) -> tuple[int, int, int, int, int]:
            return tuple(numbers[five[a]] if a in five else 1 for a in "tczyx")  # type: ignore

        self.dtype = layout["dtype"].newbyteorder("=")
        self.shape = full(layout["shape"])
        self.level = LevelPlan(
            0,
            self.shape,
            (1, 1, 1),
            (False,) * 3,
            full(layout["chunk"]),
            full(layout["shard"]),
        )
        self.grid = Grid(self.level, axes, folder, layout["ngff"])
        self.codec = Codec(self.dtype, Recipe(**layout["codec"]))
        self._indexes: dict[tuple[int, ...], np.ndarray | None] = {}
        self._slab: dict[tuple[int, ...], np.ndarray | None] = {}
        self._slab_of: tuple[int, ...] = ()

    def rows(self, t: int, c: int, z: int, row: int) -> np.ndarray:
        """One row of chunks of a plane: (rows, columns)."""
        chunk = self.level.chunk
        z, inside = divmod(z, chunk[2])
        tall = min(chunk[3], self.shape[3] - row * chunk[3])
        out = np.zeros((tall, self.shape[4]), self.dtype)
        for column in range(self.grid.counts[4]):
            part = self._kept((t, c, z, row, column))
            if part is not None:
                x = column * chunk[4]
                wide = min(chunk[4], self.shape[4] - x)
                out[:, x : x + wide] = part[inside, :tall, :wide]
        return out

    def plane(self, t: int = 0, c: int = 0, z: int = 0) -> np.ndarray:
        return np.concatenate([self.rows(t, c, z, r) for r in range(self.grid.counts[3])])

    def digest(self, t: int, c: int, z: int) -> bytes:
        """XXH3-128 of a plane: C order, little-endian."""
        total = xxhash.xxh3_128()
        for row in range(self.grid.counts[3]):
            rows = np.ascontiguousarray(self.rows(t, c, z, row))
            total.update(rows.view(np.uint8).reshape(-1))
        return total.digest()

    def _kept(self, chunk: tuple[int, ...]) -> np.ndarray | None:
        """A chunk; those of a volume are kept for the next planes, as many as a slab has."""
        if self.level.chunk[2] == 1:
            return self._chunk(chunk)
        if self._slab_of != chunk[:3]:
            self._slab_of, self._slab = chunk[:3], {}
        if chunk not in self._slab:
            self._slab[chunk] = self._chunk(chunk)
        return self._slab[chunk]

    def _chunk(self, chunk: tuple[int, ...]) -> np.ndarray | None:
        shard = self.grid.shard_of(chunk)
        index = self._index(shard)
        if index is None:
            return None
        offset, length = (int(v) for v in index[self.grid.number_in_shard(chunk)])
        if offset == EMPTY:
            return None
        with self.grid.path(shard).open("rb") as handle:
            handle.seek(offset)
            data = handle.read(length)
        if len(data) != length:
            raise ValueError(f"{self.grid.path(shard)} ends before chunk {chunk}")
        try:
            return self.codec.decode(data, self.level.chunk[2:])
        except Exception as error:
            raise ValueError(
                f"chunk {chunk} of {self.grid.path(shard)} can't be decoded: {error}"
            ) from error

    def _index(self, shard: tuple[int, ...]) -> np.ndarray | None:
        if shard not in self._indexes:
            path = self.grid.path(shard)
            if len(self._indexes) > 64:
                self._indexes.clear()
            if not path.exists():
                self._indexes[shard] = None
            elif self.grid.plain:  # the file is the chunk
                self._indexes[shard] = np.array([[0, path.stat().st_size]], "<u8")
            else:
                self._indexes[shard] = read_index(path, int(np.prod(self.grid.per_shard)))
        return self._indexes[shard]


def digest_of(planes: dict[tuple[int, int, int], bytes]) -> str:
    """The digest of an image, of those of its planes by (t, c, z): see ``convert.DIGEST``."""
    total = xxhash.xxh3_128()
    for key in sorted(planes):
        total.update(planes[key])
    return total.hexdigest()
