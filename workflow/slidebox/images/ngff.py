"""OME-Zarr metadata: written as the models of ome-zarr-models, checked by them and by ome-zarr.

Only plain data comes in and goes out. Half-pixel translations say where the mean of 2 x 2 pixels
lies: https://ngff.openmicroscopy.org/0.5/ (multiscales, omero, image-label).
"""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np

from . import nodes
from .model import Series
from .plan import LevelPlan, Plan

_UNITS = {"x": "micrometer", "y": "micrometer", "z": "micrometer", "t": "second"}
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
# For channels whose file gives no colour: one is white, several are told apart.
_PALETTE = ("00FFFF", "FF00FF", "FFFF00", "FF0000", "00FF00", "0000FF", "FF8000", "FFFFFF")


def axes(series: Series) -> list[dict[str, str]]:
    """Axes with units only where the file gives a size: no unit is better than a wrong one."""
    result = []
    for a in series.axes:
        axis = {"name": a, "type": _TYPES[a]}
        known = series.time_step if a == "t" else series.pixel_size.get(a)
        if a in _UNITS and known:
            axis["unit"] = _UNITS[a]
        result.append(axis)
    return result


def transforms(series: Series, level: LevelPlan) -> list[dict[str, Any]]:
    """Scale and translation of a level, in the units of the axes; pixels where nothing is known."""
    factor = dict(zip("zyx", level.factors, strict=True))
    scale, translation = [], []
    for a in series.axes:
        step = (series.time_step if a == "t" else series.pixel_size.get(a)) or 1.0
        f = factor.get(a, 1)
        scale.append(_short(step * f))
        translation.append(_short(step * (f - 1) / 2))
    result: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if any(translation):
        result.append({"type": "translation", "translation": translation})
    return result


def multiscales(series: Series, plan: Plan, name: str, labels: bool = False) -> list[dict]:
    datasets = [
        {"path": level.path, "coordinateTransformations": transforms(series, level)}
        for level in plan.levels
    ]
    kind = "mode" if labels else "mean"
    placed = stage(series)
    return [
        {
            "axes": axes(series),
            "datasets": datasets,
            **({"coordinateTransformations": placed} if placed else {}),
            "name": name,
            "type": kind,
            "metadata": {
                "description": "commonest value under each pixel"
                if labels
                else "mean of the pixels under each pixel, integers rounded half up",
                "method": f"slidebox.images.reduce.{kind.capitalize()}",
            },
        }
    ]


def stage(series: Series) -> list[dict[str, Any]]:
    """Where the image lies on the stage, in the units of the axes; empty when that isn't known.

    It stands beside the datasets, so that it holds for all of them and their own translations stay
    what their pixels need.
    """
    where, sizes = series.stage_position or {}, series.pixel_size
    if not all(sizes.get(a) and where.get(a) is not None for a in "yx"):
        return []
    known = {a: where[a] for a in "zyx" if sizes.get(a) and where.get(a) is not None}
    return [
        {"type": "scale", "scale": [1.0] * len(series.axes)},
        {"type": "translation", "translation": [_short(known.get(a, 0.0)) for a in series.axes]},
    ]


def channel_facts(series: Series, low, high, samples) -> list[dict[str, Any]]:
    """Name, colour and display window of each channel; the window comes from the data.

    ``low``, ``high`` are the extremes of level 0, ``samples`` values of the smallest level.
    """
    count = series.size("c")
    result: list[dict[str, Any]] = []
    for c in range(count):
        channel = series.channels[c]
        bottom, top = _limits(series.dtype, low[c], high[c])
        if series.rgb and series.dtype == np.uint8:
            start, end = 0.0, 255.0
        elif channel.window is not None:
            start, end = channel.window
        else:
            start, end = _window(samples[c], bottom, top)
        bottom, top = min(bottom, start), max(top, end)
        if series.rgb:
            color = ("FF0000", "00FF00", "0000FF", "FFFFFF")[c % series.samples]
            label = _sample_label(series, c)
        else:
            color = channel.color or ("FFFFFF" if count == 1 else _PALETTE[c % len(_PALETTE)])
            label = channel.name or f"Channel {c}"
        result.append(
            {
                "label": label,
                "color": color,
                "active": not (series.rgb and c % series.samples == 3) and (series.rgb or c < 8),
                "coefficient": 1.0,
                "family": "linear",
                "inverted": False,
                "window": {"min": bottom, "max": top, "start": start, "end": end},
            }
        )
    if series.rgb:  # one window for all samples: colours stay what they are
        windows = [shown["window"] for shown in result if shown["active"]]
        lowest, highest = min(w["start"] for w in windows), max(w["end"] for w in windows)
        for window in windows:
            window |= {"start": lowest, "end": highest}
            window["min"], window["max"] = min(window["min"], lowest), max(window["max"], highest)
    return result


def _sample_label(series: Series, c: int) -> str:
    """A colour sample's own name; else its colour, with its picture's name where there are more."""
    first = c - c % series.samples
    names = [one.name for one in series.channels[first : first + series.samples]]
    if None not in names and len(set(names)) == len(names):
        return names[c - first]
    color = ("red", "green", "blue", "alpha")[c % series.samples]
    return f"{names[0]} {color}" if names[0] and series.size("c") > series.samples else color


def _limits(dtype: np.dtype, low, high) -> tuple[float, float]:
    if low is None or high is None:
        low, high = 0.0, 1.0
    low, high = float(low), float(high)
    return (low, high) if high > low else (low, low + 1)


def _window(values: list[np.ndarray], low: float, high: float) -> tuple[float, float]:
    """0.1 and 99.9 percent of the values, within the extremes; the extremes when that is
    nothing.
    """
    if not values:
        return low, high
    flat = np.concatenate(values)
    if flat.dtype.kind == "c":
        flat = np.abs(flat)
    if flat.dtype.kind == "f":
        flat = flat[np.isfinite(flat)]
    if not flat.size:
        return low, high
    start, end = (float(v) for v in np.percentile(flat.astype("f8"), (0.1, 99.9)))
    return (_short(start), _short(end)) if end > start else (low, high)


def omero(series: Series, channels: list[dict], name: str) -> dict[str, Any]:
    return {
        "name": name,
        "channels": channels,
        "rdefs": {
            "defaultT": 0,
            "defaultZ": series.size("z") // 2,
            "model": "color" if series.size("c") > 1 or series.channels[0].color else "greyscale",
        },
    }


def image_attributes(
    series: Series, plan: Plan, name: str, channels: list[dict], version: str = "0.5"
) -> dict[str, Any]:
    """The ``ome`` attribute of an image, in the form of 0.5, judged by the models of ``version``
    and by ome-zarr.
    """
    attributes = {
        "version": "0.5",
        "multiscales": multiscales(series, plan, name),
        "omero": omero(series, channels, name),
    }
    model = _model(version, "image", "ImageAttrs").model_validate(_form(attributes, version))
    _agrees(_form(attributes, version), model.model_dump(mode="json", exclude_none=True))
    _check(attributes, version)
    return attributes


def label_attributes(
    series: Series,
    plan: Plan,
    name: str,
    areas: dict[int, int],
    version: str = "0.5",
    known: dict[int, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The ``ome`` attribute of a label image: multiscales, colours and properties of the objects.

    ``areas`` are pixels per value; ``known`` what the submission says of a value, with its colour
    as ``rgba`` (four numbers 0 to 255).
    """
    known, values = known or {}, sorted(areas)[:MAX_LABELS]
    colors, properties = [], []
    for value in values:
        said = dict(known.get(value, {}))
        rgba = said.pop("rgba", None) or label_color(value)
        colors.append({"label-value": value, "rgba": rgba})
        said.pop("label-value", None)
        properties.append({"label-value": value, **said, "pixels": areas[value]})
    attributes = {
        "version": "0.5",
        "multiscales": multiscales(series, plan, name, labels=True),
        "image-label": {
            "version": "0.5",
            "colors": colors,
            "properties": properties,
            "source": {"image": "../../"},
        },
    }
    if not values:  # the models want no empty lists
        del attributes["image-label"]["colors"], attributes["image-label"]["properties"]
    _model(version, "image_label", "ImageLabelAttrs").model_validate(_form(attributes, version))
    _check(attributes, version)
    return attributes


MAX_LABELS = 5000  # more would make the metadata larger than many an image


def label_color(value: int) -> list[int]:
    """A colour that differs from those of the neighbouring values: golden angle around the
    wheel.
    """
    hue = (value * 0.61803398875) % 1.0
    light = (0.45, 0.6, 0.75)[value % 3]
    r, g, b = colorsys.hls_to_rgb(hue, light, 0.85)
    return [round(r * 255), round(g * 255), round(b * 255), 255]


def _model(version: str, module: str, name: str):
    import importlib

    where = f"ome_zarr_models.v{version.replace('.', '')}.{module}"
    return getattr(importlib.import_module(where), name)


def _form(attributes: dict[str, Any], version: str) -> dict[str, Any]:
    return attributes if version == "0.5" else nodes.flat(attributes)


def _check(attributes: dict[str, Any], version: str) -> None:
    """Let ome-zarr judge axes and transformations, as its readers will."""
    from ome_zarr.axes import Axes
    from ome_zarr.format import FormatV04, FormatV05

    form = FormatV05() if version == "0.5" else FormatV04()
    for multiscale in attributes["multiscales"]:
        Axes(multiscale["axes"], fmt=form).validate()
        datasets = multiscale["datasets"]
        form.validate_coordinate_transformations(
            len(multiscale["axes"]),
            len(datasets),
            [d["coordinateTransformations"] for d in datasets],
        )


def _agrees(ours: Any, theirs: Any, where: str = "ome") -> None:
    """Nothing that we say may be lost or changed by the models: they'd read it otherwise."""
    if isinstance(ours, dict):
        for key, value in ours.items():
            if key in theirs:
                _agrees(value, theirs[key], f"{where}.{key}")
    elif isinstance(ours, list):
        if len(ours) != len(theirs):
            raise ValueError(f"ome-zarr-models reads {where} as {theirs}")
        for n, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            _agrees(a, b, f"{where}[{n}]")
    elif ours != theirs:
        raise ValueError(f"ome-zarr-models reads {where} = {ours!r} as {theirs!r}")


def _short(value: float) -> float:
    """15 digits are all that a product of measured numbers has."""
    return float(f"{value:.15g}")
