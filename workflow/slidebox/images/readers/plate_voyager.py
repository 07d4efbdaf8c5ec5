"""Yokogawa CellVoyager: ``MeasurementData.mlf`` lists the planes, ``MeasurementDetail.mrf`` the
plate and its cameras, the settings file (``.mes``) the channels.

A channel is an action and a camera channel. Positions are of the field's centre relative to its
well's, y turned around as in ``plate_harmony``.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

from .. import units
from ..model import Channel, UnreadableImage
from . import plate_index as plates
from .plate_index import FieldIndex, PlateIndex, local, whole


def parse(path: Path) -> PlateIndex:
    folder = path.parent
    data, detail = _xml(folder / "MeasurementData.mlf"), _xml(folder / "MeasurementDetail.mrf")
    records = []
    for element in data:
        facts = _facts(element)
        if local(element.tag) == "MeasurementRecord" and facts.get("Type") == "IMG":
            records.append((facts, (element.text or "").strip()))
    if not records:
        raise UnreadableImage("the list of planes holds no image", file=str(path))

    def number(facts: dict, name: str, default: str | None = None) -> int:
        return whole(facts.get(name, default), f"{name} of a record", path)

    keys = sorted({(number(f, "ActionIndex", "1"), number(f, "Ch", "1")) for f, _ in records})
    times = sorted({number(f, "TimePoint", "1") for f, _ in records})
    fields: dict[tuple[int, int, int], dict] = {}
    for facts, name in records:
        where = (
            times.index(number(facts, "TimePoint", "1")),
            keys.index((number(facts, "ActionIndex", "1"), number(facts, "Ch", "1"))),
            number(facts, "ZIndex", "1"),
        )
        key = (number(facts, "Row") - 1, number(facts, "Column") - 1, number(facts, "FieldIndex"))
        planes = fields.setdefault(key, {})
        if where not in planes or not (folder / planes[where][1]).is_file():
            planes[where] = (facts, name or "(no name)")
    made = [_field(key, planes, folder) for key, planes in fields.items()]
    about = _facts(detail)
    cameras = {
        facts.get("Ch"): facts
        for facts in (_facts(e) for e in detail if local(e.tag) == "MeasurementChannel")
    }
    sample = next((_facts(e) for e in detail if local(e.tag) == "MeasurementSamplePlate"), {})
    rows, columns = plates.layout(
        whole(about.get("RowCount"), "RowCount", path),
        whole(about.get("ColumnCount"), "ColumnCount", path),
        [(f.row, f.column) for f in made],
    )
    camera = cameras.get(str(keys[0][1]), {})
    texts = {
        p.name: p.read_text("utf-8", "replace") for p in (path, folder / "MeasurementDetail.mrf")
    }
    settings = folder / (about.get("MeasurementSettingFileName") or "(none)")
    told: dict[str, Channel] = {}
    if settings.is_file():
        texts[settings.name] = settings.read_text("utf-8", "replace")
        told = _channels(_xml(settings))
    return PlateIndex(
        sample.get("Name") or folder.resolve().name,
        rows,
        columns,
        [told.get(str(c)) or Channel(name=f"Action {a}, Ch {c}") for a, c in keys],
        {
            "x": units.micrometers(_number(camera.get("HorizontalPixelDimension"))),
            "y": units.micrometers(_number(camera.get("VerticalPixelDimension"))),
        },
        made,
        texts,
    )


def _xml(path: Path):
    try:
        return ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        raise UnreadableImage(f"not readable XML: {error}", file=str(path)) from error
    except FileNotFoundError as error:
        raise UnreadableImage("the measurement has no such file", file=str(path)) from error


def _facts(element) -> dict[str, str]:
    """Attributes without their namespace."""
    return {local(k): v for k, v in element.attrib.items()}


def _number(value: str | None) -> str | None:
    """Some computers wrote decimal commas."""
    return value.replace(",", ".") if value else None


def _field(key, planes: dict, folder: Path) -> FieldIndex:
    row, column, number = key
    first, _ = planes[min(planes)]
    position = {a: units.position(_number(first.get(a.upper()))) for a in "xyz"}
    if position["y"] is not None:
        position["y"] = -position["y"] or 0.0
    known = {a: v for a, v in position.items() if v is not None}
    return FieldIndex(
        row,
        column,
        number,
        planes={where: folder / name for where, (_, name) in planes.items()},
        position=known if "x" in known and "y" in known else None,
        z_step=_step(planes, 2, lambda f: units.position(_number(f.get("Z")))),
        time_step=_step(planes, 0, _seconds),
        start_time=first.get("Time"),
    )


def _step(planes: dict, axis: int, value) -> float | None:
    deepest = max(planes, key=lambda w: sum(v[1] == w[1] for v in planes))[1]
    start = min(w for w in planes if w[1] == deepest)
    line = sorted(w for w in planes if all(w[k] == start[k] for k in range(3) if k != axis))
    if len(line) < 2:
        return None
    a, b = value(planes[line[0]][0]), value(planes[line[-1]][0])
    if a is None or b is None or a == b:
        return None
    return float(f"{abs(b - a) / (line[-1][axis] - line[0][axis]):.9g}")


def _seconds(facts: dict[str, str]) -> float | None:
    try:
        return datetime.fromisoformat(facts["Time"]).timestamp()
    except (KeyError, ValueError):
        return None


def _channels(settings) -> dict[str, Channel]:
    """Channels of the settings file by camera channel."""
    lights = {
        facts.get("Name"): facts.get("WaveLength")
        for facts in (_facts(e) for e in settings.iter() if local(e.tag) == "LightSource")
    }
    found = {}
    for element in settings.iter():
        facts = _facts(element)
        if local(element.tag) != "Channel" or "Ch" not in facts:
            continue
        light = plates.text(element, "LightSourceName")
        name = (facts.get("Target") or "").strip()
        band = (facts.get("Acquisition") or "").strip()
        color = (facts.get("Color") or "").lstrip("#")
        found[facts["Ch"]] = Channel(
            name=(light if name in ("", "Microscope Image") else name) or None,
            color=color[-6:].upper() if len(color) in (6, 8) else None,
            emission_wavelength=units.wavelength(_number(band[2:].partition("/")[0]))
            if band.upper().startswith("BP") and "/" in band
            else None,
            excitation_wavelength=units.wavelength(_number(lights.get(light))) if light else None,
            exposure_time=units.seconds(_number(facts.get("ExposureTime")), "ms"),
        )
    return found
