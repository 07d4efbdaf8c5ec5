"""OME-Zarr 0.1 to 0.5 folders by zarr: images, series of bioformats2raw, fields of plates, labels.

Only level 0 is read. An image whose level 0 is missing is damaged: reading it would give fill
values. Where several images stand in the folder, a damaged one is an error of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .. import units
from ..model import Channel, ImageFile, Label, Series, UnreadableImage, Well
from ..registry import version
from . import omexml
from .slabs import deep_axis, in_slabs

_METADATA = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")


def open_file(path: Path, name: str) -> ImageFile:
    try:
        root = zarr.open_group(path, mode="r")
    except Exception as error:
        raise UnreadableImage(f"no Zarr group: {type(error).__name__}: {error}") from error
    found: list[tuple[str, Any, Well | None]] = []
    _walk(path, root, "", found, None)
    if not found:
        raise UnreadableImage("the Zarr folder has no multiscales, plate or bioformats2raw.layout")
    described = _described(path)
    series, problems = [], []
    for where, group, well in found:
        try:
            if isinstance(group, UnreadableImage):
                raise group
            one = _image(path, root, where, _attrs(group), len(series))
            one.labels = _labels(path, root, where, group, one)
        except UnreadableImage as error:
            problems.append(error)
            if len(found) == 1:
                raise
            one = _broken(where, len(series), error)
        one.well, one.file = well, str(path / where)
        if well is not None:
            one.files = [str(p) for p in sorted((path / where).rglob("*")) if p.is_file()]
        series.append(one)
    if len(problems) == len(series):
        raise problems[0]
    images = omexml.parse(described) if described else []
    if len(images) == len(series):  # one document over all, in their order
        for one, told in zip(series, images, strict=True):
            _tell(told, one)
    else:
        for one in series:
            own = _described(Path(one.file or path))
            told_alone = omexml.parse(own) if own else []
            if len(told_alone) == 1:
                _tell(told_alone[0], one)
    metadata = {"ome.xml": described} if described else {}
    for name_, text in _originals(path):
        metadata[name_] = text
    return ImageFile(str(path), name, "zarr", version("zarr"), series, metadata)


def _attrs(group) -> dict[str, Any]:
    attrs = dict(group.attrs)
    return attrs.get("ome") or attrs


def _described(folder: Path) -> str:
    """The OME-XML that stands beside the images, or nothing."""
    xml = folder / "OME" / "METADATA.ome.xml"
    return xml.read_text(encoding="utf-8", errors="replace") if xml.is_file() else ""


def _originals(path: Path):
    """What an earlier conversion kept of the vendor's metadata."""
    folder = path / "OME" / "original"
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.is_file():
            yield file.name, file.read_text(encoding="utf-8", errors="replace")


# ---------------------------------------------------------------- where the images are


def _walk(path: Path, group, where: str, found: list, well: Well | None) -> None:
    attrs = _attrs(group)
    if attrs.get("multiscales"):
        found.append((where, group, well))
        return
    if attrs.get("plate"):
        _plate(path, group, attrs["plate"], where, found)
    elif attrs.get("well"):
        for field in attrs["well"].get("images") or []:
            _try(path, group, str(field["path"]), where, f"{where}{field['path']}", found, None)
    elif attrs.get("bioformats2raw.layout") is not None:
        names = None
        if "OME" in group:
            names = _attrs(group["OME"]).get("series")
        for name in names or sorted((k for k in group.group_keys() if k.isdigit()), key=int):
            _try(path, group, str(name), where, f"{where}{name}", found, None)


def _plate(path: Path, group, plate: dict[str, Any], where: str, found: list) -> None:
    rows = tuple(str(r["name"]) for r in plate.get("rows") or [])
    columns = tuple(str(c["name"]) for c in plate.get("columns") or [])
    layout = (rows, columns) if rows and columns else None
    name = str(plate.get("name") or path.name.removesuffix(".zarr").removesuffix(".ome"))
    for entry in plate.get("wells") or []:
        row, _, column = str(entry["path"]).partition("/")
        inside = _child(group, entry["path"], where)
        for number, field in enumerate((_attrs(inside).get("well") or {}).get("images") or []):
            at = str(field["path"])
            well = Well(name, row, column, int(at) if at.isdigit() else number, layout)
            _try(path, inside, at, where, f"{where}{entry['path']}/{at}", found, well)


def _try(path: Path, group, name: str, where: str, full: str, found: list, well) -> None:
    """An image of several: one that isn't there is a problem of its own."""
    try:
        _walk(path, _child(group, name, where), full, found, well)
    except UnreadableImage as error:
        found.append((full, error, well))


def _child(group, name: str, where: str):
    try:
        return group[name]
    except Exception as error:
        raise UnreadableImage(f"{where}{name} is named in the metadata and isn't there") from error


# ---------------------------------------------------------------- an image


def _image(path: Path, root, where: str, attrs: dict[str, Any], index: int) -> Series:
    multiscale = attrs["multiscales"][0]
    one = _series(path, root, where, multiscale, index)
    shown = (attrs.get("omero") or {}).get("channels") or []
    one.channels = [_channel(c) for c in shown[: one.size("c")]]
    one.channels += [Channel() for _ in range(one.size("c") - len(one.channels))]
    slidebox = dict(root[where].attrs if where else root.attrs).get("slidebox") or {}
    colors = [c.color for c in one.channels]
    # RGB is told by nothing but its channels: exactly red, green and blue, of bytes
    if slidebox.get("rgb") or (
        one.dtype == np.uint8
        and colors == ["FF0000", "00FF00", "0000FF"]
        and [(c.name or "").lower() for c in one.channels] == ["red", "green", "blue"]
    ):
        one.rgb, one.samples, one.reader = True, one.size("c"), _samples(one.reader, one.size("c"))
    return one


def _samples(reader, samples: int):
    """A reader of channels as one of colour pictures."""

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        parts = [reader(t, c * samples + s, z, y0, y1) for s in range(samples)]
        return np.concatenate(parts)

    return read


def _series(path: Path, root, where: str, multiscale: dict, index: int) -> Series:
    dataset = (multiscale.get("datasets") or [{}])[0]
    inside = f"{where}/{dataset.get('path')}".strip("/")
    try:
        array = root[inside]
    except KeyError as error:
        raise UnreadableImage(f"level 0 ({inside}) is missing") from error
    except Exception as error:
        raise UnreadableImage(f"level 0 ({inside}) can't be opened: {error}") from error
    if not isinstance(array, zarr.Array):
        raise UnreadableImage(f"level 0 ({inside}) is no array")
    if array.size and not _has_chunks(path / inside) and not _is_blank(root, where):
        raise UnreadableImage(f"level 0 ({inside}) has no chunk: its pixels are missing")
    axes = multiscale.get("axes") or list("tczyx"[-array.ndim :])
    letters = [(a["name"] if isinstance(a, dict) else a).lower() for a in axes]
    if len(letters) != array.ndim or not set(letters) <= set("tczyx") or letters[-2:] != ["y", "x"]:
        raise UnreadableImage(f"axes {letters} of {inside} aren't a subset of t, c, z, y, x")
    unit = {n: a.get("unit") for n, a in zip(letters, axes, strict=True) if isinstance(a, dict)}
    scale = _transform(multiscale, dataset, array.ndim, "scale")
    sizes = dict(zip(letters, array.shape, strict=True))
    keep = "".join(a for a in "tcz" if sizes.get(a, 1) > 1) + "yx"

    along = deep_axis(sizes)

    def read(t: int, c: int, z: int, count: int, y0: int, y1: int) -> np.ndarray:
        at = {"t": t, "c": c, "z": z, "y": slice(y0, y1), "x": slice(None)}
        at[along] = slice(at[along], at[along] + count)
        part = np.asarray(array[tuple(at[a] for a in letters)])
        return part.reshape(1, count, y1 - y0, sizes["x"])

    deep = array.chunks[letters.index(along)] if along in letters else 1
    plane = sizes["y"] * sizes["x"] * array.dtype.itemsize
    step = dict(zip(letters, scale, strict=True)) if scale else {}
    pixel = {a: units.micrometers(step.get(a), unit.get(a)) for a in "zyx"} if scale else {}
    moved = _transform(multiscale, dataset, array.ndim, "translation")
    place = {
        a: units.position(v, unit.get(a))
        for a, v in zip(letters, moved or [], strict=False)
        if a in "zyx"
    }
    known = {a: v for a, v in place.items() if v is not None}
    name = multiscale.get("name") or where or path.name
    return Series(
        index,
        str(name) if str(name) != "/" else path.name,
        keep,
        tuple(sizes[a] for a in keep),
        array.dtype,
        in_slabs(read, deep, sizes.get(along, 1), plane, along),
        pixel,
        units.seconds(step.get("t"), unit.get("t")) if "t" in keep else None,
        rows=(array.shards or array.chunks)[-2],
        file=str(path / where),
        stage_position=known if any(known.values()) and {"x", "y"} <= known.keys() else None,
    )


def _broken(where: str, index: int, error: UnreadableImage) -> Series:
    """An image that the folder names and that can't be opened: whoever reads it is told why."""

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        raise UnreadableImage(error.reason)

    return Series(index, where, "yx", (1, 1), np.dtype(np.uint8), read, notes=[error.reason])


def _has_chunks(folder: Path) -> bool:
    """Whether a file lies in an array's folder besides its metadata."""
    return any(e.is_file() and e.name not in _METADATA for e in folder.rglob("*"))


def _is_blank(root, where: str) -> bool:
    """Whether an image without chunks is all zero, as Slidebox says of one that it wrote so."""
    facts = dict(root[where].attrs if where else root.attrs).get("slidebox") or {}
    windows = [c.get("window") or {} for c in facts.get("channels") or []]
    return bool(windows) and all((w.get("min"), w.get("max")) == (0, 1) for w in windows)


def _transform(multiscale: dict, dataset: dict, ndim: int, kind: str) -> list[float] | None:
    """Scale or translation of level 0: the dataset's, then the one over all datasets."""
    total = [1.0 if kind == "scale" else 0.0] * ndim
    said = False
    for source in (dataset, multiscale):
        for one in source.get("coordinateTransformations") or []:
            values = one.get(kind) or []
            if one.get("type") != kind or len(values) != ndim:
                continue
            said = True
            pairs = list(zip(total, values, strict=True))
            total = [a * float(b) if kind == "scale" else a + float(b) for a, b in pairs]
    return total if said else None


# ---------------------------------------------------------------- what is told of it


def _channel(shown: dict[str, Any]) -> Channel:
    """A channel by omero: name, colour, and the window that its author chose."""
    window = shown.get("window") or {}
    start, end = window.get("start"), window.get("end")
    chosen = None
    if isinstance(start, int | float) and isinstance(end, int | float) and end > start:
        chosen = (float(start), float(end))
    return Channel(shown.get("label"), _color(shown.get("color")), window=chosen)


def _color(value: str | None) -> str | None:
    text = (value or "").lstrip("#").upper()
    return text[:6] if len(text) >= 6 else None


def _tell(told: omexml.OmeImage, series: Series) -> None:
    """Add what only the OME-XML knows: wavelengths, time, place, the objective."""
    if any(told.sizes.get(a, 1) != series.size(a) for a in "tzyx"):
        return
    for c, channel in enumerate(told.channels[: len(series.channels)]):
        mine = series.channels[c]
        for name in Channel.__slots__:
            if getattr(mine, name) is None:
                setattr(mine, name, getattr(channel, name))
    for axis in series.pixel_size:
        series.pixel_size[axis] = series.pixel_size[axis] or told.pixel_size.get(axis)
    if "t" in series.axes:
        series.time_step = series.time_step or told.time_step
    series.stage_position = told.stage_position or series.stage_position
    series.start_time = series.start_time or told.start_time
    series.acquisition |= told.acquisition


# ---------------------------------------------------------------- labels


def _labels(path: Path, root, where: str, group, image: Series) -> list[Label]:
    """The label images under an image, with the colours and properties of their objects."""
    try:
        names = _attrs(group["labels"]).get("labels") or []
    except Exception:
        return []
    found = []
    for name in names:
        inside = f"{where}/labels/{name}".strip("/")
        try:
            attrs = _attrs(_child(root, inside, ""))
            one = _series(path, root, inside, attrs["multiscales"][0], 0)
        except (UnreadableImage, KeyError, IndexError) as error:
            image.notes.append(f"label image {name} is left out: {error}")
            continue
        known: dict[int, dict[str, Any]] = {}
        told = attrs.get("image-label") or {}
        for entry in told.get("properties") or []:
            rest = {k: v for k, v in entry.items() if k not in ("label-value", "pixels")}
            known.setdefault(entry["label-value"], {}).update(rest)
        for entry in told.get("colors") or []:
            if entry.get("rgba"):
                known.setdefault(entry["label-value"], {})["rgba"] = entry["rgba"]
        one.stage_position = None
        found.append(Label(str(name), one, known))
    return found
