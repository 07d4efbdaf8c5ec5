"""OME-Zarr metadata: written as the models of ome-zarr-models, checked by them and by ome-zarr.

Only plain data comes in and goes out. Half-pixel translations say where the mean of 2 x 2 pixels
lies: https://ngff.openmicroscopy.org/0.5/ (multiscales, omero, image-label).
"""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np

from .model import Series
from .plan import LevelPlan, Plan, Recipe

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
    return [
        {
            "axes": axes(series),
            "datasets": datasets,
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


def channel_facts(series: Series, low, high, samples) -> list[dict[str, Any]]:
    """Name, colour and display window of each channel; the window comes from the data.

    ``low``, ``high`` are the extremes of level 0, ``samples`` values of the smallest level.
    """
    count = series.size("c")
    result = []
    for c in range(count):
        channel = series.channels[c]
        bottom, top = _limits(series.dtype, low[c], high[c])
        if series.rgb and series.dtype == np.uint8:
            start, end = 0.0, 255.0
        else:
            start, end = _window(samples[c], bottom, top)
        if series.rgb:
            color = ("FF0000", "00FF00", "0000FF", "FFFFFF")[c % series.samples]
            label = channel.name or ("red", "green", "blue", "alpha")[c % series.samples]
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
    return result


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


def array_metadata(series: Series, level: LevelPlan, recipe: Recipe) -> dict[str, Any]:
    """zarr.json of one level: sharding codec around Blosc, index at the end."""
    keep = ["tczyx".index(a) for a in series.axes]

    def pick(numbers) -> list[int]:
        return [int(numbers[k]) for k in keep]

    dtype = series.dtype
    fill: Any = 0
    if dtype.kind == "f":
        fill = 0.0
    elif dtype.kind == "b":
        fill = False
    elif dtype.kind == "c":
        fill = [0.0, 0.0]
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    blosc = {
        "name": "blosc",
        "configuration": {
            "typesize": dtype.itemsize,
            "cname": recipe.compressor,
            "clevel": recipe.level,
            "shuffle": recipe.shuffle,
            "blocksize": recipe.blocksize,
        },
    }
    sharding = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": pick(level.chunk),
            "codecs": [little if dtype.itemsize > 1 else {"name": "bytes"}, blosc],
            "index_codecs": [little, {"name": "crc32c"}],
            "index_location": "end",
        },
    }
    return {
        "shape": pick(level.shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": pick(level.shard)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": [sharding],
        "attributes": {},
        "dimension_names": list(series.axes),
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def group_metadata(attributes: dict[str, Any]) -> dict[str, Any]:
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def image_attributes(series: Series, plan: Plan, name: str, channels: list[dict]) -> dict:
    """The ``ome`` attribute of an image, through ome-zarr-models."""
    from ome_zarr_models.v05.image import ImageAttrs

    attributes = {
        "version": "0.5",
        "multiscales": multiscales(series, plan, name),
        "omero": omero(series, channels, name),
    }
    model = ImageAttrs.model_validate(attributes)
    _agrees(attributes, model.model_dump(mode="json", exclude_none=True))
    return attributes


def label_attributes(series: Series, plan: Plan, name: str, areas: dict[int, int]) -> dict:
    """The ``ome`` attribute of a label image: multiscales, colours and sizes of the objects."""
    from ome_zarr_models.v05.image_label import ImageLabelAttrs

    values = sorted(areas)[:MAX_LABELS]
    attributes = {
        "version": "0.5",
        "multiscales": multiscales(series, plan, name, labels=True),
        "image-label": {
            "version": "0.5",
            "colors": [{"label-value": v, "rgba": label_color(v)} for v in values],
            "properties": [{"label-value": v, "pixels": areas[v]} for v in values],
            "source": {"image": "../../"},
        },
    }
    ImageLabelAttrs.model_validate(attributes)
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


def check(attributes: dict[str, Any]) -> None:
    """Let ome-zarr judge axes and transformations, as its readers will."""
    from ome_zarr.axes import Axes
    from ome_zarr.format import FormatV05

    form = FormatV05()
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
