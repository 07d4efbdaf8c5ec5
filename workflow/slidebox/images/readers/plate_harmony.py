"""Operetta and Opera Phenix: ``Images/Index.idx.xml`` of Harmony (V1 to V7), a TIFF a plane.

Positions are of the field's centre relative to its well's; Harmony counts y upwards, so it is
turned around here (as Bio-Formats does): y grows as rows do.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from .. import units
from ..model import Channel, UnreadableImage
from . import plate_index as plates
from .plate_index import FieldIndex, PlateIndex, micrometers, text, whole


def parse(path: Path) -> PlateIndex:
    content = path.read_bytes()
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise UnreadableImage(f"the index isn't readable XML: {error}", file=str(path)) from error
    found = [e for e in root.iter() if plates.local(e.tag) == "Plate"]
    if len(found) != 1:
        raise UnreadableImage(
            f"the index describes {len(found)} plates; one is read", file=str(path)
        )
    shared = _shared(root)
    images = [
        e
        for group in root
        if plates.local(group.tag) == "Images"
        for e in group
        if plates.local(e.tag) == "Image"
    ]
    if not images:
        raise UnreadableImage("the index lists no images", file=str(path))
    listed = [_plane(e, shared, path) for e in images]
    ids = [sorted({plane["where"][k] for plane in listed}) for k in range(3)]
    fields: dict[tuple[int, int, int], list[dict]] = {}
    for plane in listed:
        fields.setdefault(plane["field"], []).append(plane)
    first = min(number for _, _, number in fields)
    made = [_field(key, planes, ids, path.parent, min(first, 1)) for key, planes in fields.items()]
    plate = found[0]
    name = text(plate, "Name") or text(plate, "PlateID") or _folder(path)
    rows, columns = plates.layout(
        whole(text(plate, "PlateRows"), "PlateRows", path),
        whole(text(plate, "PlateColumns"), "PlateColumns", path),
        [(f.row, f.column) for f in made],
    )
    by_channel = {plane["where"][1]: plane["facts"] for plane in reversed(listed)}
    facts = listed[0]["facts"]
    return PlateIndex(
        name,
        rows,
        columns,
        [_channel(by_channel[c]) for c in ids[1]],
        {a: micrometers(facts, f"ImageResolution{a.upper()}") for a in "xy"},
        made,
        {path.name: content.decode("utf-8", "replace")},
        {
            ours: float(value)
            for ours, theirs in (
                ("NominalMagnification", "ObjectiveMagnification"),
                ("LensNA", "ObjectiveNA"),
            )
            if (value := text(facts, theirs))
        },
    )


def _folder(path: Path) -> str:
    folder = path.resolve().parent
    return folder.parent.name if folder.name.lower() == "images" else folder.name


def _shared(root) -> dict[str, list]:
    """What V6 and V7 say once for all planes of a channel: Maps/Map/Entry."""
    found: dict[str, list] = {}
    for maps in root:
        if plates.local(maps.tag) == "Maps":
            for one in maps:
                for entry in one:
                    found.setdefault(entry.get("ChannelID", ""), []).extend(entry)
    return found


def _plane(element, shared, path: Path) -> dict:
    own = {plates.local(e.tag) for e in element}
    for extra in shared.get(text(element, "ChannelID") or "", []):
        if plates.local(extra.tag) not in own:
            element.append(extra)

    def number(name: str, default: str | None = None) -> int:
        return whole(text(element, name) or default, f"{name} of an image in the index", path)

    return {
        "field": (number("Row") - 1, number("Col") - 1, number("FieldID")),
        "where": (number("TimepointID", "0"), number("ChannelID", "1"), number("PlaneID", "1")),
        "url": text(element, "URL"),
        "facts": element,
    }


def _field(key, planes: list[dict], ids, folder: Path, first: int) -> FieldIndex:
    row, column, number = key
    numbers = [{v: n for n, v in enumerate(values)} for values in ids]
    files = {
        tuple(numbers[k][p["where"][k]] for k in range(3)): folder / (p["url"] or "(no URL)")
        for p in planes
    }
    at = {tuple(numbers[k][p["where"][k]] for k in range(3)): p["facts"] for p in planes}
    start = at[min(at)]
    position = {
        "x": micrometers(start, "PositionX", units.position),
        "y": micrometers(start, "PositionY", units.position),
        "z": micrometers(start, "AbsPositionZ", units.position)
        or micrometers(start, "PositionZ", units.position),
    }
    if position["y"] is not None:
        position["y"] = -position["y"] or 0.0
    known = {a: float(f"{v:.9g}") for a, v in position.items() if v is not None}
    return FieldIndex(
        row,
        column,
        number,
        first,
        planes=files,
        position=known if "x" in known and "y" in known else None,
        z_step=_step(at, 2, "PositionZ", lambda e, n: micrometers(e, n, units.position)),
        time_step=_step(at, 0, "MeasurementTimeOffset", _seconds),
        start_time=text(start, "AbsTime"),
    )


def _step(at: dict, axis: int, name: str, value) -> float | None:
    """Mean distance between the first and last plane of an axis, of the first channel."""
    first = min(at)
    line = sorted(w for w in at if all(w[k] == first[k] for k in range(3) if k != axis))
    if len(line) < 2:
        return None
    a, b = value(at[line[0]], name), value(at[line[-1]], name)
    if a is None or b is None or a == b:
        return None
    return float(f"{abs(b - a) / (line[-1][axis] - line[0][axis]):.9g}")


def _seconds(element, name: str) -> float | None:
    found = plates.child(element, name)
    if found is None or not found.text:
        return None
    try:
        return float(found.text) * (units.seconds(1, found.get("Unit") or "s") or 1.0)
    except ValueError:
        return None


def _channel(facts) -> Channel:
    def wave(name: str) -> float | None:
        found = plates.child(facts, name)
        if found is None or not found.text:
            return None
        size = units.micrometers(found.text.strip(), found.get("Unit") or "nm")
        return units.wavelength(size * 1000) if size else None

    exposure = plates.child(facts, "ExposureTime")
    return Channel(
        name=text(facts, "ChannelName"),
        emission_wavelength=wave("MainEmissionWavelength"),
        excitation_wavelength=wave("MainExcitationWavelength"),
        exposure_time=units.seconds(exposure.text, exposure.get("Unit") or "s")
        if exposure is not None
        else None,
    )
