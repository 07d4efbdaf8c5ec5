"""DeltaVision (.dv, .r3d, .d3d) by mrc. Rows come in the order in which they are stored."""

from __future__ import annotations

from pathlib import Path

import mrc
import numpy as np

from .. import units
from ..model import Channel, ImageFile, Series
from ..registry import version


def open_file(path: Path, name: str) -> ImageFile:
    file = mrc.DVFile(path)
    head, sizes = file.hdr, file.sizes
    order = [a for a in sizes if a not in "YX"]
    n = {"t": sizes["T"], "c": sizes["C"], "z": sizes["Z"]}
    frames = _frames(file)

    def frame(**where: int):
        number = 0
        for axis in order:
            number = number * sizes[axis] + where.get(axis, 0)
        return frames(number)

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        where = {"T": t, "C": c, "Z": z}
        return np.asarray(file.data[tuple(where[a] for a in order)][y0:y1])[None]

    waves = [head.wave1, head.wave2, head.wave3, head.wave4, head.wave5][: n["c"]]
    channels = []
    for c, wave in enumerate(waves):
        extended = frame(C=c)
        channels.append(
            Channel(
                name=f"{wave:g}" if wave > 0 else None,
                emission_wavelength=units.wavelength(wave),
                excitation_wavelength=units.wavelength(extended.exWavelen) if extended else None,
                exposure_time=units.seconds(extended.expTime) if extended else None,
            )
        )
    voxel = file.voxel_size
    series = Series(
        0,
        path.stem,
        "".join(a for a in "tcz" if n[a] > 1) + "yx",
        (*(n[a] for a in "tcz" if n[a] > 1), sizes["Y"], sizes["X"]),
        file.dtype,
        read,
        rows=1,
        channels=channels,
        pixel_size={
            a: units.micrometers(units.single(v)) for a, v in zip("xyz", voxel, strict=True)
        },
    )
    first, last = frame(), frame(T=n["t"] - 1)
    if first:
        where = (first.stageXCoord, first.stageYCoord, first.stageZCoord)
        if any(where):
            series.stage_position = dict(zip("xyz", map(float, where), strict=True))
        if n["t"] > 1:
            series.time_step = units.seconds(
                (last.timeStampSeconds - first.timeStampSeconds) / (n["t"] - 1)
            )
    title = getattr(file, "_title", b"") or b""
    text = title.decode("latin-1", "replace") if isinstance(title, bytes) else str(title)
    lines = [f"{k}: {v}" for k, v in head._asdict().items() if k != "blank"]
    metadata = {"header.txt": "\n".join([*lines, text.replace("\0", " ").strip()]) + "\n"}
    return ImageFile(str(path), name, "mrc", version("mrc"), [series], metadata, file.close)


def _frames(file):
    """Gives the extended header of a frame, or None where the file has none."""

    def get(number: int):
        if file.ext_hdr is None:
            return None
        try:
            frame = file.ext_hdr.frame(number)
        except Exception:
            return None
        return frame if hasattr(frame, "exWavelen") else None

    return get
