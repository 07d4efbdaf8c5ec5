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
        stored = zip(letters, shape[:-2], strict=True)
        outer = [(_FOLD.get(a, "t"), length) for a, length in stored]

        def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
            rest, number, scale = {"t": t, "c": c, "z": z}, 0, 1
            for axis, length in reversed(outer):
                rest[axis], here = divmod(rest[axis], length)
                number += here * scale
                scale *= length
            page = (
                planes.imread(planes.files[number])
                if hasattr(planes, "imread")
                else planes.asarray()[number]
            )
            return np.asarray(page).reshape(shape[-2:])[None, y0:y1]

        sizes, step, channels = _oif_settings(settings, n)
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
        if code in "XY":
            sizes[code.lower()] = units.micrometers(length / float(count), unit or "um")
        elif code == "Z" and float(count) > 1:
            sizes["z"] = units.micrometers(length / (float(count) - 1), unit or "nm")
        elif code == "T" and float(count) > 1:
            step = units.seconds(length / (float(count) - 1), unit or "ms")
    channels = []
    for c in range(n["c"]):
        facts = (
            settings.get(f"GUI Channel {c + 1} Parameters")
            or settings.get(f"Channel {c + 1} Parameters")
            or {}
        )
        name = str(facts.get("DyeName") or facts.get("CH Name") or "").strip('"') or None
        channels.append(
            Channel(
                name=name,
                fluor=name,
                emission_wavelength=units.wavelength(facts.get("EmissionWavelength")),
                excitation_wavelength=units.wavelength(facts.get("ExcitationWavelength")),
            )
        )
    return sizes, step, channels


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
