"""OME-Zarr 0.4 and 0.5 folders by zarr: images, series of bioformats2raw, wells of plates.

Only level 0 is read; its labels are not taken for images. An image whose level 0 holds no chunk is
damaged: reading it would give fill values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .. import units
from ..model import Channel, ImageFile, Series, UnreadableImage
from ..registry import version


def open_file(path: Path, name: str) -> ImageFile:
    try:
        root = zarr.open_group(path, mode="r")
    except Exception as error:
        raise UnreadableImage(f"no Zarr group: {type(error).__name__}: {error}") from error
    found: list[tuple[str, dict[str, Any]]] = []
    _walk(root, "", found)
    if not found:
        raise UnreadableImage("the Zarr folder has no multiscales, plate or bioformats2raw.layout")
    series = [_series(path, root, where, attrs, n) for n, (where, attrs) in enumerate(found)]
    metadata = {}
    xml = path / "OME" / "METADATA.ome.xml"
    if xml.is_file():
        metadata["ome.xml"] = xml.read_text(encoding="utf-8", errors="replace")
    return ImageFile(str(path), name, "zarr", version("zarr"), series, metadata)


def _attrs(group) -> dict[str, Any]:
    attrs = dict(group.attrs)
    return attrs.get("ome") or attrs


def _walk(group, where: str, found: list) -> None:
    attrs = _attrs(group)
    if attrs.get("multiscales"):
        found.append((where, attrs))
        return
    if attrs.get("plate"):
        for well in attrs["plate"].get("wells") or []:
            inside = _child(group, well["path"], where)
            for field in (_attrs(inside).get("well") or {}).get("images") or []:
                _walk(
                    _child(inside, str(field["path"]), where),
                    f"{where}{well['path']}/{field['path']}",
                    found,
                )
    elif attrs.get("well"):
        for field in attrs["well"].get("images") or []:
            _walk(_child(group, str(field["path"]), where), f"{where}{field['path']}", found)
    elif attrs.get("bioformats2raw.layout") is not None:
        names = None
        if "OME" in group:
            names = _attrs(group["OME"]).get("series")
        for name in names or sorted((k for k in group.group_keys() if k.isdigit()), key=int):
            _walk(_child(group, str(name), where), f"{where}{name}", found)


def _child(group, name: str, where: str):
    try:
        return group[name]
    except KeyError as error:
        raise UnreadableImage(f"{where}{name} is named in the metadata and isn't there") from error


def _series(path: Path, root, where: str, attrs: dict[str, Any], index: int) -> Series:
    multiscale = attrs["multiscales"][0]
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
    if array.size and not _has_chunks(path / inside):
        raise UnreadableImage(f"level 0 ({inside}) has no chunk: its pixels are missing")
    axes = multiscale.get("axes") or list("tczyx"[-array.ndim :])
    letters = [(a["name"] if isinstance(a, dict) else a).lower() for a in axes]
    if len(letters) != array.ndim or not set(letters) <= set("tczyx") or letters[-2:] != ["y", "x"]:
        raise UnreadableImage(f"axes {letters} of {inside} aren't a subset of t, c, z, y, x")
    unit = {n: a.get("unit") for n, a in zip(letters, axes, strict=True) if isinstance(a, dict)}
    scale = _scale(multiscale, dataset, array.ndim)
    sizes = dict(zip(letters, array.shape, strict=True))
    keep = "".join(a for a in "tcz" if sizes.get(a, 1) > 1) + "yx"

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        at = {"t": t, "c": c, "z": z, "y": slice(y0, y1), "x": slice(None)}
        return np.asarray(array[tuple(at[a] for a in letters)])[None]

    step = dict(zip(letters, scale, strict=True)) if scale else {}
    pixel = {a: units.micrometers(step.get(a), unit.get(a)) for a in "zyx"} if scale else {}
    shown = (attrs.get("omero") or {}).get("channels") or []
    channels = [Channel(c.get("label"), _color(c.get("color"))) for c in shown]
    name = multiscale.get("name") or where or path.name
    return Series(
        index,
        str(name) if str(name) != "/" else path.name,
        keep,
        tuple(sizes[a] for a in keep),
        array.dtype,
        read,
        pixel,
        units.seconds(step.get("t"), unit.get("t")) if "t" in keep else None,
        channels,
        rows=array.chunks[-2],
        file=str(path),
    )


def _has_chunks(folder: Path) -> bool:
    """Whether a file lies in an array's folder besides its metadata."""
    for entry in folder.rglob("*"):
        if entry.is_file() and entry.name not in (".zarray", ".zattrs", "zarr.json"):
            return True
    return False


def _scale(multiscale: dict, dataset: dict, ndim: int) -> list[float] | None:
    total = [1.0] * ndim
    said = False
    for source in (dataset, multiscale):
        for transform in source.get("coordinateTransformations") or []:
            if transform.get("type") == "scale" and len(transform.get("scale") or []) == ndim:
                total = [a * float(b) for a, b in zip(total, transform["scale"], strict=True)]
                said = True
    return total if said else None


def _color(value: str | None) -> str | None:
    text = (value or "").lstrip("#").upper()
    return text[:6] if len(text) >= 6 else None
