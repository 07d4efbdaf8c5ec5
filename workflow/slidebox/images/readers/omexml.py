"""OME-XML as it stands in files: tolerant reading of what concerns pixels, for TIFF and others.

Files in the wild break the schema in small ways, so this reads attributes one by one; what Slidebox
itself writes goes through ome-types (see ``slidebox.images.ome``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.etree import ElementTree

from .. import units
from ..model import Channel, Series


@dataclass(slots=True)
class OmeImage:
    name: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    pixel_size: dict[str, float | None] = field(default_factory=dict)
    time_step: float | None = None
    channels: list[Channel] = field(default_factory=list)
    samples: int = 1
    stage_position: dict[str, float] | None = None
    start_time: str | None = None
    acquisition: dict = field(default_factory=dict)


def parse(xml: str) -> list[OmeImage]:
    """The images of an OME-XML document, in order; none when it can't be parsed."""
    try:
        root = ElementTree.fromstring(xml.encode() if isinstance(xml, str) else xml)
    except ElementTree.ParseError:
        return []
    objectives = {e.get("ID"): e for e in root.iter() if _tag(e) == "Objective"}
    return [_image(e, objectives) for e in root if _tag(e) == "Image"]


def _image(element, objectives) -> OmeImage:
    image = OmeImage(name=element.get("Name") or "")
    for child in element:
        tag = _tag(child)
        if tag == "AcquisitionDate" or tag == "AcquiredDate":
            image.start_time = (child.text or "").strip() or None
        elif tag == "ObjectiveSettings" and child.get("ID") in objectives:
            facts = objectives[child.get("ID")]
            for key in ("Model", "NominalMagnification", "LensNA", "Immersion"):
                if facts.get(key):
                    image.acquisition[key] = facts.get(key)
        elif tag == "StageLabel":
            where = {
                a: units.position(child.get(a.upper()), child.get(f"{a.upper()}Unit") or "um")
                for a in "xyz"
            }
            image.stage_position = {k: v for k, v in where.items() if v is not None} or None
        elif tag == "Pixels":
            _pixels(child, image)
    return image


def _pixels(pixels, image: OmeImage) -> None:
    for axis in "tczyx":
        image.sizes[axis] = int(pixels.get(f"Size{axis.upper()}") or 1)
    for axis in "zyx":
        key = f"PhysicalSize{axis.upper()}"
        image.pixel_size[axis] = units.micrometers(
            pixels.get(key), pixels.get(f"{key}Unit") or "µm"
        )
    image.time_step = units.seconds(
        pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit") or "s"
    )
    first_plane, times = None, {}
    for child in pixels:
        tag = _tag(child)
        if tag == "Channel":
            image.channels += _channel(child)
            image.samples = max(image.samples, int(child.get("SamplesPerPixel") or 1))
        elif tag == "Plane":
            if first_plane is None:
                first_plane = child
            if child.get("TheZ") == "0" and child.get("TheC") == "0" and child.get("DeltaT"):
                times[int(child.get("TheT") or 0)] = units.position(1, "um") and _time(child)
            if child.get("TheZ") == "0" and child.get("TheT") == "0" and child.get("ExposureTime"):
                c = int(child.get("TheC") or 0)
                if c < len(image.channels):
                    image.channels[c].exposure_time = units.seconds(
                        child.get("ExposureTime"), child.get("ExposureTimeUnit") or "s"
                    )
    if image.time_step is None and len(times) > 1 and None not in times.values():
        ordered = [times[t] for t in sorted(times)]
        image.time_step = units.seconds((ordered[-1] - ordered[0]) / (max(times) - min(times)))
    if first_plane is not None:
        where = {
            a: units.position(
                first_plane.get(f"Position{a.upper()}"),
                first_plane.get(f"Position{a.upper()}Unit") or "um",
            )
            for a in "xyz"
        }
        where = {k: v for k, v in where.items() if v is not None}
        if "x" in where and "y" in where:
            image.stage_position = where


def _time(plane) -> float | None:
    value = float(plane.get("DeltaT"))
    return units.seconds(value, plane.get("DeltaTUnit") or "s") if value > 0 else 0.0


def _channel(element) -> list[Channel]:
    samples = int(element.get("SamplesPerPixel") or 1)
    value = element.get("Color")
    channel = Channel(
        name=element.get("Name"),
        color=_color(value) if value is not None else None,
        emission_wavelength=_wave(element, "EmissionWavelength"),
        excitation_wavelength=_wave(element, "ExcitationWavelength"),
        fluor=element.get("Fluor"),
        contrast_method=element.get("ContrastMethod"),
        acquisition_mode=element.get("AcquisitionMode"),
    )
    return [channel] + [Channel() for _ in range(samples - 1)]


def _wave(element, key: str) -> float | None:
    value = units.micrometers(element.get(key), element.get(f"{key}Unit") or "nm")
    return units.wavelength(value * 1000) if value else None


def _color(value: str) -> str | None:
    """OME's signed 32-bit RGBA as RRGGBB."""
    try:
        number = int(value) & 0xFFFFFFFF
    except ValueError:
        return None
    return f"{number >> 8:06X}"


def _tag(element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def matching(images: list[OmeImage], series: Series) -> OmeImage | None:
    """The only image with this name, or with these sizes."""
    for fits in (
        [i for i in images if i.name and i.name == series.name],
        [i for i in images if all(i.sizes.get(a, 1) == series.size(a) for a in "tczyx")],
    ):
        if len(fits) == 1:
            return fits[0]
    return None


def apply(image: OmeImage, series: Series) -> None:
    """Put what the OME-XML says into a series."""
    series.name = image.name or series.name
    series.pixel_size = {a: image.pixel_size.get(a) for a in series.pixel_size}
    series.time_step = image.time_step if "t" in series.axes else None
    series.stage_position = image.stage_position
    series.start_time = image.start_time
    series.acquisition |= image.acquisition
    for c, channel in enumerate(image.channels[: len(series.channels)]):
        series.channels[c] = channel
    if series.rgb and image.channels and image.samples == 1:
        series.rgb = False  # samples that the author calls channels of their own
