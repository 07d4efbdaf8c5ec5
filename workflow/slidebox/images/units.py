"""Lengths in micrometre and times in second, from whatever unit a file uses."""

from __future__ import annotations

import math

import numpy as np

# OME's UnitsLength that have a length, and how others write them.
_LENGTH = {
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "dm": 1e5,
    "cm": 1e4,
    "centimeter": 1e4,
    "mm": 1e3,
    "millimeter": 1e3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "\\u00b5m": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "micrometers": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "pm": 1e-6,
    "picometer": 1e-6,
    "a": 1e-4,
    "å": 1e-4,
    "Å": 1e-4,
    "angstrom": 1e-4,
    "in": 25400.0,
    "inch": 25400.0,
    "inches": 25400.0,
    "fm": 1e-9,
    "km": 1e9,
    "ft": 304800.0,
    "mil": 25.4,
    "pt": 25400 / 72,
}
_TIME = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "msec": 1e-3,
    "millisecond": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "microsecond": 1e-6,
    "ns": 1e-9,
    "nanosecond": 1e-9,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "hr": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}


def micrometers(value: object, unit: str | None = "um") -> float | None:
    """A length in um; None for what isn't a positive, finite length (``pixel`` is no unit of
    length).
    """
    return _convert(value, unit, _LENGTH, positive=True)


def position(value: object, unit: str | None = "um") -> float | None:
    """A coordinate in um, which may be zero or negative."""
    return _convert(value, unit, _LENGTH, positive=False)


def seconds(value: object, unit: str | None = "s") -> float | None:
    """A duration in s; None unless positive and finite."""
    return _convert(value, unit, _TIME, positive=True)


def _convert(value, unit, table, positive) -> float | None:
    if value is None or unit is None:
        return None
    factor = table.get(unit.strip()) or table.get(unit.strip().lower())
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if factor is None or not math.isfinite(number) or (positive and number <= 0):
        return None
    # 15 digits: 1.3e-07 m is 0.13 um, not 0.13000000000000003
    return float(f"{number * factor:.15g}")


def single(value: object) -> float:
    """A single-precision number as it was meant: 0.3, not 0.30000001192092896."""
    return float(str(np.float32(value)))  # type: ignore[arg-type]


def wavelength(value: object) -> float | None:
    """nm; None for 0 and for what is no number."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return float(f"{number:.9g}") if math.isfinite(number) and 0 < number < 1e7 else None


def color(r: int, g: int, b: int) -> str:
    """``RRGGBB`` of three values 0 to 255."""
    return f"{int(r) & 255:02X}{int(g) & 255:02X}{int(b) & 255:02X}"
