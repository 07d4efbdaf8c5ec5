"""Zeiss CZI by czifile: each scene is a series, the tiles of a mosaic are joined, pyramids are
left out. Views and acquisition blocks are series too; phases, illuminations and rotations, which
OME has no axis for, become channels.
"""

from __future__ import annotations

import itertools
import re
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import czifile
import numpy as np

from .. import units
from ..model import Channel, ImageFile, Series, UnreadableImage, Well, well
from ..registry import version

# Dimensions that OME has no axis for become channels, each with its index in the channel's name;
# those that look at the specimen anew (view, block) become series.
_EXTRA = "RIH"
_ANEW = "VB"


def open_file(path: Path, name: str) -> ImageFile:
    try:
        czi = czifile.CziFile(path, squeeze=False)
    except czifile.CziSegmentNotFoundError as error:
        raise UnreadableImage(f"no CZI, or cut off before its index ({error})") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            xml = czi.metadata() or ""
            root = _root(xml)
            scenes, step = _scenes(root), _time_step(root, czi)
            fields: dict[str, int] = {}
            series = []
            for key in sorted(czi.scenes):
                scene, facts = czi.scenes[key], scenes.get(key)
                place = _well(facts, path.stem, fields)
                anew = [d for d in scene.dims if d in _ANEW and scene.sizes[d] > 1]
                for fixed in itertools.product(*[range(scene.sizes[d]) for d in anew]):
                    one = _series(scene, len(series), facts, dict(zip(anew, fixed, strict=True)))
                    one.well = place
                    if one.size("t") > 1:
                        one.time_step = one.time_step or step
                    series.append(one)
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        czi.close()
        raise UnreadableImage(f"its metadata are damaged: no XML ({error})") from error
    except czifile.CziSegmentNotFoundError as error:
        czi.close()
        raise UnreadableImage(f"cut off or damaged: {error}") from error
    except BaseException:
        czi.close()
        raise
    return ImageFile(
        str(path), name, "czifile", version("czifile"), series, {"metadata.xml": xml}, czi.close
    )


def _series(scene, index: int, facts, fixed: dict[str, int]) -> Series:
    """One scene at one view and block (``fixed``); ``facts`` is its element of the metadata."""
    sizes, starts = scene.sizes, dict(zip(scene.dims, scene.start, strict=True))
    known = {"T", "C", "Z", "Y", "X", "S"}
    extra = [d for d in scene.dims if d not in {*known, *fixed} and sizes[d] > 1]
    odd = [d for d in extra if d not in _EXTRA]
    if odd:
        raise UnreadableImage(
            f"dimension {odd[0]} ({sizes[odd[0]]}) of this CZI has no axis in OME-Zarr"
        )
    samples = sizes.get("S", 1)
    x0, y0, width, height = scene.bbox
    combos = list(itertools.product(*[range(sizes[d]) for d in extra]))
    n = {
        "t": sizes.get("T", 1),
        "c": sizes.get("C", 1) * len(combos) * samples,
        "z": sizes.get("Z", 1),
    }
    axes = "".join(a for a in "tcz" if n[a] > 1) + "yx"
    shape = (*tuple(n[a] for a in "tcz" if n[a] > 1), height, width)
    dtype = np.dtype(scene.dtype)

    def read(t: int, c: int, z: int, top: int, bottom: int) -> np.ndarray:
        c, combo = divmod(c, len(combos))
        where = {"T": t, "C": c, "Z": z, **dict(zip(extra, combos[combo], strict=True)), **fixed}
        selection = {d: starts[d] + i for d, i in where.items() if d in starts}
        out = np.zeros((bottom - top, width, samples), dtype)
        try:
            part = scene(**selection)
            if (top, bottom) != (0, height):
                part = part(roi=(x0, y0 + top, width, bottom - top))
        except ValueError as error:
            if "matches no subblocks" not in str(error):
                raise
            return out.transpose(2, 0, 1)  # a gap in a mosaic, or a plane that wasn't recorded
        part_x, part_y, part_w, part_h = part.bbox
        pixels = np.asarray(part.asarray(maxworkers=1))
        pixels = pixels.reshape(part_h, part_w, samples)
        out[part_y - y0 - top : part_y - y0 - top + part_h, part_x - x0 : part_x - x0 + part_w] = (
            pixels
        )
        return out.transpose(2, 0, 1)

    scales, unit = scene.coord_scales, scene.coord_units
    pixel_size = {a: units.micrometers(scales.get(a.upper()), unit.get(a.upper())) for a in "xyz"}
    step = units.seconds(scales.get("T"), unit.get("T")) if n["t"] > 1 else None
    stage = _position(scene, facts)
    channels = _channels(scene, sizes.get("C", 1), extra, combos, samples)
    series = Series(
        index,
        " ".join([_name(scene, facts), *(f"{d}{i}" for d, i in fixed.items())]),
        axes,
        shape,
        dtype,
        read,
        pixel_size,
        step,
        channels,
        rgb=samples >= 3,
        samples=samples,
        stage_position=stage,
        rows=min(scene.subblock_sizes.get("Y", height), height)
        if height * width > 1 << 24
        else None,
    )
    objective = scene.objective
    for ours, theirs in (
        ("NominalMagnification",) * 2,
        ("LensNA",) * 2,
        ("Immersion",) * 2,
        ("Model", "Name"),
    ):
        if objective.get(theirs):
            series.acquisition[ours] = objective[theirs]
    if scene.datetime is not None:
        series.start_time = str(scene.datetime)
    missing = _missing(scene, fixed, n["t"] * n["z"] * n["c"] // samples)
    if missing:
        series.notes.append(f"{missing} planes were not recorded; they are filled with 0")
    if extra:
        series.notes.append(f"dimension {', '.join(extra)} is kept as channels")
    if scene.is_upsampled or scene.is_downsampled:
        series.notes.append(
            "some tiles are stored at another resolution and were resampled by czifile"
        )
    return series


def _channels(scene, count: int, extra: list[str], combos, samples: int) -> list[Channel]:
    # czifile lists the channels of the image and then those that only the display settings name,
    # which for a channel without a name is the same one again
    facts, shown = list(scene.channels.items())[:count], list(scene.channels.items())[count:]
    nameless = [c for c, (name, _) in enumerate(facts) if re.fullmatch(r"Channel:\d+", name or "")]
    for c, (name, fact) in zip(nameless, shown, strict=False):
        facts[c] = (name, facts[c][1] | fact)
    channels = []
    for c in range(count):
        name, fact = facts[c] if c < len(facts) else (None, {})
        if re.fullmatch(r"Channel:\d+", name or ""):
            name = None  # its identifier, not a name
        for combo in combos:
            suffix = " ".join(f"{d}{i}" for d, i in zip(extra, combo, strict=True))
            label = f"{name or f'Channel {c}'} {suffix}" if suffix else name
            if samples > 1 and count * len(combos) == 1:
                label = None  # red, green and blue say more than the camera's name
            for _ in range(samples):
                channels.append(
                    Channel(
                        name=label,
                        color=_color(fact.get("Color")) if samples == 1 else None,
                        emission_wavelength=_one(fact.get("EmissionWavelength")),
                        excitation_wavelength=_one(fact.get("ExcitationWavelength")),
                        fluor=fact.get("Fluor") or fact.get("DyeName"),
                        contrast_method=fact.get("ContrastMethod"),
                        acquisition_mode=fact.get("AcquisitionMode"),
                        exposure_time=units.seconds(fact.get("ExposureTime"), "ns"),
                    )
                )
    return channels


def _one(value: Any) -> float | None:
    if isinstance(value, tuple | list):
        return None  # a detection range is no wavelength
    return units.wavelength(value)


def _color(value: str | None) -> str | None:
    """``#AARRGGBB`` or ``#RRGGBB`` as RRGGBB."""
    match = re.fullmatch(r"#?(?:[0-9A-Fa-f]{2})?([0-9A-Fa-f]{6})", value or "")
    return match[1].upper() if match else None


def _missing(scene, fixed: dict[str, int], expected: int) -> int:
    """How many planes of a series no tile lies in: a recording that was stopped has such."""
    names = [d for d in scene.dims if d not in "YXSM"]
    found = set()
    for entry in scene.directory_entries:
        where = dict(zip(entry.dims, entry.start, strict=True))
        if all(where.get(d, 0) == i for d, i in fixed.items()):
            found.add(tuple(where.get(d, 0) for d in names))
    return max(0, expected - len(found))


def _root(xml: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return ElementTree.Element("ImageDocument")


def _scenes(root: ElementTree.Element) -> dict[int, ElementTree.Element]:
    """The metadata's element of each scene, by the scene's index."""
    found = root.findall("./Metadata/Information/Image/Dimensions/S/Scenes/Scene")
    return {int(e.get("Index") or n): e for n, e in enumerate(found)}


def _time_step(root: ElementTree.Element, czi) -> float | None:
    """Seconds between time points, where no interval was asked for: what the metadata say, or
    what was measured.
    """
    positions = root.find("./Metadata/Information/Image/Dimensions/T/Positions")
    if positions is None:
        return None
    said = units.seconds(positions.findtext("Interval/Increment"))
    if said is not None:
        return said
    times = list(czi.timestamps if czi.timestamps is not None else ())
    if len(times) < 2:
        times = (positions.findtext("List/Offsets") or "").split()
    try:
        return units.seconds((float(times[-1]) - float(times[0])) / (len(times) - 1))
    except (IndexError, ValueError, ZeroDivisionError):
        return None


def _name(scene, facts) -> str:
    """A scene's name in ZEN: that of its region, and of its well (``P2-D4``)."""
    if facts is None:
        return scene.name
    shape = facts.find("Shape")
    found = [facts.get("Name"), facts.findtext("ArrayName")]
    if shape is not None:
        found[1] = found[1] or shape.get("Name")
    return "-".join(dict.fromkeys(n for n in found if n)) or scene.name


def _well(facts, plate: str, fields: dict[str, int]) -> Well | None:
    """A scene's well: ``ArrayName`` (``B4``), or its shape's name, row and column."""
    if facts is None:
        return None
    shape = facts.find("Shape")
    name = facts.findtext("ArrayName") or (shape.get("Name") if shape is not None else None) or ""
    found = well(plate, name)
    if found is None or (shape is not None and shape.find("RowIndex") is None):
        return None
    number = fields[found.name] = fields.get(found.name, -1) + 1
    return well(plate, name, number)


def _position(scene, facts) -> dict[str, float] | None:
    """Where a scene is on the stage (um): its position or its centre, else its first tile's tags,
    which also know the focus.
    """
    found: dict[str, float | None] = {}
    if facts is not None:
        for place in facts.iter("Position"):
            found = {a: units.position(place.get(a.upper())) for a in "xyz"}
            break
        centre = (facts.findtext("CenterPosition") or "").split(",")
        if None in (found.get("x"), found.get("y")) and len(centre) == 2:
            found |= {a: units.position(v) for a, v in zip("xy", centre, strict=True)}
    try:
        first = min(scene.directory_entries, key=_order)
        tags = first.read_segment_data(scene._parent).metadata() or ""
    except Exception:
        tags = ""
    placed = None not in (found.get("x"), found.get("y"))
    for axis, name in (("x", "StageXPosition"), ("y", "StageYPosition"), ("z", "FocusPosition")):
        match = re.search(rf"<{name}>\s*([-+\d.eE]+)\s*<", str(tags))
        if match and found.get(axis) is None and (axis == "z" or not placed):
            found[axis] = units.position(match[1])
    known = {a: v for a, v in found.items() if v is not None}
    return known if "x" in known and "y" in known else None


def _order(entry) -> tuple[int, ...]:
    """Where a tile stands: the first time point, z, channel and tile come first."""
    where = dict(zip(entry.dims, entry.start, strict=True))
    return (*(where.get(d, 0) for d in "TZC"), max(0, entry.mosaic_index))
