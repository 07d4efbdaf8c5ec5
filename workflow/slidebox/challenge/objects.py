"""Truth that is a mask an object: files of one annotation set for one image, joined to labels.

They are numbered from 1 in the order of their names; a pixel in two masks stays with the first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import pixels
from .archive import Study

SAME = 0.5  # share of the smaller of two masks above which both are of one object


@dataclass
class Objects:
    """Masks of one image.

    Attributes
    ----------
    axes, shape : of the image.
    planes : by index of the other axes: (number, flat places in the plane, ascending) of each
        object there.
    empty : paths of masks without a pixel.
    shared : pixels in two masks or more.
    """

    axes: str
    shape: tuple[int, ...]
    pixel_size: dict[str, float]
    time_step: float | None
    count: int
    planes: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    shared: int = 0

    def labels(self, box: tuple[int, int, int, int] | None = None) -> pixels.Source:
        """The label image, or a (y, x, height, width) box of it."""
        y, x, height, width = box or (0, 0, *self.shape[-2:])
        dtype = np.dtype(np.uint16 if self.count < 1 << 16 else np.uint32)

        def read(index: tuple[int, ...]) -> np.ndarray:
            plane = np.zeros((height, width), dtype)
            whole = self.shape[-1]
            for number, places in reversed(self.planes.get(tuple(index), [])):
                first, end = np.searchsorted(places, (y * whole, (y + height) * whole))
                rows, columns = np.divmod(places[first:end], whole)
                inside = (columns >= x) & (columns < x + width)
                # The first by name last: it keeps what is shared
                plane[rows[inside] - y, columns[inside] - x] = number
            return plane

        shape = (*self.shape[:-2], height, width)
        return pixels.Source(self.axes, shape, dtype, self.pixel_size, False, read,
                             [], self.time_step)  # fmt: skip


def joined(filesets: list[dict[str, Any]]) -> dict[str, Any]:
    """One fileset for several masks of one image; `objects` are those, by name."""
    ordered = sorted(filesets, key=lambda f: f["path"])
    return {**ordered[0], "objects": ordered, "files": [f for o in ordered for f in o["files"]]}


class Truths:
    """Opens truths in the vault. Masks of an image are read once for all of its tiles, if these
    are asked for one after the other."""

    def __init__(self) -> None:
        self.last: tuple[tuple, Objects] | None = None

    @contextmanager
    def opened(
        self, study: Study, fileset: dict[str, Any], series: int = 0,
        channels: list[int] | None = None, box: tuple[int, int, int, int] | None = None,
    ) -> Iterator[pixels.Source]:  # fmt: skip
        """A fileset as it is, or joined masks as a label image."""
        if "objects" not in fileset:
            with pixels.archived(study, fileset, series, channels, box) as source:
                yield source
            return
        wanted = (study.accession, study.version, fileset["path"], series)
        if self.last is None or self.last[0] != wanted:
            self.last = (wanted, read(study, fileset, series))
        yield self.last[1].labels(box)


def read(study: Study, fileset: dict[str, Any], series: int = 0) -> Objects:
    """All masks of a joined fileset.

    Raises
    ------
    pixels.Unfit
        A mask has several values besides 0, channels or another size, or two show one object.
    """
    made: Objects | None = None
    sizes: dict[int, int] = {}
    for number, one in enumerate(fileset["objects"], 1):
        path = one["path"]
        with pixels.archived(study, one, series) as mask:
            if "c" in mask.axes:
                if mask.shape[mask.axes.index("c")] != 1:
                    raise pixels.Unfit(f"mask {path} has channels; write one, 0 around the object")
                mask = pixels.squeeze(mask, "c")
            if made is None:
                made = Objects(mask.axes, mask.shape, mask.pixel_size, mask.time_step,
                               len(fileset["objects"]))  # fmt: skip
            if (mask.axes, mask.shape) != (made.axes, made.shape):
                raise pixels.Unfit(f"mask {path} is {mask.axes} {mask.shape}, "
                                   f"{fileset['path']} is {made.axes} {made.shape}")  # fmt: skip
            values: set[float] = set()
            for index in _indices(mask.shape):
                plane = mask.read(index).reshape(-1)
                places = np.flatnonzero(plane)
                values.update(np.unique(plane[places]).tolist())
                if places.size:
                    made.planes.setdefault(index, []).append((number, places))
                    sizes[number] = sizes.get(number, 0) + places.size
        if len(values) > 1:
            raise pixels.Unfit(
                f"{path} has {len(values)} values besides 0, so it is no mask of one object"
            )
        if not values:
            made.empty.append(path)
    _shared(made, sizes, [o["path"] for o in fileset["objects"]])
    return made


def _shared(made: Objects, sizes: dict[int, int], paths: list[str]) -> None:
    """Count pixels in several masks; Unfit where two masks are mostly the same."""
    both: dict[tuple[int, int], int] = {}
    for masks in made.planes.values():
        plane = np.zeros(made.shape[-2] * made.shape[-1], np.int64)
        for number, places in masks:
            before, counts = np.unique(plane[places], return_counts=True)
            for other, n in zip(before.tolist(), counts.tolist(), strict=True):
                if other:
                    both[other, number] = both.get((other, number), 0) + n
            plane[places[plane[places] == 0]] = number
    made.shared = sum(both.values())
    for (a, b), n in sorted(both.items()):
        if n > SAME * min(sizes[a], sizes[b]):
            raise pixels.Unfit(
                f"masks {paths[a - 1]} and {paths[b - 1]} share more than half of the smaller: are "
                "they of one object?"
            )


def _indices(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, shape[:-2]))
