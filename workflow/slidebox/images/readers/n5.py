"""N5 folders: the blocks by own code (N5 is not Zarr, and zarr-python 3 reads it no more).

The specification is https://github.com/saalfeldlab/n5: a dataset is a folder with
``attributes.json`` (dimensions, blockSize, dataType, compression) and blocks in files ``x/y/z``,
each a big-endian header and compressed big-endian values, x running fastest. Of a multi-scale
group (``s0``, ``s1``, ...) level s0 is read. BigDataViewer's ``setup<n>/timepoint<n>/s0`` become
one series a setup; other arrays are a series each.
"""

from __future__ import annotations

import bz2
import json
import lzma
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np

from .. import units
from ..model import ImageFile, Series, UnreadableImage
from ..registry import version
from .slabs import deep_axis, in_slabs

_LEVEL = re.compile(r"s\d+")
_BY_NUMBER = {2: "xy", 3: "xyz", 4: "xyzc", 5: "xyzct"}  # N5 counts dimensions from x


@dataclass(frozen=True, slots=True)
class _Array:
    """A dataset: ``shape`` and ``block`` in N5's order, x first."""

    folder: Path
    shape: tuple[int, ...]
    block: tuple[int, ...]
    dtype: np.dtype
    compression: str

    def block_at(self, where: tuple[int, ...]) -> np.ndarray | None:
        """A block in C order (x last), or None where there is none: its values are 0."""
        path = self.folder.joinpath(*map(str, where))
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if len(data) < 4:
            raise UnreadableImage("the block is cut off", file=str(path))
        mode, count = struct.unpack(">HH", data[:4])
        head = 4 + 4 * count + (4 if mode == 1 else 0)
        if mode not in (0, 1) or count != len(self.shape) or len(data) < head:
            raise UnreadableImage("not a block of this dataset", file=str(path))
        sizes = struct.unpack(f">{count}I", data[4 : 4 + 4 * count])
        try:
            size = int(np.prod(sizes)) * self.dtype.itemsize
            plain = _decompress(data[head:], self.compression, size)
            values = np.frombuffer(plain, self.dtype.newbyteorder(">"), int(np.prod(sizes)))
        except Exception as error:
            raise UnreadableImage(f"damaged block: {error}", file=str(path)) from error
        return values.reshape(sizes[::-1])

    def planes(
        self, fixed: tuple[int, ...], along: int | None, count: int, y0: int, y1: int
    ) -> np.ndarray:
        """Rows y0 to y1, (planes, rows, columns), at the indices ``fixed`` of the dimensions after
        x and y: ``count`` of one block, from there on, of the one numbered ``along``.
        """
        width, (wide, tall) = self.shape[0], self.block[:2]
        out = np.zeros((count, y1 - y0, width), self.dtype)
        outer = tuple(i // n for i, n in zip(fixed, self.block[2:], strict=True))
        inner: list = [i % n for i, n in zip(fixed, self.block[2:], strict=True)]
        if along is not None:
            inner[along] = slice(inner[along], inner[along] + count)
        for row in range(y0 // tall, -(-y1 // tall)):
            for column in range(-(-width // wide)):
                block = self.block_at((column, row, *outer))
                if block is None:
                    continue
                part = block[tuple(inner[::-1])]
                part = part if along is not None else part[None]
                a, b = max(row * tall, y0), min(row * tall + part.shape[1], y1)
                left = column * wide
                right = min(left + part.shape[2], width)
                out[:, a - y0 : b - y0, left:right] = part[
                    :, a - row * tall : b - row * tall, : right - left
                ]
        return out


def open_file(path: Path, name: str) -> ImageFile:
    groups: dict[str, dict] = {}
    _walk(path, "", groups)
    arrays = {where: a for where, a in groups.items() if "dimensions" in a and "dataType" in a}
    if not arrays:
        raise UnreadableImage("the folder has no N5 dataset (attributes.json with dimensions)")
    series: list[Series] = []
    for setup, times in _setups(arrays).items():
        series.append(_series(path, groups, times, setup, len(series)))
    for where in arrays:
        parent, _, leaf = where.rpartition("/")
        if "/timepoint" in f"/{where}" and re.search(r"(^|/)setup\d+/timepoint\d+/s\d+$", where):
            continue
        if _LEVEL.fullmatch(leaf) and leaf != "s0" and f"{parent}/s0".lstrip("/") in arrays:
            continue
        title = parent if leaf == "s0" and parent else where
        series.append(_series(path, groups, [where], title or path.stem, len(series)))
    text = json.dumps({k or "/": v for k, v in groups.items()}, indent=1, ensure_ascii=False)
    return ImageFile(
        str(path), name, "slidebox", version("slidebox"), series, {"attributes.json": text}
    )


def _walk(folder: Path, where: str, found: dict[str, dict]) -> None:
    """Attributes of every group and dataset; blocks, which are folders of numbers, aren't looked
    into.
    """
    text = folder / "attributes.json"
    if text.is_file():
        try:
            found[where] = json.loads(text.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UnreadableImage(f"not JSON: {error}", file=str(text)) from error
        if "dimensions" in found[where]:
            return
    for entry in sorted(folder.iterdir(), key=lambda p: _natural(p.name)):
        if entry.is_dir():
            _walk(entry, f"{where}/{entry.name}".lstrip("/"), found)


def _natural(name: str) -> list:
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"(\d+)", name)]


def _setups(arrays: dict[str, dict]) -> dict[str, list[str]]:
    """BigDataViewer's s0 arrays: {setup: [time points in order]}."""
    found: dict[str, list[str]] = {}
    for where in arrays:
        match = re.fullmatch(r"(.*?setup\d+)/timepoint\d+/s0", where)
        if match:
            found.setdefault(match[1], []).append(where)
    return found


def _array(path: Path, where: str, facts: dict) -> _Array:
    try:
        shape = tuple(int(n) for n in facts["dimensions"])
        block = tuple(int(n) for n in facts["blockSize"])
        dtype = np.dtype(facts["dataType"])
        packing = facts.get("compression") or {"type": facts.get("compressionType", "raw")}
        if len(shape) != len(block) or min(block) < 1 or dtype.kind not in "uif":
            raise ValueError(f"{facts['dataType']} {shape} in blocks of {block}")
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableImage(f"dataset {where}: {type(error).__name__} {error}") from error
    return _Array(path / where, shape, block, dtype, str(packing.get("type", "raw")))


def _series(path: Path, groups: dict, times: list[str], title: str, index: int) -> Series:
    arrays = [_array(path, where, groups[where]) for where in times]
    first = arrays[0]
    for where, array in zip(times, arrays, strict=True):
        if (array.shape, array.dtype) != (first.shape, first.dtype):
            raise UnreadableImage(f"{where} is {array.shape}, {times[0]} is {first.shape}")
    notes: list[str] = []
    sizes, letters = _axes(first, times[0], groups, notes)
    lengths = dict(zip(letters, first.shape, strict=True))
    if len(arrays) > 1:
        lengths["t"] = len(arrays)
    after = [a for a in letters if a not in "xy"]
    swapped = letters.index("y") < letters.index("x")
    if letters[:2] not in (["x", "y"], ["y", "x"]):
        raise UnreadableImage(f"dataset {times[0]}: its axes {''.join(letters)} don't begin in xy")
    if swapped:
        raise UnreadableImage(f"dataset {times[0]}: y runs fastest, which isn't known")

    # of time points that are arrays of their own, no two lie in one block
    along = "z" if len(arrays) > 1 else deep_axis(lengths)
    place = after.index(along) if along in after else None

    def read(t: int, c: int, z: int, count: int, y0: int, y1: int) -> np.ndarray:
        here = {"t": t, "c": c, "z": z}
        array = arrays[t] if len(arrays) > 1 else first
        return array.planes(tuple(here[a] for a in after), place, count, y0, y1)[None]

    deep = first.block[2 + place] if place is not None else 1
    plane = lengths["y"] * lengths["x"] * first.dtype.itemsize

    axes = "".join(a for a in "tcz" if lengths.get(a, 1) > 1) + "yx"
    return Series(
        index,
        title,
        axes,
        tuple(lengths[a] for a in axes),
        first.dtype,
        in_slabs(read, deep, lengths.get(along, 1), plane, along),
        sizes,
        sizes.pop("t", None) if "t" in axes else None,
        rows=first.block[1],
        notes=notes,
    )


def _axes(array: _Array, where: str, groups: dict, notes: list[str]) -> tuple[dict, list[str]]:
    """Sizes (um, s) and axis letters in N5's order, from the conventions in use.

    These are COSEM's ``transform`` (C order), N5-viewer's ``pixelResolution``, ``resolution`` and
    ``units``, and ``axes``; they stand at the dataset or at the group above it.
    """
    parent = groups.get(where.rpartition("/")[0], {})
    facts = {**parent, **groups[where]}
    count = len(array.shape)
    order = "F"
    names, scale, unit = facts.get("axes"), None, facts.get("units")
    transform = facts.get("transform")
    if isinstance(transform, dict):  # COSEM: in C order
        names, scale = transform.get("axes") or names, transform.get("scale")
        unit, order = transform.get("units") or unit, "C"
    resolution = facts.get("pixelResolution", facts.get("resolution"))
    if scale is None and isinstance(resolution, dict):
        scale, unit = resolution.get("dimensions"), resolution.get("unit") or unit
    elif scale is None:
        scale = resolution
    letters = list(_BY_NUMBER.get(count, ""))
    if isinstance(names, list) and len(names) == count:
        given = [str(n).lower()[:1] for n in (reversed(names) if order == "C" else names)]
        if sorted(given) == sorted(set(given)) and set(given) <= set("xyzct"):
            letters = given
    elif count > 3:
        notes.append("the file names no axes; they are taken by position")
    if not letters:
        raise UnreadableImage(f"dataset {where} has {count} dimensions")
    if not isinstance(scale, list) or len(scale) < min(count, 3):
        return {}, letters
    values = list(reversed(scale)) if order == "C" else scale
    per_axis = unit if isinstance(unit, list) else [unit] * len(values)
    per_axis = list(reversed(per_axis)) if order == "C" else per_axis
    sizes: dict[str, float | None] = {}
    for letter, value, name in zip(letters, values, per_axis, strict=False):
        if letter == "t":
            sizes["t"] = units.seconds(value, name)
        elif letter != "c":
            sizes[letter] = units.micrometers(value, name)
    return sizes, letters


def _decompress(data: bytes, kind: str, size: int) -> bytes:
    if kind == "raw":
        return data
    if kind == "gzip":
        return zlib.decompress(data, zlib.MAX_WBITS | 32)  # gzip's or zlib's header
    if kind == "bzip2":
        return bz2.decompress(data)
    if kind == "xz":
        return lzma.decompress(data)
    if kind == "zstd":
        return imagecodecs.zstd_decode(data)
    if kind == "blosc":
        return imagecodecs.blosc_decode(data)
    if kind == "lz4" and data.startswith(b"LZ4Block"):
        return b"".join(_lz4_blocks(data))
    if kind == "lz4":  # as z5py writes it
        return imagecodecs.lz4_decode(data, out=size)
    raise ValueError(f"compression {kind!r} isn't known")


def _lz4_blocks(data: bytes):
    """lz4-java's stream: ``LZ4Block``, token, packed and plain length, checksum (little-endian)."""
    at = 0
    while at + 21 <= len(data) and data[at : at + 8] == b"LZ4Block":
        token = data[at + 8]
        packed, plain, _ = struct.unpack("<iiI", data[at + 9 : at + 21])
        at += 21
        if not plain:
            return
        block = data[at : at + packed]
        if len(block) != packed:
            raise ValueError("cut off")
        yield imagecodecs.lz4_decode(block, out=plain) if token & 0xF0 == 0x20 else block
        at += packed
    if at < len(data):
        raise ValueError("not lz4-java's blocks")
