"""OME-XML as it stands in files: tolerant reading of what concerns pixels, for TIFF and others.

Files in the wild break the schema in small ways, so this reads attributes one by one; what Slidebox
itself writes goes through ome-types (see ``slidebox.images.ome``).
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from xml.etree import ElementTree

from .. import units
from ..model import Channel, Series, Well


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
    well: Well | None = None
    claims: dict[tuple[int, int, int], str | None] | None = None
    """The planes (t, group of samples, z) that TiffData elements claim to be in a file, and its
    name where they say one; None when they claim all without listing them.
    """
    notes: list[str] = field(default_factory=list)


def parse(xml: str) -> list[OmeImage]:
    """The images of an OME-XML document, in order; none when it can't be parsed."""
    try:
        root = ElementTree.fromstring(xml.encode() if isinstance(xml, str) else xml)
    except ElementTree.ParseError:
        return []
    objectives = {e.get("ID"): e for e in root.iter() if _tag(e) == "Objective"}
    wells = _wells(root)
    modulo = _modulo(root)
    images = []
    for element in root:
        if _tag(element) == "Image":
            image = _image(element, objectives)
            image.well = wells.get(element.get("ID") or "")
            references = {e.get("ID") for e in element.iter() if _tag(e) == "AnnotationRef"}
            image.notes += [note for key, note in modulo if key in references]
            images.append(image)
    return images


def binary_only(xml: str) -> str | None:
    """The file that holds the metadata, when this document only points to it (BinaryOnly)."""
    match = re.search(r"<(?:\w+:)?BinaryOnly\b[^>]*\bMetadataFile=\"([^\"]+)\"", xml)
    return html.unescape(match[1]) if match else None


def _wells(root) -> dict[str, Well]:
    """Wells of plates by the ID of the image that was taken there."""
    found: dict[str, Well] = {}
    for plate in (e for e in root if _tag(e) == "Plate"):
        name = plate.get("Name") or plate.get("ID") or "plate"
        for well in (e for e in plate if _tag(e) == "Well"):
            row = _named(well.get("Row"), plate.get("RowNamingConvention") or "letter")
            column = _named(well.get("Column"), plate.get("ColumnNamingConvention") or "number")
            samples = [e for e in well if _tag(e) == "WellSample"]
            samples.sort(key=lambda e: int(e.get("Index") or 0))
            for number, sample in enumerate(samples):
                for reference in (e for e in sample if _tag(e) == "ImageRef"):
                    found[reference.get("ID") or ""] = Well(name, row, column, number)
    return found


def _named(index: str | None, convention: str) -> str:
    """A row or column counted from 0, as the plate writes it: ``B`` or ``2``."""
    number = int(index or 0)
    if convention != "letter":
        return str(number + 1)
    text = chr(ord("A") + number % 26)
    return chr(ord("A") + number // 26 - 1) + text if number >= 26 else text


def _modulo(root) -> list[tuple[str | None, str]]:
    """What annotations say of axes that hold two dimensions: (ID, sentence)."""
    found = []
    for annotation in (e for e in root.iter() if _tag(e) == "XMLAnnotation"):
        for element in annotation.iter():
            if _tag(element).startswith("ModuloAlong"):
                axis = _tag(element)[-1].lower()
                what = element.get("TypeDescription") or element.get("Type") or "another dimension"
                note = f"axis {axis} also counts {what} (modulo); it is kept in the file's order"
                found.append((annotation.get("ID"), note))
    return found


def _image(element, objectives) -> OmeImage:
    image = OmeImage(name=element.get("Name") or "")
    for child in element:
        tag = _tag(child)
        if tag in ("AcquisitionDate", "AcquiredDate", "CreationDate"):  # 2012, 2009, 2003 to 2008
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
    older = [e for e in element if _tag(e) == "LogicalChannel"]
    if older and not any(c.name for c in image.channels):  # until 2008 channels stood in the image
        exposures = [c.exposure_time for c in image.channels]
        image.channels = [one for e in older for one in _channel(e)]
        image.samples = max(int(e.get("SamplesPerPixel") or 1) for e in older)
        for channel, exposure in zip(image.channels, exposures, strict=False):
            channel.exposure_time = exposure
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
            begins = all(child.get(f"The{a}") == "0" for a in "TZC")
            if first_plane is None or begins:
                first_plane = child
            if child.get("TheZ") == "0" and child.get("TheC") == "0" and child.get("DeltaT"):
                times[int(child.get("TheT") or 0)] = _time(child)
            if child.get("TheZ") == "0" and child.get("TheT") == "0" and child.get("ExposureTime"):
                c = int(child.get("TheC") or 0)
                if not image.channels:  # a file may tell of its planes and not of its channels
                    image.channels = [Channel() for _ in range(image.sizes["c"])]
                if c < len(image.channels):
                    image.channels[c].exposure_time = units.seconds(
                        child.get("ExposureTime"), child.get("ExposureTimeUnit") or "s"
                    )
    image.claims = _claims(pixels, image)
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


def _claims(pixels, image: OmeImage) -> dict[tuple[int, int, int], str | None] | None:
    """See ``OmeImage.claims``; the rules are those of the OME-TIFF specification."""
    order = (pixels.get("DimensionOrder") or "XYCZT")[2:].lower()
    if sorted(order) != ["c", "t", "z"]:
        return None
    sizes = {"t": image.sizes["t"], "z": image.sizes["z"]}
    channels = [e for e in pixels if _tag(e) == "Channel"]
    samples = max(1, image.samples)
    sizes["c"] = len(channels) if len(channels) * samples == image.sizes["c"] else image.sizes["c"]
    if samples > 1 and not image.sizes["c"] % samples:
        sizes["c"] = image.sizes["c"] // samples
    total = sizes["t"] * sizes["c"] * sizes["z"]
    found: dict[tuple[int, int, int], str | None] = {}
    blocks = [e for e in pixels if _tag(e) == "TiffData"]
    for block in blocks:
        first = {a: int(block.get(f"First{a.upper()}") or 0) for a in "tcz"}
        if not block.keys() and not len(block):
            return None
        at, scale = 0, 1
        for axis in order:
            at += first[axis] * scale
            scale *= sizes[axis]
        count = block.get("PlaneCount")
        # without a count: one plane when a directory is named, else all that follow
        planes = int(count) if count else 1 if block.get("IFD") else total - at
        if at + planes > total:
            image.notes.append(
                f"its TiffData speak of {at + planes} planes, its sizes of {total}; "
                "the others are left out"
            )
        name = next((e.get("FileName") for e in block if _tag(e) == "UUID"), None)
        for number in range(at, min(at + planes, total)):
            where, rest = {}, number
            for axis in order:
                rest, where[axis] = divmod(rest, sizes[axis])
            found[where["t"], where["c"], where["z"]] = name
    return found if blocks and len(blocks) < 1 << 20 else None


def _time(plane) -> float | None:
    value = float(plane.get("DeltaT"))
    return units.seconds(value, plane.get("DeltaTUnit") or "s") if value > 0 else 0.0


def _channel(element) -> list[Channel]:
    samples = int(element.get("SamplesPerPixel") or 1)
    value = element.get("Color")
    channel = Channel(
        name=element.get("Name"),
        color=_color(value) if value is not None else None,
        emission_wavelength=_wave(element, "EmissionWavelength") or _wave(element, "EmWave"),
        excitation_wavelength=_wave(element, "ExcitationWavelength") or _wave(element, "ExWave"),
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
    series.well = image.well
    series.notes += image.notes
    series.acquisition |= image.acquisition
    for c, channel in enumerate(image.channels[: len(series.channels)]):
        series.channels[c] = channel
    if series.rgb and image.channels and image.samples == 1:
        series.rgb = False  # samples that the author calls channels of their own
