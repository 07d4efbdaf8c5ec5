"""Imaris IMS, NeXus signals and plain HDF5 arrays (ilastik's with their tags) by h5py."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import h5py
import numpy as np

from .. import units
from ..model import Channel, ImageFile, Series, UnreadableImage
from ..registry import version
from . import nexus
from .slabs import deep_axis, in_slabs

_MAX_SERIES = 500


def open_file(path: Path, name: str) -> ImageFile:
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  registers more compressors
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UnreadableImage(f"not a whole HDF5 file: {error}") from error
    try:
        imaris = "DataSetInfo" in file and "DataSet" in file
        if imaris:
            name, series = "ims", [_imaris(file, path)]
        elif nexus.is_nexus(file):
            name, series = "nexus", _nexus(file) or _datasets(file, path)
        else:
            series = _datasets(file, path)
        return ImageFile(str(path), name, "h5py", version("h5py"), series, {}, file.close)
    except BaseException:
        file.close()
        raise


def _text(group, key: str) -> str | None:
    """Imaris writes attributes as arrays of single characters."""
    value = group.attrs.get(key)
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return b"".join(np.atleast_1d(value).astype("S1")).decode("utf-8", "replace").strip("\0 ")


def _number(group, key: str) -> float | None:
    try:
        return float(_text(group, key) or "")
    except ValueError:
        return None


def _member(group, name: str):
    """A member of a group, which may lie in another file."""
    try:
        return group[name]
    except KeyError:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise UnreadableImage(f"it is in {link.filename}, which isn't there") from None
        raise


def _imaris(file, path: Path) -> Series:
    info = file["DataSetInfo"]
    head = info["Image"]
    full = file["DataSet/ResolutionLevel 0"]
    times = sorted((k for k in full if k.startswith("TimePoint ")), key=lambda k: int(k.split()[1]))
    if not times:
        raise UnreadableImage("the file has no time point")
    channels = sorted(
        (k for k in full[times[0]] if k.startswith("Channel ")), key=lambda k: int(k.split()[1])
    )
    first = _member(full[times[0]], channels[0])
    # the arrays are padded to whole chunks; the true size is in the attributes
    width, height, depth = (
        int(_number(first, f"ImageSize{a}") or _number(head, a) or 0) for a in "XYZ"
    )
    data = first["Data"]
    if (
        not 0 < width <= data.shape[2]
        or not 0 < height <= data.shape[1]
        or not 0 < depth <= data.shape[0]
    ):
        depth, height, width = data.shape
    n = {"t": len(times), "c": len(channels), "z": depth}

    def read(t: int, c: int, z: int, count: int, y0: int, y1: int) -> np.ndarray:
        group = _member(full[times[t]], channels[c])
        return group["Data"][z : z + count, y0:y1, :width][None]

    deep = data.chunks[0] if data.chunks else 1
    plane = height * width * data.dtype.itemsize

    unit = _text(head, "Unit") or "um"
    sizes = {}
    for place, (axis, count) in enumerate((("x", width), ("y", height), ("z", depth))):
        low, high = _number(head, f"ExtMin{place}"), _number(head, f"ExtMax{place}")
        if low is not None and high is not None:
            sizes[axis] = units.micrometers(abs(high - low) / count, unit)
    found = []
    for c in range(len(channels)):
        group = info.get(f"Channel {c}")
        if group is None:
            found.append(Channel())
            continue
        value = (_text(group, "Color") or "").split()
        color = units.color(*(round(float(v) * 255) for v in value)) if len(value) == 3 else None
        found.append(
            Channel(
                _text(group, "Name"),
                color,
                units.wavelength(_text(group, "LSMEmissionWavelength")),
                units.wavelength(_text(group, "LSMExcitationWavelength")),
            )
        )
    return Series(
        0,
        _text(head, "Name") or path.stem,
        "".join(a for a in "tcz" if n[a] > 1) + "yx",
        (*(n[a] for a in "tcz" if n[a] > 1), height, width),
        data.dtype,
        in_slabs(read, deep, depth, plane, "z"),
        sizes,
        _imaris_step(info, len(times)),
        found,
        rows=data.chunks[1] if data.chunks else 1,
    )


def _imaris_step(info, count: int) -> float | None:
    if count < 2 or "TimeInfo" not in info:
        return None
    first, last = (
        _text(info["TimeInfo"], "TimePoint1"),
        _text(info["TimeInfo"], f"TimePoint{count}"),
    )
    try:
        span = np.datetime64(last.replace(" ", "T")) - np.datetime64(first.replace(" ", "T"))
    except (AttributeError, ValueError):
        return None
    return units.seconds(span / np.timedelta64(1, "ms") / 1000 / (count - 1))


def _datasets(file, path: Path) -> list[Series]:
    """Every numeric array of two to five dimensions whose last two are a picture's."""
    found: list = []

    def visit(name: str, item) -> None:
        if (
            (
                isinstance(item, h5py.Dataset)
                and item.dtype.kind in "buifc"
                and 2 <= item.ndim <= 5
                and item.size
            )
            and _pictures(item.shape)
            and len(found) < _MAX_SERIES
        ):
            found.append((name, item))

    file.visititems(visit)
    return [_dataset(name, item, n) for n, (name, item) in enumerate(found)]


def _nexus(file) -> list[Series]:
    """The signals of NXdata groups that are pictures."""
    found = []
    size = nexus.sample_pixel_size(file)
    for signal in nexus.signals(file):
        array = signal.array
        if not 2 <= array.ndim <= 5 or not array.size:
            continue
        letters = nexus.letters(signal)
        if min(array.shape[letters.index(a)] for a in "yx") < 8:
            continue  # a table or a spectrum
        one = _arranged(signal.name, array, len(found), letters, [])
        sizes, step = nexus.sizes(signal, letters)
        one.pixel_size = {a: sizes.get(a) or size.get(a) for a in one.pixel_size}
        one.time_step = step if "t" in one.axes else None
        if any(signal.axes):
            named = ", ".join(a or "-" for a in signal.axes)
            one.notes.append(f"the file's axes {named} are kept as {', '.join(letters)}")
        else:
            one.notes.append("the file names no axes; they are taken by position")
        found.append(one)
    return found


def _pictures(shape: tuple[int, ...]) -> bool:
    """Whether the last two axes, or those before colour samples, are more than a table's."""
    return min(shape[-2:]) >= 8 or (
        len(shape) > 2 and shape[-1] in (3, 4) and min(shape[-3:-1]) >= 8
    )


def _dataset(name: str, item, index: int) -> Series:
    letters, notes = _letters(item, [])
    return _arranged(name, item, index, letters, notes)


def _arranged(name: str, item, index: int, letters: list[str], notes: list[str]) -> Series:
    """A series of an array whose dimensions are ``letters``."""
    if "y" not in letters or "x" not in letters:
        raise UnreadableImage(f"dataset {name} has no y and x axis")
    rgb = letters[-1] == "c" and item.shape[-1] in (3, 4) and item.dtype == np.uint8
    sizes = dict(zip(letters, item.shape, strict=True))
    trailing = letters[-1] == "c"
    samples = sizes["c"] if trailing else 1
    axes = "".join(a for a in "tcz" if sizes.get(a, 1) > 1) + "yx"

    along = deep_axis(sizes)

    def read(t: int, c: int, z: int, count: int, y0: int, y1: int) -> np.ndarray:
        where = {"t": t, "c": c, "z": z, "y": slice(y0, y1), "x": slice(None)}
        where[along] = slice(where[along], where[along] + count)
        index = tuple(slice(None) if a == "c" and trailing else where[a] for a in letters)
        part = item[index]
        left = [a for a in letters if a in "yx" or a == along or (a == "c" and trailing)]
        part = part.transpose([left.index(a) for a in f"c{along}yx" if a in left])
        return part.reshape(samples, count, y1 - y0, sizes["x"])

    deep = item.chunks[letters.index(along)] if item.chunks and along in letters else 1
    plane = samples * sizes["y"] * sizes["x"] * item.dtype.itemsize

    pixel_size: dict[str, float | None] = {}
    element = item.attrs.get("element_size_um")  # ilastik, napari, Fiji's HDF5 plugin: z, y, x
    if element is not None and len(np.atleast_1d(element)) == 3:
        pixel_size = {
            a: units.micrometers(v) for a, v in zip("zyx", np.atleast_1d(element), strict=True)
        }
    place = letters.index("y")
    return Series(
        index,
        name,
        axes,
        (*(sizes[a] for a in axes[:-2]), sizes["y"], sizes["x"]),
        item.dtype,
        in_slabs(read, deep, sizes.get(along, 1), plane, along),
        pixel_size,
        rgb=rgb,
        samples=samples,
        rows=item.chunks[place] if item.chunks else 1,
        notes=notes,
    )


def _letters(item, notes: list[str]) -> tuple[list[str], list[str]]:
    """Axis letters of a dataset: by vigra's axistags, by dimension labels, else by position."""
    tags = item.attrs.get("axistags")
    if tags is not None:
        try:
            text = tags.decode() if isinstance(tags, bytes) else str(tags)
            keys = [a["key"] for a in json.loads(text)["axes"]]
            if len(keys) == item.ndim and set(keys) <= set("tczyx"):
                return keys, notes
        except (ValueError, KeyError, TypeError):
            pass
    labels = [str(d.label).lower() for d in item.dims]
    if set(labels) <= set("tczyx") and len(set(labels)) == item.ndim:
        return labels, notes
    if item.ndim == 2:
        return list("yx"), notes
    notes.append("the file names no axes; they are taken by position")
    if item.ndim == 3 and item.shape[-1] in (3, 4) and item.dtype == np.uint8:
        return list("yxc"), notes
    return list({3: "zyx", 4: "czyx", 5: "tczyx"}[item.ndim]), notes
