"""What vendors add to TIFF: ImageJ, LSM, STK, SVS, NDPI, SCN, QPTIFF, MetaSeries, FluoView."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from .. import units
from ..model import Series


def tables(tiff: tifffile.TiffFile) -> dict[str, str]:
    """Metadata that a vendor keeps in binary tables of tags, as JSON."""
    found = {}
    for kind in ("lsm", "stk", "ndpi", "fluoview", "fei", "sem", "sis", "tvips", "andor", "eer"):
        value = _quiet(tiff, f"{kind}_metadata") if getattr(tiff, f"is_{kind}", False) else None
        if value:
            found[f"{kind}.json"] = json.dumps(value, indent=1, default=_plain, skipkeys=True)
    if tiff.is_ndpi:
        tags = {f"{t.code} {t.name}": t.value for t in tiff.pages.first.tags if t.code >= 65420}
        short = {k: v for k, v in tags.items() if len(str(v)) < 4096}
        found.setdefault("ndpi.json", json.dumps(short, indent=1, default=_plain, skipkeys=True))
    return found


def _quiet(tiff: tifffile.TiffFile, name: str) -> Any:
    """Metadata that can't be parsed are no reason not to read the pixels."""
    try:
        return getattr(tiff, name, None)
    except Exception:
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def apply_vendor(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    """Fill in what the vendor's own tags and texts say: sizes, channels, places, times."""
    for kind, apply in (
        (tiff.is_imagej, _imagej),
        (tiff.is_lsm, _lsm),
        (tiff.is_stk, _stk),
        (tiff.is_svs, _svs),
        (tiff.is_ndpi, _ndpi),
        (tiff.is_scn, _scn),
        (tiff.is_qpi, _qptiff),
        (tiff.is_metaseries and not tiff.is_stk, _metaseries),
        (tiff.is_fluoview, _fluoview),
    ):
        if kind and not (tiff.is_ome and apply is not _qptiff):
            apply(tiff, series)


def _imagej(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    data = tiff.imagej_metadata or {}
    page = tiff.pages.first
    unit = str(data.get("unit", "")).strip()
    for one in series:
        sizes: dict[str, float | None] = {}
        for axis, tag, key in (("x", 282, "unit"), ("y", 283, "yunit")):
            value = page.tags.valueof(tag)
            here = str(data.get(key) or unit).strip() if key == "yunit" else unit
            here = here.encode().decode("unicode_escape") if "\\u" in here else here
            if value and value[0] and value[1]:
                sizes[axis] = units.micrometers(value[1] / value[0], here or None)
                if sizes[axis] is not None:
                    sizes[axis] = float(f"{sizes[axis]:.9g}")
        z_unit = str(data.get("zunit") or unit)
        z_unit = z_unit.encode().decode("unicode_escape") if "\\u" in z_unit else z_unit
        sizes["z"] = (
            units.micrometers(abs(float(data["spacing"])), z_unit) if "spacing" in data else None
        )
        one.pixel_size = {a: sizes.get(a) for a in one.pixel_size}
        if "t" in one.axes and data.get("finterval"):
            one.time_step = units.seconds(data["finterval"], data.get("tunit", "s"))
        n = one.size("c")
        if str(data.get("mode", "")) in ("composite", "color", "grayscale") and one.rgb:
            one.rgb = one.dtype == np.uint8 and "mode" not in data
        labels = data.get("Labels") or []
        labels = [labels] if isinstance(labels, str) else labels
        luts = data.get("LUTs") or []
        for c in range(n):
            if len(luts) == n and np.shape(luts[c]) == (3, 256) and not one.rgb:
                one.channels[c].color = units.color(*(int(v) for v in np.asarray(luts[c])[:, -1]))
            elif n > 1 and data.get("mode") == "composite" and not one.rgb:
                # ImageJ's defaults for composites without tables of their own
                one.channels[c].color = (
                    "FF0000",
                    "00FF00",
                    "0000FF",
                    "FFFFFF",
                    "00FFFF",
                    "FF00FF",
                    "FFFF00",
                )[c % 7]
        if n > 1 and len(labels) == n and len(set(labels)) == n:
            for c, label in enumerate(labels):
                one.channels[c].name = str(label)


def _lsm(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    data = tiff.lsm_metadata or {}
    one = series[0]
    one.pixel_size = {
        a: units.micrometers(data.get(f"VoxelSize{a.upper()}"), "m") for a in one.pixel_size
    }
    if one.pixel_size.get("z") and one.pixel_size["z"] < 1e-6:
        one.pixel_size["z"] = None
    stamps = data.get("TimeStamps")
    if "t" in one.axes:
        one.time_step = units.seconds(data.get("TimeIntervall"))
        if one.time_step is None and stamps is not None and len(stamps) > 1:
            one.time_step = units.seconds(float(np.median(np.diff(stamps))))
    colors = data.get("ChannelColors") or {}
    names, values = colors.get("ColorNames") or [], colors.get("Colors") or []
    for c, channel in enumerate(one.channels):
        if c < len(names):
            channel.name = names[c]
        if c < len(values):
            channel.color = units.color(*values[c][:3])
    for c, (emission, excitation) in enumerate(_lsm_wavelengths(data)):
        if c < len(one.channels):
            one.channels[c].emission_wavelength = emission
            one.channels[c].excitation_wavelength = excitation
    one.rgb = False
    scan = data.get("ScanInformation") or {}
    if scan.get("Objective"):
        one.acquisition["Objective"] = scan["Objective"]


def _lsm_wavelengths(data) -> list[tuple[float | None, float | None]]:
    """Detection band centres and the track's laser lines, in channel order."""
    found = []
    for track in (data.get("ScanInformation") or {}).get("Tracks") or []:
        if not track.get("Acquire", 1):
            continue
        lasers = [
            c.get("Wavelength")
            for c in track.get("IlluminationChannels") or []
            if c.get("Acquire", 1)
        ]
        excitation = units.wavelength(lasers[0]) if len(lasers) == 1 else None
        for channel in track.get("DetectionChannels") or []:
            if not channel.get("Acquire", 1):
                continue
            low, high = (
                channel.get("SpiWavelengthStart"),
                channel.get("SpiWavelengthStop", channel.get("SpiWavelengthEnd")),
            )
            emission = units.wavelength((low + high) / 2) if low and high else None
            found.append((emission, excitation))
    return found


def _stk(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    data = tiff.stk_metadata or {}
    one = series[0]
    unit = data.get("CalibrationUnits")
    if data.get("SpatialCalibration") and unit:
        for axis, key in (("x", "XCalibration"), ("y", "YCalibration")):
            one.pixel_size[axis] = units.micrometers(data.get(key), str(unit).strip("\0 "))
    distance = np.ravel(data.get("ZDistance", []))
    if "z" in one.axes and distance.size and np.all(distance > 0):
        one.pixel_size["z"] = units.micrometers(float(np.median(np.abs(distance))))
    created = np.asarray(data.get("DatetimeCreated", []))
    if "t" in one.axes and created.size > 1:
        steps = np.diff(created).astype("timedelta64[ms]").astype(float) / 1000
        one.time_step = units.seconds(float(np.median(steps)))
    waves = np.ravel(data.get("Wavelengths", []))
    for c, channel in enumerate(one.channels):
        if c < waves.size:
            channel.emission_wavelength = units.wavelength(waves[c])
    name = data.get("Name")
    if name:
        one.name = str(name)


def _svs(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    text = tiff.pages.first.description
    facts = dict(re.findall(r"\|\s*([^=|]+?)\s*=\s*([^|]+?)\s*(?=\||$)", text))
    mpp = units.micrometers(facts.get("MPP"))
    for one in series:
        if one.role == "image":
            one.pixel_size |= {"x": mpp, "y": mpp}
            if facts.get("AppMag"):
                one.acquisition["NominalMagnification"] = facts["AppMag"]
            one.start_time = _svs_time(facts)
            where = {
                a: units.position(facts.get(k), "mm") for a, k in (("x", "Left"), ("y", "Top"))
            }
            one.stage_position = where if None not in where.values() else None
        else:
            one.pixel_size |= {"x": None, "y": None}


def _svs_time(facts: dict[str, str]) -> str | None:
    """``12/29/09`` and ``09:59:15`` as an ISO date."""
    text = f"{facts.get('Date', '')} {facts.get('Time', '')}"
    for form in ("%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S"):
        try:
            return datetime.strptime(text, form).isoformat()
        except ValueError:
            continue
    return None


def _ndpi(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    """Hamamatsu's tags: magnification, offset from the slide's centre in nm, and what a slide in
    fluorescence shows (one file a channel, as a colour picture).
    """
    for one, item in zip(series, tiff.series, strict=False):
        tags = item.keyframe.ndpi_tags or {}
        if one.role != "image":
            continue
        if tags.get("Magnification"):
            one.acquisition["NominalMagnification"] = tags["Magnification"]
        keys = (("x", "XOffsetFromSlideCenter"), ("y", "YOffsetFromSlideCenter"))
        where = {a: units.position(tags.get(k), "nm") for a, k in keys}
        one.stage_position = where if None not in where.values() else None
        one.channels[0].name = str(tags.get("Fluorescence") or "").strip() or None
        one.channels[0].emission_wavelength = units.wavelength(tags.get("Wavelength"))
        stamp = item.keyframe.datetime
        one.start_time = stamp.isoformat() if stamp else None


def _scn(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    try:
        root = ElementTree.fromstring(tiff.scn_metadata or "")
    except ElementTree.ParseError:
        return
    ns = {"s": root.tag.partition("}")[0].strip("{")}
    images = root.findall(".//s:image", ns)
    for one, image in zip(series, images, strict=False):
        view, pixels = image.find("s:view", ns), image.find("s:pixels", ns)
        one.name = image.get("name") or one.name
        if view is None or pixels is None:
            continue
        # Leica's sizes are in nm
        for axis, key in (("x", "X"), ("y", "Y")):
            size, count = view.get(f"size{key}"), pixels.get(f"size{key}")
            if size and count:
                one.pixel_size[axis] = units.micrometers(float(size) / float(count), "nm")
        position = {a: units.position(view.get(f"offset{a.upper()}"), "nm") for a in "xy"}
        if None not in position.values():
            one.stage_position = position
        whole = root.find(".//s:collection", ns)
        if (
            whole is not None
            and view.get("sizeX") == whole.get("sizeX")
            and view.get("sizeY") == whole.get("sizeY")
        ):
            one.role = "macro"  # the picture of the whole slide, with its label


def _qptiff(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    for one, item in zip(series, tiff.series, strict=False):
        if one.role != "image":
            continue
        number = 0
        for page in item.pages:
            try:
                root = ElementTree.fromstring(page.aspage().description)
            except (ElementTree.ParseError, AttributeError, ValueError):
                continue
            if number < len(one.channels):
                channel = one.channels[number]
                text = root.findtext("Name") or root.findtext("Biomarker")
                if text and not one.rgb:
                    channel.name = channel.fluor = text
                value = re.findall(r"\d+", root.findtext("Color") or "")
                if len(value) >= 3 and not one.rgb:
                    channel.color = units.color(*(int(v) for v in value[:3]))
                exposure = root.findtext("ExposureTime")
                if exposure:
                    channel.exposure_time = units.seconds(exposure, "us")
            lens = root.findtext("Objective")
            if lens:
                one.acquisition["Objective"] = lens
            number += 1


def _metaseries(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    data = (tiff.metaseries_metadata or {}).get("PlaneInfo") or {}
    for one in series:
        unit = data.get("spatial-calibration-units")
        if data.get("spatial-calibration-state") and unit:
            for axis in "xy":
                one.pixel_size[axis] = units.micrometers(
                    data.get(f"spatial-calibration-{axis}"), unit
                )
        where = {a: units.position(data.get(f"stage-position-{a}")) for a in "xy"}
        where["z"] = units.position(data.get("z-position"))
        if where["x"] is not None and where["y"] is not None:
            one.stage_position = {k: v for k, v in where.items() if v is not None}
        channel = one.channels[0]
        channel.name = channel.name or data.get("image-name") or data.get("_IllumSetting_")
        channel.emission_wavelength = units.wavelength(data.get("wavelength"))
        exposure = re.match(r"\s*([\d.]+)\s*(\w+)", str(data.get("Exposure Time", "")))
        if exposure:
            channel.exposure_time = units.seconds(exposure[1], exposure[2])


def _fluoview(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    data = tiff.fluoview_metadata or {}
    one = series[0]
    for dimension in data.get("Dimensions") or []:
        axis = str(dimension[0]).strip().lower()
        if axis in one.pixel_size:
            one.pixel_size[axis] = units.micrometers(dimension[2], str(dimension[3]).strip("\0 "))
        if axis in ("t", "time") and "t" in one.axes:
            one.time_step = units.seconds(dimension[2], str(dimension[3]).strip("\0 "))
