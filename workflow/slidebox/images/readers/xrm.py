"""Zeiss (Xradia) X-ray microscopy on olefile: XRM pictures, TXRM tilt series, TXM reconstructions.

The files are OLE containers: ``ImageInfo/*`` are arrays of numbers, one value an image, and
``ImageData<n>/Image<m>`` hold the planes, a hundred a folder. Row 0 is the lowest on the screen of
Zeiss' software; rows are kept in the order in which they are stored.
"""

from __future__ import annotations

import re
import threading
from datetime import datetime
from pathlib import Path

import numpy as np
import olefile

from .. import units
from ..model import Channel, ImageFile, Series, UnreadableImage
from ..registry import version

_TYPES = {3: "u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 10: "<f4", 11: "<f8"}
_FACTS = (
    "Angles",
    "Energy",
    "Voltage",
    "Current",
    "ExpTimes",
    "XrayMagnification",
    "OpticalMagnification",
    "StoRADistance",
    "DtoRADistance",
    "XPosition",
    "YPosition",
    "ZPosition",
)


def open_file(path: Path, name: str) -> ImageFile:
    file = olefile.OleFileIO(path)
    try:
        series = _series(file, path, name)
        return ImageFile(
            str(path), name, "olefile", version("olefile"), [series], _text(file), file.close
        )
    except BaseException:
        file.close()
        raise


def _series(file, path: Path, name: str) -> Series:
    height, width = _whole(file, "ImageHeight"), _whole(file, "ImageWidth")
    kind = _whole(file, "DataType")
    if kind not in _TYPES:
        raise UnreadableImage(f"pixels of type {kind} aren't known")
    stored = np.dtype(_TYPES[kind])
    if _whole(file, "MosiacRows", 0) * _whole(file, "MosiacColumns", 0) > 1:
        raise UnreadableImage("a mosaic of overlapping pictures: stitch it in Zeiss' software")
    planes = {}
    for entry in file.listdir():
        match = re.fullmatch(r"Image(\d+)", entry[-1])
        if match and len(entry) == 2 and re.fullmatch(r"ImageData\d+", entry[0]):
            planes[int(match[1])] = "/".join(entry)
    order = [planes[number] for number in sorted(planes)]
    declared, taken = _whole(file, "NoOfImages", len(order)), _whole(file, "ImagesTaken", 0)
    wanted = min(n for n in (declared, taken) if n) if declared or taken else len(order)
    if len(order) < wanted or not order:
        raise UnreadableImage(
            f"the file says {wanted} images and holds {len(order)}: it is cut off"
        )
    size = height * width * stored.itemsize
    for stream in order:
        if file.get_size(stream) < size:
            raise UnreadableImage(f"{stream} has {file.get_size(stream)} bytes of {size}")
    lock = threading.Lock()

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        with lock, file.openstream(order[t + z]) as handle:
            row = width * stored.itemsize
            handle.seek(y0 * row)
            data = handle.read((y1 - y0) * row)
        return np.frombuffer(data, stored).reshape(1, y1 - y0, width)

    size_um = units.single(_floats(file, "PixelSize", [0.0])[0])
    axis = "z" if name == "txm" else "t"
    notes = ["rows run upwards on the microscope's screen; they are kept as stored"]
    if axis == "t" and len(order) > 1:
        angles = _floats(file, "Angles", [])
        what = f"from {min(angles):.4g} to {max(angles):.4g} degrees" if len(angles) > 1 else ""
        notes.append(f"projections {what} are kept as time points".replace("  ", " "))
    many = len(order) > 1
    where = {a: _floats(file, f"{a.upper()}Position", []) for a in "xyz"}
    exposure = _floats(file, "ExpTimes", [])
    series = Series(
        0,
        path.stem,
        (axis if many else "") + "yx",
        (*([len(order)] if many else []), height, width),
        stored,
        read,
        {a: units.micrometers(size_um) for a in "zyx"},
        channels=[Channel(exposure_time=units.seconds(exposure[0]) if exposure else None)],
        stage_position={a: units.single(v[0]) for a, v in where.items()}
        if all(where.values())
        else None,
        start_time=_date(file),
        notes=notes,
    )
    lens = (
        file.openstream("ImageInfo/ObjectiveName") if file.exists("ImageInfo/ObjectiveName") else 0
    )
    if lens:
        series.acquisition["Objective"] = lens.read().split(b"\0")[0].decode("latin-1")
    return series


def _bytes(file, key: str) -> bytes:
    stream = f"ImageInfo/{key}"
    return file.openstream(stream).read() if file.exists(stream) else b""


def _whole(file, key: str, default: int | None = None) -> int:
    data = _bytes(file, key)
    if len(data) >= 4:
        return int.from_bytes(data[:4], "little", signed=True)
    if default is None:
        raise UnreadableImage(f"the file has no ImageInfo/{key}")
    return default


def _floats(file, key: str, default: list[float]) -> list[float]:
    data = _bytes(file, key)
    return np.frombuffer(data[: len(data) // 4 * 4], "<f4").tolist() or default


def _date(file) -> str | None:
    """Start of the first image: ``month/day/year hour:minute:second`` as an ISO date."""
    text = _bytes(file, "Date").split(b"\0")[0].decode("latin-1").strip()
    for form in ("%m/%d/%Y %H:%M:%S", "%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S.%f"):
        try:
            return datetime.strptime(text, form).isoformat()
        except ValueError:
            continue
    return None


def _text(file) -> dict[str, str]:
    lines = [f"{k}: {' '.join(f'{v:.9g}' for v in _floats(file, k, []))}" for k in _FACTS]
    lines += [f"Date: {_bytes(file, 'Date').split(bytes(1))[0].decode('latin-1')}"]
    return {"ImageInfo.txt": "\n".join(lines) + "\n"}
