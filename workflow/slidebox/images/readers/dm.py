"""Gatan DM3 and DM4 by ncempy: every image of the file but its thumbnail."""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path

import numpy as np
from ncempy.io import dm

from .. import units
from ..model import Channel, ImageFile, Series, UnreadableImage
from ..registry import version

_BOOL = 14
_COLOUR = (8, 23)
_PACKED = (5, 27, 28)
_OTHERS = {_BOOL: "?", 8: "u1", 23: "u1"}


def open_file(path: Path, name: str) -> ImageFile:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # ncempy prints
            file = dm.fileDM(str(path), on_memory=False)
    except Exception as error:
        # ncempy doesn't know every tag; openreadout checks the file's structure as it reads
        try:
            from . import readout

            image = readout.open_file(path, name)
        except Exception:
            raise UnreadableImage(f"not a whole DM file ({error})") from error
        for one in image.series:
            one.notes.append(f"read by openreadout: ncempy couldn't ({error})")
        return image
    try:
        first = 1 if file.thumbnail else 0
        series = [
            _series(file, number, n, path)
            for n, number in enumerate(
                range(first, file.numObjects if file.thumbnail else max(file.numObjects, 1))
            )
        ]
    except BaseException:
        file.fid.close()
        raise
    tags = (
        "\n".join(f"{k} = {v}" for k, v in file.allTags.items() if not isinstance(v, np.ndarray))
        + "\n"
    )
    return ImageFile(
        str(path), name, "ncempy", version("ncempy"), series, {"tags.txt": tags}, file.fid.close
    )


def _series(file, number: int, index: int, path: Path) -> Series:
    width, height = int(file.xSize[number]), int(file.ySize[number])
    deep, deeper = int(file.zSize[number]), int(file.zSize2[number])
    code = int(file.dataType[number])
    if code in _PACKED:
        raise UnreadableImage("a packed Fourier transform isn't an image: save it unpacked")
    rgb = code in _COLOUR
    try:
        dtype = np.dtype(_OTHERS.get(code) or file._DM2NPDataType(code))
    except (OSError, KeyError, TypeError) as error:
        raise UnreadableImage(f"DM values of type {code} aren't known") from error
    stored = np.dtype(("u1", 4)) if rgb else dtype.newbyteorder("<")
    samples = 3 if rgb else 1
    offset = int(file.dataOffset[number])
    end = offset + math.prod((width, height, deep, deeper)) * stored.itemsize
    size = path.stat().st_size
    if end > size:
        raise UnreadableImage(f"the file ends at byte {size}, its image goes to byte {end}")
    shape = (deeper, deep, height, width)
    data = np.memmap(path, stored.base, "r", offset, (*shape, 4) if rgb else shape)
    scales = _scales(file, number)
    notes = []
    tags = _tags(file, number)
    spectral = "spectr" in str(tags.get("Meta Data.Format", "")).lower()
    n = {"t": deeper, "c": samples, "z": deep}
    if deep > 1 and scales.get("z_unit") in ("s", "ms"):
        n |= {"t": deep * deeper, "z": 1}
    elif deep > 1 and (spectral or scales.get("z_unit") in ("eV", "keV")):
        n |= {"c": deep, "z": 1}
        notes.append(
            f"the third dimension is a spectrum ({scales.get('z_unit')}): kept as channels"
        )
    elif spectral and height > 1:
        scales["x"] = None  # a line of spectra: its columns are wavelengths or energies
        notes.append(f"x is a spectrum ({scales.get('x_unit')}), y the place along a line")

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        outer, inner = divmod(t * n["z"] + z, deep) if n["c"] == samples else (t, c)
        band = np.asarray(data[outer, inner, y0:y1])
        if rgb:  # stored as blue, green, red, alpha
            return band[..., 2::-1].transpose(2, 0, 1)
        return band[None] if code != _BOOL else band[None] != 0

    axes = "".join(a for a in "tcz" if n[a] > 1) + "yx"
    exposure = tags.get("DataBar.Exposure Time (s)") or tags.get("Acquisition.Exposure (s)")
    device = tags.get("DataBar.Device Name") or tags.get("Device.Name")
    where = {a: units.position(tags.get(f"Stage Position.Stage {a.upper()}")) for a in "xyz"}
    series = Series(
        index,
        str(tags.get("Name") or path.stem),
        axes,
        (*(n[a] for a in "tcz" if n[a] > 1), height, width),
        dtype,
        read,
        {a: scales.get(a) for a in "xyz"},
        scales.get("t"),
        [Channel(name=str(device)) if device else Channel()] if n["c"] == 1 else [],
        rgb=rgb,
        samples=samples,
        rows=1,
        notes=notes,
    )
    series.channels[0].exposure_time = units.seconds(exposure)
    if where["x"] is not None and where["y"] is not None:
        series.stage_position = {k: v for k, v in where.items() if v is not None}
    for ours, theirs in (
        ("NominalMagnification", "Microscope Info.Indicated Magnification"),
        ("AccelerationVoltage", "Microscope Info.Voltage"),
        ("Microscope", "Microscope Info.Name"),
    ):
        if tags.get(theirs):
            value = tags[theirs]
            series.acquisition[ours] = value.item() if isinstance(value, np.generic) else value
    return series


def _tags(file, number: int) -> dict:
    """Tags of one image, by the last two parts of their names (``Microscope Info.Voltage``)."""
    found: dict = {}
    # ncempy counts images from 0 with the thumbnail, Gatan's list from 1
    start = f".ImageList.{number + 1}."
    for key, value in file.allTags.items():
        if key.startswith(start) and not isinstance(value, np.ndarray):
            parts = key.split(".")
            found.setdefault(".".join(parts[-2:]), value)
            if parts[3:] == ["Name"]:
                found["Name"] = value
    return found


def _scales(file, number: int) -> dict:
    """Pixel size per axis, by the calibration units that the file gives."""
    found: dict = {}
    start = sum(int(file.dataShape[i]) for i in range(number)) if number else 0
    for place, axis in enumerate("xyz"[: int(file.dataShape[number])]):
        at = start + place
        if at >= len(file.scale) or at >= len(file.scaleUnit):
            break
        unit = str(file.scaleUnit[at] or "").strip()
        value = float(file.scale[at])
        found[axis] = units.micrometers(value, unit)
        found[f"{axis}_unit"] = unit or "no unit"
        if axis == "z" and unit in ("s", "ms"):
            found["t"] = units.seconds(value, unit)
    return found
