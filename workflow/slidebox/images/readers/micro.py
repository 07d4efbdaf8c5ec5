"""Olympus VSI, plates with an index file, BDV, Micro-Manager and others by micro-reader.

It reads exactly the rows that are asked for, so a slide of any size is read band by band.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from .. import units
from ..model import Channel, ImageFile, Series, UnreadableImage, Well
from ..registry import version


def open_file(path: Path, name: str) -> ImageFile:
    import micro_reader

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # what is missing or damaged isn't left out with a shrug
        for kind in ("CompositeWarning", "DamagedFileWarning", "MissingImagesWarning"):
            warnings.simplefilter("error", getattr(micro_reader, kind))
        try:
            file = micro_reader.open(str(path))
        except Warning as error:
            raise UnreadableImage(str(error)) from error
    try:
        series = [_series(image, n) for n, image in enumerate(file.images)]
        for one, image in zip(series, file.images, strict=True):
            one.well = _well(file, image)
    except BaseException:
        file.close()
        raise
    return ImageFile(
        str(path), name, "micro-reader", version("micro-reader"), series, {}, file.close
    )


def _series(image, index: int) -> Series:
    letters, lengths = image.axes, dict(zip(image.axes, image.shape, strict=True))
    odd = [a for a in letters if a not in "tczyxs"]
    if odd:
        raise UnreadableImage(f"axis {odd[0]} has no place in OME-Zarr")
    samples = lengths.get("s", 1)
    n = {"t": lengths.get("t", 1), "c": lengths.get("c", 1) * samples, "z": lengths.get("z", 1)}
    height, width = lengths["y"], lengths["x"]

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        where = {a: i for a, i in (("t", t), ("c", c), ("z", z)) if a in letters}
        band = np.asarray(image.read(**where, y=slice(y0, y1)))
        left = [a for a in letters if a not in where or a in "yx"]
        if band.ndim == len(letters):  # whole axes are kept by some backends
            band = band.reshape(
                [s for s, a in zip(band.shape, letters, strict=True) if a not in where]
            )
        order = [left.index(a) for a in "syx" if a in left]
        return band.transpose(order).reshape(samples, y1 - y0, width)

    meta = image.metadata
    sizes = {
        a: units.micrometers(q.value, q.unit) for a, q in meta.pixel_sizes.items() if a in "xyz"
    }
    step = meta.pixel_sizes.get("t")
    place = {
        a: units.position(q.value, q.unit)
        for a, q in (meta.stage_position or {}).items()
        if a in "xyz"
    }
    channels = [
        Channel(
            c.name, _color(c.color), _wave(c.emission_wavelength), _wave(c.excitation_wavelength)
        )
        for c in meta.channels
        for _ in range(samples if samples > 1 else 1)
    ]
    label = image.name or ""
    where = " ".join(f"{k} {v}" for k, v in image.index.items() if k != "series")
    role = next(
        (r for r in ("label", "macro", "thumbnail", "overview") if label.lower().startswith(r)),
        "image",
    )
    return Series(
        index,
        " ".join(p for p in (label, where) if p),
        "".join(a for a in "tcz" if n[a] > 1) + "yx",
        (*(n[a] for a in "tcz" if n[a] > 1), height, width),
        image.dtype,
        read,
        sizes,
        units.seconds(step.value, step.unit) if step is not None and n["t"] > 1 else None,
        channels,
        rgb=samples >= 3,
        samples=samples,
        rows=512,
        stage_position=place if place.get("x") is not None and place.get("y") is not None else None,
        role="macro" if role == "overview" else role,
    )


def _well(file, image) -> Well | None:
    """The image's place on a plate of the file; runs and parts of a field are plates of their own,
    since readers lay all images of a well side by side.
    """
    index = image.index
    if "well" not in index or not file.plates:
        return None
    plate = file.plates[index.get("plate", 0)]
    place = plate.wells[index["well"]]
    apart = {k: n for k, n in index.items() if k not in ("plate", "well", "field") and n}
    name = " ".join([plate.name or Path(file.path).stem, *(f"{k} {n}" for k, n in apart.items())])
    row, column = plate.rows[place.row], plate.columns[place.column]
    return Well(name, row, column, index.get("field", 0), (plate.rows, plate.columns))


def _color(value: str | None) -> str | None:
    text = (value or "").lstrip("#").upper()
    return text[-6:] if len(text) in (6, 8) else None


def _wave(quantity) -> float | None:
    if quantity is None:
        return None
    size = units.micrometers(quantity.value, quantity.unit)
    return units.wavelength(size * 1000) if size else None
