"""NeXus: which arrays of an HDF5 file are images, and what their axes are.

An ``NXdata`` group names its plotted array (``signal``, older: an attribute ``signal=1`` of the
array), the arrays of coordinates along its axes (``axes``) and their units. See
https://manual.nexusformat.org/classes/base_classes/NXdata.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import h5py
import numpy as np

from .. import units


@dataclass(slots=True)
class Signal:
    """An array of an NXdata group. ``axes``: one name or None a dimension; ``steps``: size of one
    step with its unit, where the coordinates are evenly spaced.
    """

    name: str
    array: h5py.Dataset
    axes: list[str | None] = field(default_factory=list)
    steps: list[tuple[float, str | None] | None] = field(default_factory=list)
    title: str = ""


def is_nexus(file: h5py.File) -> bool:
    """Whether a group of the root says that it is an NXentry."""
    return any(
        _text(item.attrs.get("NX_class")) in ("NXentry", "NXroot")
        for item in [file, *(file[k] for k in file if isinstance(file.get(k), h5py.Group))]
    )


def signals(file: h5py.File) -> list[Signal]:
    """The signals of all NXdata groups, the default one first; each array once."""
    groups: list[h5py.Group] = []

    def visit(_: str, item) -> None:
        if isinstance(item, h5py.Group) and _text(item.attrs.get("NX_class")) == "NXdata":
            groups.append(item)

    file.visititems(visit)
    default = _default(file)
    groups.sort(key=lambda g: (g != default, g.name))
    found: list[Signal] = []
    for group in groups:
        for signal in _group(group):
            if not any(signal.array == other.array for other in found):
                found.append(signal)
    return found


def _default(file):
    """Follow the ``default`` attributes from the root."""
    here = file
    for _ in range(8):
        name = _text(here.attrs.get("default"))
        if not name or name not in here or not isinstance(here[name], h5py.Group):
            break
        here = here[name]
    return here


def _group(group) -> list[Signal]:
    names = [_text(group.attrs.get("signal"))]
    auxiliary = group.attrs.get("auxiliary_signals")
    if auxiliary is not None:
        names += [_text(v) for v in np.atleast_1d(auxiliary)]
    names = [n for n in names if n]
    if not names:  # before 2014 the array itself says that it is the signal
        arrays = [k for k in group if isinstance(group.get(k), h5py.Dataset)]
        names = [k for k in arrays if _text(group[k].attrs.get("signal")) == "1"]
        if not names and "data" in arrays:
            names = ["data"]
    found = []
    for name in names:
        array = group.get(name)
        if isinstance(array, h5py.Dataset) and array.dtype.kind in "buifc":
            axes, steps = _axes(group, name, array)
            found.append(Signal(array.name.strip("/"), array, axes, steps, _title(group)))
    return found


def _title(group) -> str:
    item = group.get("title")
    return _text(item[()]) or "" if isinstance(item, h5py.Dataset) and item.shape == () else ""


def _axes(group, name: str, array) -> tuple[list, list]:
    """Names and steps of an array's dimensions."""
    names: list[str | None] = [None] * array.ndim
    value = group.attrs.get("axes", array.attrs.get("axes"))
    if value is not None:
        text = [_text(v) for v in np.atleast_1d(value)]
        if len(text) == 1 and text[0]:
            text = [t for t in re.split(r"[:,\s\[\]]+", text[0]) if t]
        for n, axis in enumerate(text[: array.ndim]):
            names[n] = None if axis in (".", "", None) else axis
    for key in group:
        place = group.attrs.get(f"{key}_indices")
        item = group.get(key)
        if key == name or not isinstance(item, h5py.Dataset):
            continue
        if place is not None and np.size(place) == 1 and 0 <= int(np.ravel(place)[0]) < array.ndim:
            spot = int(np.ravel(place)[0])
            names[spot] = names[spot] or key
        old = item.attrs.get("axis")  # counted from 1
        if old is not None and value is None:
            try:
                spot = int(_text(old) or 0) - 1
            except ValueError:
                continue
            if 0 <= spot < array.ndim:
                names[spot] = names[spot] or key
    steps: list[tuple[float, str | None] | None] = []
    for n, axis in enumerate(names):
        steps.append(_step(group, axis, array.shape[n]))
    return names, steps


def _step(group, axis: str | None, length: int) -> tuple[float, str | None] | None:
    """Distance of two neighbours along an axis, if all are alike."""
    item = group.get(axis) if axis else None
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "uif" or item.ndim != 1:
        return None
    if item.size < 2 or item.size not in (length, length + 1) or item.size > 1 << 20:
        return None
    values = np.asarray(item[()], float)
    step = (values[-1] - values[0]) / (values.size - 1)
    if not np.isfinite(step) or not np.allclose(np.diff(values), step, rtol=0.02, atol=0):
        return None
    return float(f"{abs(step):.9g}"), _text(item.attrs.get("units"))


def letters(signal: Signal) -> list[str]:
    """``tczyx`` for the dimensions: by the axes' names and units, else by position."""
    count = signal.array.ndim
    found: list[str | None] = []
    for name, step in zip(signal.axes, signal.steps, strict=True):
        unit = step[1] if step else None
        found.append(_letter(name or "", unit))
    if count == 3 and found == [None] * 3 and _turns(signal):
        found[0] = "t"  # NXtomo: projections
    default = list({2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}[count])
    if "y" not in found and "x" not in found:
        found[-2:] = ["y", "x"]
    named = [f for f in found if f]
    if len(set(named)) < len(named) or not {"y", "x"} <= set(named):
        return default
    shape = signal.array.shape
    if min(shape[found.index("y")], shape[found.index("x")]) < 8:
        return default  # a scan of a few points, with a picture at each
    # what follows the picture's axes is a spectrum, what goes before them most likely z
    for n, letter in enumerate(found):
        if letter is None:
            inside = n > max(found.index("y"), found.index("x"))
            free = [a for a in ("ctz" if inside else "zct") if a not in found]
            found[n] = free[0]
    return found  # type: ignore[return-value]


def _letter(name: str, unit: str | None) -> str | None:
    name = name.lower()
    if units.seconds(1, unit) is not None or re.fullmatch(r"(frame_)?(time|t)(stamps?)?", name):
        return "t"
    if "angle" in name or (unit or "").lower() in ("deg", "degree", "degrees", "rad"):
        return "t"
    if "energy" in name or (unit or "").lower() in ("ev", "kev"):
        return "c"
    match = re.fullmatch(r"(?:.*[_.])?([xyz])(?:[_.].*|offset|pos(?:ition)?s?|_?axis)?", name)
    return match[1] if match else None


def _turns(signal: Signal) -> bool:
    return "rotation_angle" in signal.array.parent


def sizes(signal: Signal, axes: list[str]) -> tuple[dict[str, float | None], float | None]:
    """Pixel sizes (um) and time step (s)."""
    size: dict[str, float | None] = {}
    seconds = None
    for letter, step in zip(axes, signal.steps, strict=True):
        if step is None:
            continue
        if letter in "zyx":
            size[letter] = units.micrometers(step[0], step[1])
        elif letter == "t":
            seconds = units.seconds(step[0], step[1])
    return size, seconds


def sample_pixel_size(file: h5py.File) -> dict[str, float | None]:
    """``x_pixel_size`` and ``y_pixel_size`` at the sample, as tomography writes them.

    Those of an NXdetector are the camera's own and aren't taken.
    """
    found: dict[str, float | None] = {}

    def visit(_: str, item) -> None:
        if isinstance(item, h5py.Group) and _text(item.attrs.get("NX_class")) == "NXsample":
            for axis in "xy":
                value = item.get(f"{axis}_pixel_size")
                if isinstance(value, h5py.Dataset) and value.size == 1:
                    number = float(np.ravel(value[()])[0])
                    found[axis] = units.micrometers(number, _text(value.attrs.get("units")) or "m")

    file.visititems(visit)
    return found


def _text(value) -> str | None:
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
