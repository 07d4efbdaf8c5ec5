"""Gatan DM3 and DM4 by ncempy: every image of the file but its thumbnail."""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path

import numpy as np
from ncempy.io import dm

from .. import units
from ..model import ImageFile, Series, UnreadableImage
from ..registry import version


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
    code = file.dataType[number]
    try:
        dtype = np.dtype(file._DM2NPDataType(code))
    except (OSError, KeyError, TypeError) as error:
        raise UnreadableImage(f"DM values of type {code} aren't known") from error
    order = "<" if getattr(file, "_littleEndian", True) in (True, 1, "<") else ">"
    stored = dtype.newbyteorder("<")
    del order
    offset = int(file.dataOffset[number])
    end = offset + math.prod((width, height, deep, deeper)) * dtype.itemsize
    size = path.stat().st_size
    if end > size:
        raise UnreadableImage(f"the file ends at byte {size}, its image goes to byte {end}")
    data = np.memmap(path, stored, "r", offset, (deeper, deep, height, width))
    scales = _scales(file, number)
    notes = []
    n = {"t": deeper, "z": deep}
    if deep > 1 and scales.get("z_unit") in ("s", "ms"):
        n = {"t": deep * deeper, "z": 1}
    elif deep > 1 and scales.get("z_unit") in ("eV", "keV"):
        notes.append("the third dimension is energy loss (eV); it is kept as z")

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        outer, inner = divmod(t * n["z"] + z, deep)
        return np.asarray(data[outer, inner, y0:y1])[None]

    axes = "".join(a for a in "tz" if n[a] > 1) + "yx"
    return Series(
        index,
        path.stem,
        axes,
        (*(n[a] for a in "tz" if n[a] > 1), height, width),
        dtype,
        read,
        {a: scales.get(a) for a in "xyz"},
        scales.get("t"),
        rows=1,
        notes=notes,
    )


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
        if axis == "z":
            found["z_unit"] = unit
            if unit in ("s", "ms"):
                found["t"] = units.seconds(value, unit)
    return found
