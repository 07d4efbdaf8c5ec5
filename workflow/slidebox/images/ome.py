"""``OME/METADATA.ome.xml``: what the file says, in OME's model, written with ome-types."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from .model import Series, Well

_NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"

_TYPES = {
    "bool": "bit",
    "uint8": "uint8",
    "int8": "int8",
    "uint16": "uint16",
    "int16": "int16",
    "uint32": "uint32",
    "int32": "int32",
    "float32": "float",
    "float64": "double",
    "complex64": "complex",
    "complex128": "double-complex",
    "float16": "float",
    "uint64": "double",
    "int64": "double",
}


def metadata_xml(series: Series, name: str, channels: list[dict[str, Any]]) -> str:
    """OME-XML of one image; its pixels are the OME-Zarr around it (MetadataOnly).

    OME has no 64-bit integers and no half floats: such pixels are declared double and float, and a
    description says so.
    """
    from ome_types import model as om
    from ome_types import to_xml

    samples = series.samples if series.rgb else 1
    items = []
    for c in range(0, series.size("c"), samples):
        channel, shown = series.channels[c], channels[c]
        items.append(
            om.Channel(
                **_given(
                    id=f"Channel:0:{c // samples}",
                    name=channel.name,
                    samples_per_pixel=samples,
                    color=None if series.rgb else om.Color(f"#{shown['color']}"),
                    fluor=channel.fluor,
                    emission_wavelength=channel.emission_wavelength,
                    excitation_wavelength=channel.excitation_wavelength,
                    contrast_method=_known(om.Channel_ContrastMethod, channel.contrast_method),
                    acquisition_mode=_known(om.Channel_AcquisitionMode, channel.acquisition_mode),
                )
            )
        )
    planes = _planes(om, series, samples)
    pixels = om.Pixels(
        **_given(
            id="Pixels:0",
            dimension_order="XYZCT",
            type=_TYPES[series.dtype.name],
            big_endian=False,
            interleaved=False,
            **{f"size_{a}": series.size(a) for a in "xyzct"},
            **{f"physical_size_{a}": v for a, v in series.pixel_size.items() if v},
            time_increment=series.time_step,
            channels=items,
            planes=planes,
            metadata_only=om.MetadataOnly(),
        )
    )
    notes = list(series.notes)
    if series.dtype.name in ("uint64", "int64", "float16"):
        notes.append(f"The pixels are {series.dtype.name}, for which OME has no type.")
    image = om.Image(
        **_given(id="Image:0", name=name, pixels=pixels, description="\n".join(notes) or None)
    )
    document = om.OME(images=[image], creator="Slidebox")
    facts = series.acquisition
    if any(facts.get(k) for k in ("Model", "NominalMagnification", "LensNA")):
        objective = om.Objective(
            **_given(
                id="Objective:0",
                model=_text(facts.get("Model")),
                nominal_magnification=_float(facts.get("NominalMagnification")),
                lens_na=_float(facts.get("LensNA")),
                immersion=_known(om.Objective_Immersion, facts.get("Immersion")),
            )
        )
        document.instruments = [om.Instrument(id="Instrument:0", objectives=[objective])]
        image.instrument_ref = om.InstrumentRef(id="Instrument:0")
        image.objective_settings = om.ObjectiveSettings(id="Objective:0")
    if series.start_time:
        image.acquisition_date = _date(series.start_time)
    if series.stage_position:
        where = series.stage_position
        image.stage_label = om.StageLabel(name=name, **where, **{f"{a}_unit": "µm" for a in where})
    return to_xml(document, validate=False) + "\n"


def write_plate_xml(
    path: Path,
    name: str,
    layout: tuple[tuple[str, ...], tuple[str, ...]],
    fields: list[tuple[Well, Path]],
) -> None:
    """OME-XML of a plate: its wells, and the images of its fields from their own documents.

    ``fields`` are the wells with the paths of their images' METADATA.ome.xml, in the plate's order;
    they are read one by one.
    """
    from xml.sax.saxutils import quoteattr

    rows, columns = layout
    wells: dict[tuple[str, str], list[int]] = {}
    for n, (well, _) in enumerate(fields):
        wells.setdefault((well.row, well.column), []).append(n)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.write(
            f'<?xml version="1.0" encoding="UTF-8"?>\n<OME xmlns="{_NAMESPACE}" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
            f'xsi:schemaLocation="{_NAMESPACE} {_NAMESPACE}/ome.xsd" Creator="Slidebox">\n'
            f'<Plate ID="Plate:0" Name={quoteattr(name)} Rows="{len(rows)}" '
            f'Columns="{len(columns)}" RowNamingConvention="letter" '
            'ColumnNamingConvention="number">\n'
        )
        for w, ((row, column), members) in enumerate(wells.items()):
            out.write(
                f'<Well ID="Well:{w}" Row="{rows.index(row)}" Column="{columns.index(column)}">\n'
            )
            for n in members:
                out.write(
                    f'<WellSample ID="WellSample:{n}" Index="{n}">'
                    f'<ImageRef ID="Image:{n}"/></WellSample>\n'
                )
            out.write("</Well>\n")
        out.write("</Plate>\n")
        for tag in ("Instrument", "Image", "StructuredAnnotations"):
            found = False
            for n, (_, document) in enumerate(fields):
                for part in _parts_of(document, tag, n):
                    if tag == "StructuredAnnotations":
                        part = re.sub(r"^<StructuredAnnotations[^>]*>|</\w+>\s*$", "", part.strip())
                        out.write("" if found else f"<{tag}>\n")
                        found = True
                    out.write(part.strip() + "\n")
            out.write(f"</{tag}>\n" if found else "")
        out.write("</OME>\n")


def _parts_of(document: Path, tag: str, number: int) -> list[str]:
    """The elements of a tag in an image's document, with ids of the image's number."""
    ElementTree.register_namespace("", _NAMESPACE)
    root = ElementTree.parse(document).getroot()
    found = []
    for element in root.findall(f"{{{_NAMESPACE}}}{tag}"):
        for part in element.iter():
            if "ID" in part.attrib:
                kind, _, rest = part.get("ID", "").partition(":")
                part.set("ID", f"{kind}:{number}" + rest.removeprefix("0"))
        text = ElementTree.tostring(element, encoding="unicode")
        found.append(text.replace(f' xmlns="{_NAMESPACE}"', "", 1))
    return found


def _planes(om, series: Series, samples: int) -> list:
    """Plane elements where there is something to say of them: exposure and position."""
    where, times = series.stage_position or {}, [c.exposure_time for c in series.channels]
    if not where and not any(times):
        return []
    position = {f"position_{a}": v for a, v in where.items()}
    position |= {f"position_{a}_unit": "µm" for a in where}
    return [
        om.Plane(**_given(the_z=0, the_t=0, the_c=c // samples, exposure_time=times[c], **position))
        for c in range(0, series.size("c"), samples)
    ]


def _given(**facts: Any) -> dict[str, Any]:
    return {k: v for k, v in facts.items() if v is not None}


def _known(enumeration, value: Any):
    """A member of an OME enumeration by its value, regardless of case; None for what it hasn't."""
    if value is None:
        return None
    wanted = str(value).replace(" ", "").lower()
    for member in enumeration:
        if str(member.value).replace(" ", "").lower() == wanted:
            return member
    return None


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _text(value: Any) -> str | None:
    return str(value).strip() or None if value is not None else None


def _date(value: str):
    from datetime import datetime

    text = value.strip().replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(text[:26] if "." in text and "+" not in text else text)
    except ValueError:
        return None
