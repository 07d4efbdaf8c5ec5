"""Pixels of a release: read plane by plane through `images`, written as OME-TIFF or OME-Zarr."""

from __future__ import annotations

import csv
import hashlib
import itertools
import math
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import tifffile

from ..images import open_image
from ..scoring.task_points import columns_of
from .archive import Study

LARGEST_CHUNK = 1024
HEADERS = 3  # lines below the header of a table of points that may be words
NAMESPACE = uuid.UUID("6f0f6a3e-6f5c-5b8f-9a39-2d8fb4a8b8a1")


class Unfit(ValueError):
    """Pixels or points that can't be released; the message says why."""


@dataclass
class Source:
    """An image to release: axes (``tczyx`` order), shape, dtype, sizes, and its planes.

    `planes` yields 2D arrays (y, x) in C order of the other axes; each call reads anew.
    """

    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype
    pixel_size: dict[str, float]
    rgb: bool
    read: object = field(repr=False)
    channel_names: list[str] = field(default_factory=list)
    time_step: float | None = None

    def planes(self) -> Iterator[np.ndarray]:
        for index in itertools.product(*(range(n) for n in self.shape[:-2])):
            yield self.read(index)


@contextmanager
def opened(
    path: Path,
    series: int = 0,
    channels: list[int] | None = None,
    box: tuple[int, int, int, int] | None = None,
) -> Iterator[Source]:
    """Open one image of a file; optionally some of its channels and a (y, x, height, width) box."""
    with open_image(path) as file:
        image = file.series[series]
        axes, shape = image.axes, list(image.shape)
        keep = None
        if channels is not None:
            there = shape[axes.index("c")] if "c" in axes else 1
            if wrong := [k for k in channels if k >= there]:
                raise Unfit(
                    f"data.channels asks for {wrong}, the image has {there}, counted from 0"
                )
            if "c" in axes:
                keep = list(channels)
                shape[axes.index("c")] = len(keep)
        y, x, height, width = box or (0, 0, shape[-2], shape[-1])
        shape[-2:] = [height, width]

        def read(index: tuple[int, ...]) -> np.ndarray:
            index = list(index)
            if keep is not None:
                index[axes.index("c")] = keep[index[axes.index("c")]]
            return image.read(tuple(index), y, y + height)[:, x : x + width]

        names = [c.name or f"Channel {k}" for k, c in enumerate(image.channels)]
        yield Source(
            axes, tuple(shape), image.dtype,
            {a: v for a, v in image.pixel_size.items() if v},
            bool(image.rgb) and keep is None, read,
            [names[k] for k in (keep or range(len(names))) if k < len(names)],
            image.time_step,
        )  # fmt: skip


@contextmanager
def archived(
    study: Study,
    fileset: dict,
    series: int = 0,
    channels: list[int] | None = None,
    box: tuple[int, int, int, int] | None = None,
) -> Iterator[Source]:
    """The same of a fileset in the vault, with all of its files."""
    with study.view(fileset) as path, opened(path, series, channels, box) as source:
        yield source


class Tally:
    """sha256 of pixels as they pass: shape, type and values, whatever the file format."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        little = np.dtype(dtype).newbyteorder("<")
        self.dtype = little
        self.digest = hashlib.sha256(f"{little.str} {'x'.join(map(str, shape))}\n".encode())
        self.largest = 0

    def pass_on(self, planes: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for plane in planes:
            self.digest.update(np.ascontiguousarray(plane, self.dtype).data)
            yield plane

    def hexdigest(self) -> str:
        return self.digest.hexdigest()


class FrameTally:
    """sha256 over the `Tally` of each frame of a time-lapse (t first)."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.dtype = shape[1:], dtype
        self.planes = math.prod(shape[1:-2])
        self.digest = hashlib.sha256()

    def pass_on(self, planes: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        tally = Tally(self.shape, self.dtype)
        for done, plane in enumerate(planes, 1):
            yield from tally.pass_on(iter([plane]))
            if done % self.planes == 0:
                self.digest.update(tally.hexdigest().encode())
                tally = Tally(self.shape, self.dtype)

    def hexdigest(self) -> str:
        return self.digest.hexdigest()


def squeeze(source: Source, axis: str) -> Source:
    """The same image without an axis of one entry; Unfit when it has more."""
    at = source.axes.index(axis)
    if source.shape[at] != 1:
        raise Unfit(f"axis {axis} has {source.shape[at]} entries, not one")
    return Source(
        source.axes.replace(axis, ""), source.shape[:at] + source.shape[at + 1 :], source.dtype,
        source.pixel_size, False,
        lambda index: source.read((*index[:at], 0, *index[at:])), [], source.time_step,
    )  # fmt: skip


def as_labels(source: Source) -> Source:
    """The same image as unsigned integers; Unfit when a plane has other values."""
    if "c" in source.axes:
        raise Unfit("labels have channels; write one channel whose values are object numbers")
    kind = source.dtype.kind
    if kind == "f":
        dtype = np.dtype(np.uint32)
    elif kind == "i":
        dtype = np.dtype(f"u{min(source.dtype.itemsize, 4)}")
    elif kind == "b":
        dtype = np.dtype(np.uint8)
    else:
        dtype = np.dtype(f"u{min(source.dtype.itemsize, 4)}")

    def read(index: tuple[int, ...]) -> np.ndarray:
        plane = source.read(index)
        cast = plane.astype(dtype)
        if not np.array_equal(cast, plane):
            raise Unfit(f"labels of type {source.dtype} have values that are no object numbers")
        return cast

    return Source(source.axes, source.shape, dtype, source.pixel_size, False, read,
                  [], source.time_step)  # fmt: skip


def write_tiff(path: Path, source: Source, identity: str) -> str:
    """Write an OME-TIFF whose bytes depend on pixels and metadata alone; digest of the pixels.

    One plane in memory. Values are compressed without loss (deflate).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tally = Tally(source.shape, source.dtype)
    order = source.axes.upper()
    shape = source.shape
    planes = tally.pass_on(source.planes())
    photometric = "minisblack"
    if source.rgb:
        if source.axes != "cyx":
            raise Unfit(f"colour images with axes {source.axes} can't be released")
        data = np.stack(list(planes), -1)
        order, photometric, shape = "YXS", "rgb", data.shape
        planes = iter([data])
    metadata: dict = {
        "axes": order,
        "Name": Path(path).name.split(".")[0],
        "UUID": f"urn:uuid:{uuid.uuid5(NAMESPACE, identity)}",
        "Creator": "slidebox",
    }
    for axis, size in source.pixel_size.items():
        metadata[f"PhysicalSize{axis.upper()}"] = size
        metadata[f"PhysicalSize{axis.upper()}Unit"] = "µm"
    if source.time_step and "t" in source.axes:
        metadata |= {"TimeIncrement": source.time_step, "TimeIncrementUnit": "s"}
    if "c" in source.axes and not source.rgb:
        metadata["Channel"] = {"Name": source.channel_names[: shape[source.axes.index("c")]]}
    tifffile.imwrite(
        path, planes, shape=shape, dtype=source.dtype, ome=True, metadata=metadata,
        photometric=photometric, compression="zlib", compressionargs={"level": 6},
        software="slidebox", byteorder="<", maxworkers=1,
        bigtiff=int(np.prod(shape, dtype=np.int64)) * source.dtype.itemsize > 1 << 31,
    )  # fmt: skip
    return tally.hexdigest()


def write_zarr(path: Path, source: Source, identity: str, frames: bool = False) -> str:
    """Write an OME-Zarr 0.5 image of one level, a chunk a plane; digest of the pixels.

    One plane in memory. Its files depend on pixels and metadata alone. With `frames` the digest is
    that of `write_frames`: the same image has one digest, whatever format it's released in.
    """
    import zarr

    tally = Tally(source.shape, source.dtype)
    if frames and source.axes.startswith("t"):
        # Frames have no axis of one channel
        shape = [n for a, n in zip(source.axes, source.shape, strict=True) if (a, n) != ("c", 1)]
        tally = FrameTally(tuple(shape), source.dtype)
    group = zarr.open_group(path, mode="w", zarr_format=3)
    sides = [min(n, LARGEST_CHUNK) for n in source.shape[-2:]]
    array = group.create_array(
        "0", shape=source.shape, dtype=source.dtype.newbyteorder("="), overwrite=True,
        chunks=(*(1 for _ in source.shape[:-2]), *sides), dimension_names=list(source.axes),
        compressors=zarr.codecs.ZstdCodec(level=5), fill_value=0,
    )  # fmt: skip
    indices = itertools.product(*(range(n) for n in source.shape[:-2]))
    for index, plane in zip(indices, tally.pass_on(source.planes()), strict=True):
        array[index] = plane
    kind = {"t": "time", "c": "channel"}
    unit = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
    sizes = {**source.pixel_size, **({"t": source.time_step} if source.time_step else {})}
    axes = [
        {"name": a, "type": kind.get(a, "space")} | ({"unit": unit[a]} if sizes.get(a) else {})
        for a in source.axes
    ]
    scale = [float(sizes.get(a) or 1) for a in source.axes]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "name": path.name.split(".")[0],
                "axes": axes,
                "datasets": [
                    {"path": "0",
                     "coordinateTransformations": [{"type": "scale", "scale": scale}]}
                ],
            }
        ],
    }  # fmt: skip
    if "c" in source.axes:
        names = source.channel_names[: source.shape[source.axes.index("c")]]
        group.attrs["slidebox"] = {"channels": names, "rgb": source.rgb, "id": identity}
    return tally.hexdigest()


@contextmanager
def released_image(path: Path) -> Iterator[Source]:
    """Open an image of a release, OME-TIFF or OME-Zarr."""
    if path.suffix != ".zarr":
        with opened(path) as source:
            yield source
        return
    import zarr

    group = zarr.open_group(path, mode="r")
    described = group.attrs["ome"]["multiscales"][0]
    axes = "".join(axis["name"] for axis in described["axes"])
    more = group.attrs.get("slidebox", {})
    array = group["0"]
    scale = described["datasets"][0]["coordinateTransformations"][0]["scale"]
    known = {a["name"]: s for a, s in zip(described["axes"], scale, strict=True) if "unit" in a}
    yield Source(
        axes, array.shape, array.dtype, {a: s for a, s in known.items() if a != "t"},
        bool(more.get("rgb")), lambda index: np.asarray(array[index]), more.get("channels", []),
        known.get("t"),
    )  # fmt: skip


def write_frames(folder: Path, pattern: str, source: Source, identity: str) -> str:
    """Write a time-lapse as one TIFF a frame, as the Cell Tracking Challenge has it."""
    if "t" not in source.axes:
        raise Unfit(f"tracking needs a time axis; the image has {source.axes}")
    if "c" in source.axes:
        raise Unfit("choose one channel for tracking: data.channels: [0]")
    frames = source.shape[0]
    digits = 3 if frames <= 1000 else 4
    digest = hashlib.sha256()
    for t in range(frames):
        frame = Source(
            source.axes[1:], source.shape[1:], source.dtype, source.pixel_size, False,
            lambda index, t=t: source.read((t, *index)),
        )  # fmt: skip
        path = folder / pattern.format(f"{t:0{digits}d}")
        digest.update(write_tiff(path, frame, f"{identity}#{t}").encode())
    return digest.hexdigest()


_AXIS = {"axis-0": 0, "axis-1": 1, "axis-2": 2}


def read_tracks(path: Path) -> list[tuple[int, int, int, int]]:
    """Rows (label, begin, end, parent) of a table: CTC's four numbers, or named columns."""
    text = path.read_text("utf-8-sig").strip()
    if not text:
        return []
    first = text.splitlines()[0]
    try:
        if re.fullmatch(r"[\d\s]+", first):
            return [tuple(map(int, row.split()[:4])) for row in text.splitlines() if row.strip()]
        dialect = "\t" if "\t" in first else ";" if ";" in first else ","
        rows = csv.DictReader(text.splitlines(), delimiter=dialect)
        names = {n.strip().lower(): n for n in rows.fieldnames or []}
        label = names.get("label") or names.get("track") or names.get("track_id") or names.get("l")
        begin = names.get("begin") or names.get("start") or names.get("b")
        end = names.get("end") or names.get("e")
        parent = names.get("parent") or names.get("p")
        if not (label and begin and end and parent):
            raise Unfit(f"no columns label, begin, end, parent in {first!r}")
        return [(int(r[label]), int(r[begin]), int(r[end]), int(r[parent] or 0)) for r in rows]
    except (ValueError, TypeError) as bad:
        raise Unfit(f"the table of tracks can't be read: {bad}") from bad


def read_points(
    path: Path, axes: str, columns: dict[str, str] | None = None
) -> list[tuple[float, ...]]:
    """Coordinates in the order of `axes` from a table with columns x, y, z, or row, col, or
    axis-0, ...; or those that `columns` names for each axis.

    Lines below the header that say units or longer names (TrackMate's tables) are passed over.
    """
    with path.open(encoding="utf-8-sig", newline="") as handle:
        first = handle.readline()
        handle.seek(0)
        rows = csv.DictReader(handle, delimiter=next((d for d in "\t;" if d in first), ","))
        names = {n.strip().lower(): n for n in rows.fieldnames or []}
        wanted = columns_of(names, axes)
        if columns:
            named = [names.get(columns.get(a, a).strip().lower()) for a in axes]
            wanted = named if all(named) else None
        if wanted is None:
            asked = ", ".join((columns or {}).get(a, a) for a in axes)
            asked += "" if columns else " (or row, col)"
            there = ", ".join(repr(n.strip()) for n in rows.fieldnames or []) or "nothing"
            mapping = ", ".join(f"{a}: ..." for a in axes)
            raise Unfit(
                f"its truth {unquote(path.name)} has no columns {asked} but {there}; say which "
                f"ones they are in data.columns: {{{mapping}}}"
            )
        points: list[tuple[float, ...]] = []
        for number, row in enumerate(rows):
            try:
                points.append(tuple(float(row[c]) for c in wanted))
            except (TypeError, ValueError) as bad:
                words = not any(re.search(r"\d", row[c] or "") for c in wanted)
                if number < HEADERS and not points and words:
                    continue
                raise Unfit(
                    f"line {rows.line_num} of its truth {unquote(path.name)} isn't "
                    f"{len(wanted)} numbers: " + ", ".join(repr(row[c]) for c in wanted)
                ) from bad
        return points


def points_in(
    box: tuple[int, int, int, int], points: list[tuple[float, ...]], axes: str,
    pixel_size: dict[str, float],
) -> list[tuple[float, ...]]:  # fmt: skip
    """Points in a (y, x, height, width) box of pixels, counted from its corner.

    `pixel_size` by axis when points are in micrometers, else empty. A pixel spans half of one to
    each side of its middle; the far edges are the next box's.
    """
    at = {a: axes.index(a) for a in "yx"}
    corner = {a: box[k] * pixel_size.get(a, 1.0) for k, a in enumerate("yx")}
    low = {a: (box[k] - 0.5) * pixel_size.get(a, 1.0) for k, a in enumerate("yx")}
    high = {a: (box[k] + box[k + 2] - 0.5) * pixel_size.get(a, 1.0) for k, a in enumerate("yx")}
    inside = [p for p in points if all(low[a] <= p[at[a]] < high[a] for a in "yx")]
    return [tuple(v - corner.get(a, 0.0) for v, a in zip(p, axes, strict=True)) for p in inside]
