"""Nikon ND2 by nd2: each XY position is a series, each frame is read alone."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import nd2
import numpy as np

from .. import units
from ..model import Channel, ImageFile, Series, UnreadableImage, well
from ..registry import version


def open_file(path: Path, name: str) -> ImageFile:
    file = nd2.ND2File(path)
    try:
        series = _all_series(file, path)
        metadata = {
            "text_info.txt": "\n".join(f"{k}: {v}" for k, v in (file.text_info or {}).items())
        }
        own = _own(file)
        if own:
            metadata["metadata.json"] = own
        return ImageFile(str(path), name, "nd2", version("nd2"), series, metadata, file.close)
    except BaseException:
        file.close()
        raise


def _own(file) -> str:
    """The sections of the file's own metadata, as JSON; nothing where they can't be decoded."""
    try:
        return json.dumps(file.unstructured_metadata(), indent=1, default=str, skipkeys=True)
    except Exception:  # older forms of the format
        return ""


def _all_series(file, path: Path) -> list[Series]:
    sizes = dict(file.sizes)
    components = sizes.pop("S", 1)
    in_frame = sizes.get("C", 1)
    outer = [(a, n) for a, n in sizes.items() if a not in "CYX"]
    odd = [a for a, n in outer if a not in "TZP" and n > 1]
    if odd:
        raise UnreadableImage(f"loop {odd[0]} of this ND2 has no axis in OME-Zarr", file=str(path))
    lengths = dict(outer)
    height, width = sizes["Y"], sizes["X"]
    samples = components * in_frame
    channels = (
        [_channel(c, file.is_rgb) for c in file.metadata.channels or []] if file.metadata else []
    )
    if components > 1:
        channels = [c for c in channels for _ in range(components)]
    voxel = file.voxel_size()
    calibrated = (True, True, True)
    if file.metadata and file.metadata.channels:
        calibrated = file.metadata.channels[0].volume.axesCalibrated
    names, places = _points(file)
    count = lengths.get("P", 1)
    n = {"t": lengths.get("T", 1), "c": samples, "z": lengths.get("Z", 1)}
    axes = "".join(a for a in "tcz" if n[a] > 1) + "yx"
    shape = (*tuple(n[a] for a in "tcz" if n[a] > 1), height, width)
    pixel_size = {
        "x": units.micrometers(voxel.x) if calibrated[0] else None,
        "y": units.micrometers(voxel.y) if calibrated[1] else None,
        "z": units.micrometers(voxel.z) if n["z"] > 1 else None,
    }
    step = _time_step(file) or _measured_step(file, outer)
    for channel, seconds in zip(channels, _exposures(file, len(channels)), strict=False):
        channel.exposure_time = seconds
    for channel, wave in zip(channels, _excitations(file, channels), strict=True):
        channel.excitation_wavelength = wave
    plain = file.attributes.compressionType in (None, "none")
    result = []
    for p in range(count):

        def read(t: int, c: int, z: int, y0: int, y1: int, p: int = p) -> np.ndarray:
            where = {"T": t, "Z": z, "P": p}
            number = 0
            for axis, length in outer:
                number = number * length + where.get(axis, 0)
            frame = np.asarray(file.read_frame(number))
            return _samples_first(frame, in_frame, components, height, width)[:, y0:y1]

        series = Series(
            p,
            names[p]
            if p < len(names) and names[p]
            else (path.stem if count == 1 else f"XY{p + 1:02}"),
            axes,
            shape,
            file.dtype,
            read,
            dict(pixel_size),
            step,
            [Channel(**_fields(c)) for c in channels],
            rgb=components == 3 and in_frame == 1,
            samples=samples,
            # frames that aren't compressed are mapped: rows of a large one are read as they come
            rows=1 if height * width > 1 << 24 and plain else None,
            stage_position=places[p] if p < len(places) else _first_position(file),
        )
        series.well = well(path.stem, series.name) if count > 1 else None
        if file.metadata and file.metadata.channels:
            scope = file.metadata.channels[0].microscope
            for key, value in (
                ("NominalMagnification", scope.objectiveMagnification),
                ("Model", scope.objectiveName),
                ("LensNA", scope.objectiveNumericalAperture),
            ):
                if value:
                    series.acquisition[key] = value
        date = (file.text_info or {}).get("date")
        if date:
            series.acquisition["date"] = date
        result.append(series)
    return result


def _samples_first(
    frame: np.ndarray, channels: int, components: int, height: int, width: int
) -> np.ndarray:
    """A frame as nd2 gives it, (C, Y, X[, S]) or (Y, X[, S]), as (samples, Y, X)."""
    if frame.size != channels * components * height * width:
        raise UnreadableImage(
            f"the frame has {frame.shape}, not {channels}x{components}x{height}x{width}"
        )
    frame = frame.reshape(channels, height, width, components)
    if components == 1:
        return frame[..., 0]
    return np.moveaxis(frame, -1, 1).reshape(channels * components, height, width)


def _fields(channel: Channel) -> dict:
    return {name: getattr(channel, name) for name in Channel.__slots__}


def _channel(item, rgb: bool) -> Channel:
    meta = item.channel
    color = meta.color
    flags = [f.lower() for f in item.microscope.modalityFlags or []]
    contrast = None
    if "brightfield" in flags:
        contrast = "Brightfield"
    elif "phaseContrast".lower() in flags:
        contrast = "Phase"
    elif "fluorescence" in flags and meta.emissionLambdaNm:
        contrast = "Fluorescence"
    return Channel(
        name=meta.name,
        color=None if rgb or color is None else units.color(color.r, color.g, color.b),
        emission_wavelength=units.wavelength(meta.emissionLambdaNm),
        excitation_wavelength=units.wavelength(meta.excitationLambdaNm),
        contrast_method=contrast,
    )


def _points(file) -> tuple[list[str | None], list[dict[str, float]]]:
    for loop in file.experiment or []:
        if loop.type == "XYPosLoop":
            points = loop.parameters.points
            return [p.name for p in points], [
                {"x": p.stagePositionUm.x, "y": p.stagePositionUm.y, "z": p.stagePositionUm.z}
                for p in points
            ]
    return [], []


def _first_position(file) -> dict[str, float] | None:
    try:
        meta = file.frame_metadata(0)
        where = meta.channels[0].position.stagePositionUm
        if any(where) and all(math.isfinite(v) for v in where):
            return {"x": where.x, "y": where.y, "z": where.z}
    except Exception:
        return None
    return None


def _time_step(file) -> float | None:
    """The measured mean period where the file has one, else the one that was asked for."""
    for loop in file.experiment or []:
        if loop.type == "TimeLoop":
            measured = (
                units.seconds(loop.parameters.periodDiff.avg, "ms")
                if loop.parameters.periodDiff
                else None
            )
            return measured or units.seconds(loop.parameters.periodMs, "ms")
        if loop.type == "NETimeLoop" and len(loop.parameters.periods) == 1:
            period = loop.parameters.periods[0]
            measured = units.seconds(period.periodDiff.avg, "ms") if period.periodDiff else None
            return measured or units.seconds(period.periodMs, "ms")
    return None


def _measured_step(file, outer: list[tuple[str, int]]) -> float | None:
    """The mean time between the first planes of the time points, where the loop says none."""
    lengths = dict(outer)
    count = lengths.get("T", 1)
    if count < 2:
        return None
    stride, at = 1, 0
    for axis, length in reversed(outer):
        if axis == "T":
            at = stride * (count - 1)
        stride *= length
    try:
        first, last = (file.frame_metadata(n).channels[0].time.relativeTimeMs for n in (0, at))
    except Exception:
        return None
    return units.seconds((last - first) / (count - 1), "ms")


def _exposures(file, count: int) -> list[float | None]:
    """Exposure of each channel (s), from what the recording tells of its planes.

    Several texts tell the same, each of all channels in their order.
    """
    try:
        texts = list((file.text_info or {}).values())
    except Exception:
        return []
    told: list[list[float | None]] = []
    for text in texts:
        found = re.findall(r"Exposure:\s*([\d.]+)\s*(ms|s|us|µs|min)\b", text)
        told.append([units.seconds(v, u) for v, u in found])
    whole = [values for values in told if len(values) == count]
    if whole:
        return whole[0]
    values = [value for values in told for value in values]
    return values[:1] * count if len(set(values)) == 1 else []


def _excitations(file, channels: list[Channel]) -> list[float | None]:
    """Excitation of each channel (nm): the one laser line that was on, as the recording tells it.

    The file's own number is the first of a filter's spectrum, the same for all channels behind one
    dichroic mirror: without a word on lasers it counts only where no two dyes share it.
    """
    given = [c.excitation_wavelength for c in channels]
    try:
        text = (file.text_info or {}).get("description", "")
    except Exception:
        text = ""
    planes = re.split(r"Plane #\d+:", text)[1:] or [text]
    if len(planes) == len(channels) and "ExW:" in text:
        lines = [re.findall(r"ExW:\s*([\d.]+);[^;\n]*;\s*On\b", plane) for plane in planes]
        return [units.wavelength(on[0]) if len(on) == 1 else None for on in lines]
    shared = {w for w in given if given.count(w) > 1}
    return [None if w in shared else w for w in given]
