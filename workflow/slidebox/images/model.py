"""What an image file says about itself: files, series, channels. No pixel is read to fill these in.

Names and meanings follow OME (https://ome-model.readthedocs.io) and NGFF 0.5: axes are a subset of
``tczyx`` in that order and always end in ``yx``; sizes are in micrometre, times in seconds,
wavelengths in nanometre, colours are ``RRGGBB``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from slidebox.faults import machines_fault

AXES = "tczyx"


class UnreadableImage(ValueError):
    """An image that can't be read, and why: the file, and series and plane where they are known."""

    def __init__(
        self,
        reason: str,
        *,
        file: str | None = None,
        series: int | None = None,
        plane: dict[str, int] | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.file, self.series, self.plane = reason, file, series, plane

    def __str__(self) -> str:
        where = []
        if self.file:
            where.append(str(self.file))
        if self.series is not None:
            where.append(f"series {self.series}")
        if self.plane:
            where.append("plane " + " ".join(f"{k}={v}" for k, v in self.plane.items()))
        return f"{', '.join(where)}: {self.reason}" if where else self.reason


@dataclass(slots=True)
class Channel:
    """One channel: name, colour (``RRGGBB`` or None), wavelengths in nm, and what was in the
    file.
    """

    name: str | None = None
    color: str | None = None
    emission_wavelength: float | None = None
    excitation_wavelength: float | None = None
    fluor: str | None = None
    contrast_method: str | None = None
    acquisition_mode: str | None = None
    exposure_time: float | None = None
    window: tuple[float, float] | None = None
    """What the file says is to be shown as black and as white; None: to be found in the data."""

    def to_dict(self) -> dict[str, Any]:
        return {k: v for k, v in asdict(self).items() if v is not None}


@dataclass(frozen=True, slots=True)
class Well:
    """Where an image of a plate was taken: NGFF's and OME's plate, well and field.

    ``plate`` is its name, ``row`` and ``column`` the names of the well's row and column (``"B"``,
    ``"3"``: letters and a number without leading zeros), ``field`` counts from 0 in a well.
    ``layout`` are the names of all rows and columns of the plate, where the file says them.
    """

    plate: str
    row: str
    column: str
    field: int = 0
    layout: tuple[tuple[str, ...], tuple[str, ...]] | None = None

    @property
    def name(self) -> str:
        return f"{self.row}{self.column}"

    @property
    def path(self) -> str:
        """The image's place in an OME-Zarr plate: the same whatever other fields are there."""
        return f"{self.row}/{self.column}/{self.field}"


def well(plate: str, name: str, field: int = 0) -> Well | None:
    """A well by its name (``B03``, ``b3``, ``B/3``), or None where that isn't one."""
    match = re.fullmatch(r"\s*([A-Za-z]{1,2})[\s/_-]?0*([1-9]\d{0,2})\s*", name or "")
    return Well(plate, match[1].upper(), match[2], field) if match else None


# (t, c, z, first row, end row) -> (samples, rows, columns); c counts groups of samples.
BandReader = Callable[[int, int, int, int, int], np.ndarray]


@dataclass(slots=True)
class Label:
    """A label image that stands in the image's own file (OME-Zarr), and what is told of its
    objects: by value, a colour as ``rgba`` and any other property.
    """

    name: str
    series: Series
    known: dict[int, dict[str, Any]] = field(default_factory=dict)


@dataclass(slots=True)
class Series:
    """One image of a file: up to five axes, one dtype.

    Attributes
    ----------
    index, name : position in the file and its name there.
    axes, shape : e.g. ``"tczyx"`` and ``(2, 3, 40, 1500, 1500)``; an axis of length 1 is left out,
        except y and x.
    dtype : in native byte order.
    pixel_size : ``{"x": um, "y": um, "z": um}``; None where the file doesn't say.
    time_step : seconds between time points, or None.
    channels : one a value of c (one when there is no c axis).
    rgb : the channels are colour samples of one picture.
    samples : how many values of c one reading gives (3 for RGB files, else 1).
    rows : height of what the file stores in one piece (tile or strip): bands of a multiple of it
        are read without decoding anything twice. None: only the whole plane can be read.
    stage_position : ``{"x": um, "y": um, "z": um}`` of the first plane, or None.
    well : plate, well and field of an image of a plate, or None.
    role : ``image``, or ``label``, ``macro``, ``thumbnail`` of a slide: these are not the
        specimen's pixels, and a slide's label may show a patient's name.
    acquisition : further facts in OME's names (objective, pinhole, date), for people.
    files : the files that its pixels are read from, when they aren't all of the image's files.
    labels : label images that come with it in its own file.
    notes : what the reader had to decide or could not keep, in a sentence each.
    """

    index: int
    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype
    reader: BandReader
    pixel_size: dict[str, float | None] = field(default_factory=dict)
    time_step: float | None = None
    channels: list[Channel] = field(default_factory=list)
    rgb: bool = False
    samples: int = 1
    rows: int | None = None
    stage_position: dict[str, float] | None = None
    well: Well | None = None
    role: str = "image"
    start_time: str | None = None
    acquisition: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    file: str | None = None
    files: list[str] | None = None
    labels: list[Label] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dtype = np.dtype(self.dtype).newbyteorder("=")
        self.shape = tuple(int(n) for n in self.shape)
        self.pixel_size = {a: self.pixel_size.get(a) for a in "zyx" if a in self.axes}
        if self.axes[-2:] != "yx" or "".join(a for a in AXES if a in self.axes) != self.axes:
            raise UnreadableImage(f"axes {self.axes!r} are not in the order {AXES}", file=self.file)
        if len(self.axes) != len(self.shape) or min(self.shape) < 1:
            raise UnreadableImage(
                f"an image of shape {self.shape} and axes {self.axes!r} holds nothing",
                file=self.file,
                series=self.index,
            )
        n = self.size("c")
        if len(self.channels) < n:
            self.channels = self.channels + [Channel() for _ in range(n - len(self.channels))]
        del self.channels[n:]

    def size(self, axis: str) -> int:
        """Length along an axis; 1 for one that the image hasn't got."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def sizes(self) -> dict[str, int]:
        return dict(zip(self.axes, self.shape, strict=True))

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    def read_samples(
        self, t: int, c: int, z: int, y0: int = 0, y1: int | None = None
    ) -> np.ndarray:
        """Rows y0 to y1 of a plane, all colour samples: (samples, rows, columns), native byte
        order.

        ``c`` counts groups of samples (for RGB: pictures). Raises UnreadableImage that names the
        plane.
        """
        y1 = self.size("y") if y1 is None else y1
        try:
            band = self.reader(t, c, z, y0, y1)
        except Exception as error:
            if machines_fault(error):
                raise
            if isinstance(error, UnreadableImage):
                error.file = error.file or self.file
                error.series = self.index
                error.plane = error.plane or self._plane(t, c, z)
                raise
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise UnreadableImage(
                reason, file=self.file, series=self.index, plane=self._plane(t, c, z)
            ) from error
        wanted = (self.samples, y1 - y0, self.size("x"))
        if band.shape != wanted:
            raise UnreadableImage(
                f"the file says {wanted} and gives {band.shape}",
                file=self.file,
                series=self.index,
                plane=self._plane(t, c, z),
            )
        return band.astype(self.dtype, copy=False)

    def read(self, index: tuple[int, ...] = (), y0: int = 0, y1: int | None = None) -> np.ndarray:
        """One plane, or its rows y0 to y1: a 2D array (rows, columns).

        ``index`` is over ``axes[:-2]``. For many planes of an RGB image ``read_samples`` is
        cheaper.
        """
        where = dict(zip(self.axes[:-2], index, strict=True))
        group, sample = divmod(where.get("c", 0), self.samples)
        return self.read_samples(where.get("t", 0), group, where.get("z", 0), y0, y1)[sample]

    def asarray(self) -> np.ndarray:
        """The whole image in memory, shape ``shape``; for small ones and for tests."""
        out = np.empty(
            [self.size("t"), self.size("c"), self.size("z"), self.size("y"), self.size("x")],
            self.dtype,
        )
        s = self.samples
        for t in range(out.shape[0]):
            for c in range(out.shape[1] // s):
                for z in range(out.shape[2]):
                    out[t, c * s : (c + 1) * s, z] = self.read_samples(t, c, z)
        return out.reshape(self.shape)

    def _plane(self, t: int, c: int, z: int) -> dict[str, int]:
        where = {"t": t, "c": c * self.samples, "z": z}
        return {a: where[a] for a in self.axes[:-2]}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, as validation and study pages show it."""
        return {
            "index": self.index,
            "name": self.name,
            "axes": self.axes,
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            "rgb": self.rgb,
            "role": self.role,
            "pixel_size": self.pixel_size if any(self.pixel_size.values()) else None,
            "unit": "micrometer",
            "time_step": self.time_step,
            "time_unit": "second" if self.time_step else None,
            "channels": [c.to_dict() for c in self.channels],
            "stage_position": self.stage_position,
            "well": asdict(self.well) if self.well else None,
            "notes": list(self.notes),
        }


@dataclass(slots=True)
class ImageFile(AbstractContextManager):
    """An open image file (with its companions). Close it, or use it in a ``with`` block."""

    path: str
    format: str
    reader: str
    reader_version: str
    series: list[Series]
    metadata: dict[str, str] = field(default_factory=dict)
    """The vendor's own metadata as text, by name with extension: ``{"metadata.xml": "<...>"}``."""
    close_file: Callable[[], None] | None = None

    def close(self) -> None:
        if self.close_file is not None:
            self.close_file()
            self.close_file = None

    def __exit__(self, *exc: object) -> None:
        self.close()
