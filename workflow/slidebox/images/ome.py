"""``OME/METADATA.ome.xml``: what the file says, in OME's model, written with ome-types."""

from __future__ import annotations

from typing import Any

from .model import Series

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
