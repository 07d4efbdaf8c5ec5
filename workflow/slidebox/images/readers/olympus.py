"""Olympus OIB and OIF by oiffile, OIR by oirfile."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from .. import units
from ..model import Channel, ImageFile, Series, UnreadableImage
from ..registry import version

_FOLD = {"T": "t", "C": "c", "Z": "z", "L": "c", "λ": "c", "S": "c", "P": "t", "A": "c"}


def open_file(path: Path, name: str) -> ImageFile:
    return _oir(path, name) if name == "oir" else _oif(path, name)


def _oif(path: Path, name: str) -> ImageFile:
    import oiffile

    file = oiffile.OifFile(str(path))
    try:
        axes, shape = file.axes, file.shape
        letters = axes[:-2]
        if axes[-2:] != "YX":
            raise UnreadableImage(f"planes of axes {axes[-2:]} aren't known")
        n = {"t": 1, "c": 1, "z": 1}
        for letter, length in zip(letters, shape[:-2], strict=True):
            if length > 1 and letter not in _FOLD:
                raise UnreadableImage(f"dimension {letter} has no axis in OME-Zarr")
            n[_FOLD.get(letter, "t")] *= length
        planes = file.series[0]
        settings = file.mainfile
        outer = [(a, _FOLD.get(a, "t"), n) for a, n in zip(letters, shape[:-2], strict=True)]
        names = dict(zip(planes.indices, planes, strict=True)) if len(planes) > 1 else {}

        def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
            rest, where = {"t": t, "c": c, "z": z}, {}
            for letter, axis, length in reversed(outer):
                rest[axis], where[letter] = divmod(rest[axis], length)
            plane = names.get(tuple(where.get(a, 0) for a in planes.axes)) if names else planes[0]
            if plane is None:
                raise UnreadableImage("the main file says this plane, and its file isn't there")
            return np.asarray(file.asarray(plane)).reshape(shape[-2:])[None, y0:y1]

        sizes, step, channels = _oif_settings(settings, n)
        _oif_colors(file, channels)
        series = Series(
            0,
            path.stem,
            "".join(a for a in "tcz" if n[a] > 1) + "yx",
            (*(n[a] for a in "tcz" if n[a] > 1), *shape[-2:]),
            file.dtype,
            read,
            sizes,
            step if n["t"] > 1 else None,
            channels,
            start_time=_told(settings, "Acquisition Parameters Common", "ImageCaputreDate"),
            acquisition=_oif_objective(file),
        )
        metadata = {"mainfile.txt": "\n".join(f"[{k}] {v}" for k, v in settings.items()) + "\n"}
        return ImageFile(
            str(path), name, "oiffile", version("oiffile"), [series], metadata, file.close
        )
    except BaseException:
        file.close()
        raise


def _oif_settings(settings, n) -> tuple[dict, float | None, list[Channel]]:
    """Sizes and channels of the main file's [Axis k Parameters Common] and [Channel k
    Parameters].
    """
    sizes: dict[str, float | None] = {}
    step = None
    for number in range(8):
        axis = settings.get(f"Axis {number} Parameters Common") or {}
        code, count = str(axis.get("AxisCode", "")).strip('"'), axis.get("MaxSize")
        if not code or not count:
            continue
        try:
            length = abs(float(axis["EndPosition"]) - float(axis["StartPosition"]))
        except (KeyError, TypeError, ValueError):
            continue
        unit = str(axis.get("UnitName") or axis.get("PixUnit") or "").strip('"')
        if float(count) <= 1:
            continue
        length /= float(count) - 1  # both positions are those of pixels
        if code in "XY":
            sizes[code.lower()] = units.micrometers(length, unit or "um")
        elif code == "Z":
            sizes["z"] = units.micrometers(length, unit or "nm")
        elif code == "T":
            step = units.seconds(length, unit or "ms")
    for axis, side in (("x", "Width"), ("y", "Height")):
        said = settings.get("Reference Image Parameter") or {}
        size = units.micrometers(said.get(f"{side}ConvertValue"), said.get(f"{side}Unit") or "um")
        sizes[axis] = size or sizes.get(axis)
    channels = []
    for c in range(n["c"]):
        # "GUI Channel" lists the microscope's channels, "Channel" those that were recorded
        facts = settings.get(f"Channel {c + 1} Parameters") or {}
        dye = str(facts.get("DyeName") or "").strip('"')
        dye = None if dye in ("", "None") else dye
        channels.append(
            Channel(
                name=str(facts.get("CH Name") or "").strip('"') or dye,
                fluor=dye,
                emission_wavelength=units.wavelength(facts.get("EmissionWavelength")),
                excitation_wavelength=units.wavelength(facts.get("ExcitationWavelength")),
            )
        )
    return sizes, step, channels


def _oif_colors(file, channels: list[Channel]) -> None:
    """Each channel's colour: the last of its table of 65,536 colours (BGRX)."""
    for c, channel in enumerate(channels):
        name = next((n for n in file.glob("*.lut") if n.endswith(f"_LUT{c + 1}.lut")), None)
        if name is None:
            continue
        with file.open_file(name) as handle:
            table = handle.read()[-4 * 65536 :]
        blue, green, red, _ = table[-4:] if len(table) == 4 * 65536 else (0, 0, 0, 0)
        if red or green or blue:
            channel.color = units.color(red, green, blue)


def _oif_objective(file) -> dict[str, object]:
    """The objective, as the settings of the first plane tell it."""
    import oiffile

    name = next(iter(sorted(file.glob("*.pty"))), None)
    if name is None:
        return {}
    settings = oiffile.SettingsFile(file.open_file(name), name=name)
    facts = {
        "Model": _told(settings, "Acquisition Parameters Common", "ObjectiveLens Name"),
        "NominalMagnification": _told(settings, "Acquisition Parameters Common", "Magnification"),
        "LensNA": _told(settings, "Acquisition Parameters Common", "ObjectiveLens NAValue"),
    }
    return {k: v for k, v in facts.items() if v}


def _told(settings, section: str, name: str) -> str | None:
    value = (settings.get(section) or {}).get(name)
    return str(value).strip().strip("\"'").strip() or None if value is not None else None


def _oir(path: Path, name: str) -> ImageFile:
    import oirfile

    file = oirfile.OirFile(path)
    try:
        sizes = dict(file.sizes)
        letters = list(sizes)
        samples = sizes.get("S", 1)
        row = "Y" if "Y" in sizes else None
        odd = [a for a in letters if a not in _FOLD and a not in "YXS" and sizes[a] > 1]
        if odd:
            raise UnreadableImage(f"dimension {odd[0]} has no axis in OME-Zarr")
        n = {"t": 1, "c": samples, "z": 1}
        for letter in letters:
            if letter not in "YXS":
                n[_FOLD[letter]] *= sizes[letter]
        height, width = sizes.get("Y", 1), sizes["X"]
        cache: list[np.ndarray] = []

        def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
            # oirfile gives only the whole recording: a long one goes through a temporary file
            if not cache:
                cache.append(_whole(file).reshape([sizes[a] for a in letters]))
            rest = {"t": t, "c": c, "z": z}
            index: list = [slice(None)] * len(letters)
            for place in reversed(range(len(letters))):
                letter = letters[place]
                if letter not in "YXS":
                    axis = _FOLD[letter]
                    rest[axis], index[place] = divmod(rest[axis], sizes[letter])
            plane = cache[0][tuple(index)]
            left = [a for a in letters if a in "YXS"]
            plane = plane.transpose([left.index(a) for a in ("S", "Y", "X") if a in left])
            return plane.reshape(samples, height, width)[:, y0:y1]

        scales, unit = file.coord_scales, file.coord_units
        channels = []
        for item in list(
            file.channels.values() if isinstance(file.channels, dict) else file.channels
        ):
            channels.append(
                Channel(
                    name=getattr(item, "dye", None) or getattr(item, "name", None),
                    fluor=getattr(item, "dye", None),
                    emission_wavelength=units.wavelength(
                        getattr(item, "emission_wavelength", None)
                    ),
                    excitation_wavelength=units.wavelength(
                        getattr(item, "excitation_wavelength", None)
                    ),
                )
            )
        if row is None and not width:
            raise UnreadableImage("the file holds no picture")
        series = Series(
            0,
            path.stem,
            "".join(a for a in "tcz" if n[a] > 1) + "yx",
            (*(n[a] for a in "tcz" if n[a] > 1), height, width),
            file.dtype,
            read,
            {
                a: units.micrometers(scales.get(a.upper()), unit.get(a.upper(), "micrometer"))
                for a in "xyz"
            },
            units.seconds(scales.get("T"), unit.get("T", "s")) if n["t"] > 1 else None,
            channels,
            rgb=samples == 3,
            samples=samples,
        )
        return ImageFile(
            str(path),
            name,
            "oirfile",
            version("oirfile"),
            [series],
            {"metadata.xml": _text(file.xml_metadata)},
            file.close,
        )
    except BaseException:
        file.close()
        raise


def _whole(file) -> np.ndarray:
    """All planes of a recording; raises where oirfile would fill a cut-off plane with zeros."""
    complaints: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complaints.append(record.getMessage())

    log, handler = logging.getLogger("oirfile"), Handler(logging.WARNING)
    log.addHandler(handler)
    try:
        try:
            data = file.asarray(out="memmap" if file.nbytes > 64 << 20 else None)
        except OSError:  # validation may write no file
            data = file.asarray()
    finally:
        log.removeHandler(handler)
    broken = [c for c in complaints if "incomplete" in c or "truncated" in c]
    if broken:
        raise UnreadableImage(f"cut off: {broken[0]}")
    return data


def _text(value) -> str:
    if isinstance(value, dict):
        return "\n".join(f"<!-- {k} -->\n{v}" for k, v in value.items())
    return str(value() if callable(value) else value)
