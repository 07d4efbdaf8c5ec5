"""Leica LIF, LOF and XLEF by liffile: each image, and each tile of a mosaic, is a series."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import liffile
import numpy as np

from .. import units
from ..model import Channel, ImageFile, Series, UnreadableImage, Well
from ..registry import version

_LUTS = {
    "red": "FF0000",
    "green": "00FF00",
    "blue": "0000FF",
    "gray": "FFFFFF",
    "grey": "FFFFFF",
    "cyan": "00FFFF",
    "magenta": "FF00FF",
    "yellow": "FFFF00",
}
_CHANNEL_LIKE = "λΛAHQ"  # emission, excitation, rotation, lifetime bin, slow time
_SERIES_LIKE = "MPN"  # tiles of a mosaic, positions, loops


def open_file(path: Path, name: str) -> ImageFile:
    lif = liffile.LifFile(path)
    try:
        series: list[Series] = []
        problems = []
        for image in lif.images:
            try:
                series += _series(image, len(series))
            except UnreadableImage as error:
                problems.append(f"{image.name}: {error.reason}")
            except KeyError as error:  # liffile looks for its block of pixels
                series.append(_lost(image, len(series), error))
        if not series and problems:
            raise UnreadableImage("; ".join(problems))
        _wells(series, path.stem)
        for one in series[:1]:
            one.notes += [f"left out: {p}" for p in problems]
        return ImageFile(
            str(path),
            name,
            "liffile",
            version("liffile"),
            series,
            {"metadata.xml": lif.xml_header()},
            lif.close,
        )
    except BaseException:
        lif.close()
        raise


def _lost(image, index: int, error: KeyError) -> Series:
    """An image whose pixels a file that was cut off doesn't hold: reading says so."""
    sizes = dict(image.sizes)
    spatial = [d for d in "ZYX" if sizes.get(d, 1) > 1] or ["X"]
    row, column = _plane_axes(spatial)
    n = {"t": sizes.get("T", 1), "c": sizes.get("C", 1)}
    n["z"] = sizes.get("Z", 1) if "Z" not in (row, column) else 1

    def read(*where: int) -> np.ndarray:
        raise UnreadableImage(f"the file doesn't hold its pixels ({error.args[0]}): cut off")

    return Series(
        index,
        image.path,
        "".join(a for a in "tcz" if n[a] > 1) + "yx",
        (*(n[a] for a in "tcz" if n[a] > 1), sizes.get(row, 1) if row else 1, sizes[column]),
        image.dtype,
        read,
    )


def _series(image, start: int) -> list[Series]:
    sizes = dict(image.sizes)
    coords = image.coords
    notes = []
    if image.is_flim:
        raise UnreadableImage("a lifetime (FLIM) recording has photon counts, not an image")
    spatial = [d for d in sizes if d in "ZYX"]
    row, column = _plane_axes(spatial)
    samples = sizes.get("S", 1)
    if row != "Y" or column != "X":
        notes.append(
            f"each plane is a {column}{row} scan: its rows are kept as y, though they run along "
            f"{str(row).lower()}"
        )
    stack = [d for d in "ZYX" if d in sizes and d not in (row, column)]
    z_axis = stack[0] if stack else None
    channel_like = [d for d in sizes if d in _CHANNEL_LIKE]
    series_like = [d for d in sizes if d in _SERIES_LIKE]
    odd = [
        d
        for d in sizes
        if d not in {row, column, z_axis, "T", "C", "S", *channel_like, *series_like}
    ]
    if any(sizes[d] > 1 for d in odd):
        raise UnreadableImage(f"dimension {odd[0]} ({sizes[odd[0]]}) has no axis in OME-Zarr")
    height, width = sizes.get(row, 1) if row else 1, sizes.get(column, 1)
    folds = list(itertools.product(*[range(sizes[d]) for d in channel_like]))
    n = {
        "t": sizes.get("T", 1),
        "c": sizes.get("C", 1) * len(folds) * samples,
        "z": sizes.get(z_axis, 1) if z_axis else 1,
    }
    if channel_like:
        notes.append(f"dimension {', '.join(channel_like)} is kept as channels")
    axes = "".join(a for a in "tcz" if n[a] > 1) + "yx"
    shape = (*(n[a] for a in "tcz" if n[a] > 1), height, width)
    pixel_size = {"x": _step(coords, column), "y": _step(coords, row), "z": _step(coords, z_axis)}
    frames = image.frames
    frame_dims = tuple(frames.frame_dims)
    outer = tuple(frames.dims)[: len(tuple(frames.dims)) - len(frame_dims)]
    tiles = list(itertools.product(*[range(sizes[d]) for d in series_like]))
    places = _tiles(image, tiles, series_like)
    channels = _channels(image, sizes.get("C", 1), channel_like, folds, samples, coords)
    result = []
    for number, tile in enumerate(tiles):

        def read(
            t: int, c: int, z: int, y0: int, y1: int, tile: tuple[int, ...] = tile
        ) -> np.ndarray:
            c, fold = divmod(c, len(folds))
            where = {
                "T": t,
                "C": c,
                "Z": 0,
                "Y": 0,
                **dict(zip(channel_like, folds[fold], strict=True)),
                **dict(zip(series_like, tile, strict=True)),
            }
            if z_axis:
                where[z_axis] = z
            try:
                frame = frames[tuple(where.get(d, 0) for d in outer)] if outer else frames[0]
            except ValueError as error:
                if "items, got" in str(error):
                    raise UnreadableImage("the file ends before this plane: cut off") from error
                raise
            frame = np.asarray(frame)
            letters = list(frame_dims)
            for d in [d for d in letters if d not in (row, column, "S")]:
                frame = frame.take(where.get(d, 0), axis=letters.index(d))
                letters.remove(d)
            order = [letters.index(d) for d in ("S", row, column) if d in letters]
            frame = frame.transpose(order).reshape(samples, height, width)
            return frame[:, y0:y1]

        name = image.path + (" tile " + ".".join(map(str, tile)) if tile and len(tiles) > 1 else "")
        result.append(
            Series(
                start + number,
                name,
                axes,
                shape,
                image.dtype,
                read,
                dict(pixel_size),
                _step(coords, "T", 1.0) if n["t"] > 1 else None,
                [Channel(**{k: getattr(c, k) for k in Channel.__slots__}) for c in channels],
                rgb=samples >= 3,
                samples=samples,
                notes=list(notes),
                stage_position=places[number],
            )
        )
    setting = (
        _find(image.attrs, "ATLConfocalSettingDefinition")
        or _find(image.attrs, "ATLCameraSettingDefinition")
        or {}
    )
    bands = _bands(image.attrs)
    times = image.timestamps
    for one in result:
        one.start_time = str(times[0]) if times is not None and len(times) else None
        if one.stage_position is None:
            one.stage_position = _stage(image.attrs)
        one.stage_position = _along_image(one.stage_position, setting)
        for channel in one.channels:
            if (channel.name or "") in bands:
                waves = bands[channel.name or ""]
                channel.emission_wavelength, channel.excitation_wavelength = waves
        for ours, theirs in (
            ("NominalMagnification", "Magnification"),
            ("LensNA", "NumericalAperture"),
            ("Model", "ObjectiveName"),
            ("Immersion", "Immersion"),
        ):
            if isinstance(setting, dict) and setting.get(theirs):
                one.acquisition[ours] = (
                    setting[theirs]
                    if not isinstance(setting[theirs], str)
                    else setting[theirs].strip()
                )
    return result


# <scan>/<row>/<column>, a folder or an image: what the Navigator calls the wells of a plate
_WELL = re.compile(
    r"(?:(?P<plate>.+?)/)?(?P<row>[A-P]|A[A-F])/(?P<column>[1-9]\d?)(?:[/ ](?P<rest>.+))?"
)


def _wells(series: list[Series], stem: str) -> None:
    """Put images into wells, by their path in the project; what was merged is a plate of its own,
    since readers lay all images of a well side by side.
    """
    fields: dict[tuple, int] = {}
    for one in series:
        match = _WELL.fullmatch(one.name)
        if match is None:
            continue
        merged = " merged" if re.search(r"_merg(ed|ing)", match["rest"] or "", re.I) else ""
        key = ((match["plate"] or stem) + merged, match["row"], match["column"])
        one.well = Well(*key, fields.get(key, 0))
        fields[key] = one.well.field + 1


def _plane_axes(spatial: list[str]) -> tuple[str | None, str]:
    """The two fastest spatial dimensions: what the microscope scanned as one plane."""
    if not spatial:
        raise UnreadableImage("the image has no spatial dimension")
    if len(spatial) == 1:
        return None, spatial[0]
    return spatial[-2], spatial[-1]


def _step(coords, dimension: str | None, factor: float = 1e6) -> float | None:
    """Distance along a dimension: Leica's coordinates are in m and s."""
    if dimension is None or dimension not in coords:
        return None
    values = np.asarray(coords[dimension])
    if values.dtype.kind not in "fiu" or values.size < 2:
        return None
    step = abs(float(values[-1] - values[0])) / (values.size - 1) * factor
    return float(f"{step:.12g}") if np.isfinite(step) and step > 0 else None


def _channels(image, count: int, folded: list[str], folds, samples: int, coords) -> list[Channel]:
    names = [str(v) for v in coords["C"]] if "C" in coords else []
    raw = list(getattr(image, "_channels", ()) or ())
    channels = []
    for c in range(count):
        lut = str(getattr(raw[c], "lut_name", "") if c < len(raw) else "").strip().lower()
        for fold in folds:
            suffix = " ".join(
                f"{d} {_value(coords, d, i)}" for d, i in zip(folded, fold, strict=True)
            )
            waves = {
                "λΛ".index(d): units.wavelength(float(np.asarray(coords[d])[i]) * 1e9)
                for d, i in zip(folded, fold, strict=True)
                if d in "λΛ" and np.asarray(coords.get(d, [""])).dtype.kind == "f"
            }
            name = names[c] if c < len(names) else None
            if re.fullmatch(r"Ch\d+", name or ""):
                name = None  # liffile's word for a channel without a name
            for _ in range(samples):
                channels.append(
                    Channel(
                        name=" ".join(p for p in (name, suffix) if p) or None,
                        color=_LUTS.get(lut) if samples == 1 else None,
                        emission_wavelength=waves.get(0),
                        excitation_wavelength=waves.get(1),
                    )
                )
    return channels


def _value(coords, dimension: str, index: int) -> str:
    values = coords.get(dimension)
    if values is None:
        return str(index)
    value = values[index]
    if dimension in "λΛ" and isinstance(value, float | np.floating):
        return f"{value * 1e9:.6g} nm" if abs(value) < 1e-3 else f"{value:.6g} nm"
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


def _tiles(image, tiles, dims) -> list[dict[str, float] | None]:
    """Where each tile is on the stage (um)."""
    scan = image.tilescan
    if scan is None or "M" not in dims:
        return [None] * len(tiles)
    at = dims.index("M")
    places: list[dict[str, float] | None] = []
    for tile in tiles:
        where = {}
        if tile[at] < len(scan.tiles):
            for axis in "xyz":
                value = units.position(float(scan.tiles[f"pos_{axis}"][tile[at]]), "m")
                if value is not None:
                    where[axis] = value
        places.append(where if "x" in where and "y" in where else None)
    return places


def _stage(attrs) -> dict[str, float] | None:
    """Where the stage stood (Leica writes m)."""
    x, y = (units.position(_find(attrs, key), "m") for key in ("StagePosX", "StagePosY"))
    return {"x": x, "y": y} if x is not None and y is not None and (x, y) != (0, 0) else None


def _along_image(where: dict[str, float] | None, setting) -> dict[str, float] | None:
    """A stage position along the picture's x and y, as Bio-Formats gives it: the scanner's picture
    may be turned against the stage (SwapXY) and mirrored (FlipX, FlipY).
    """
    if where is None or not isinstance(setting, dict):
        return where
    swap, flip_x, flip_y = (str(setting.get(k, 0)) == "1" for k in ("SwapXY", "FlipX", "FlipY"))
    x, y = (where["y"], where["x"]) if swap else (where["x"], where["y"])
    return where | {"x": -x if flip_x else x, "y": -y if flip_y else y}


def _bands(attrs) -> dict[str, tuple[float | None, float | None]]:
    """Emission and excitation (nm) of each dye, by its name.

    Emission is the centre of its detection band; excitation the laser line that was on next below
    the band (light is emitted at longer wavelengths than it is taken up), if any.
    """
    found: dict[str, tuple[float | None, float | None]] = {}
    lines = [
        units.wavelength(line.get("LaserLine"))
        for line in _all(_find(attrs, "AotfList"), "LaserLineSetting")
        if units.wavelength(line.get("IntensityDev"))  # a number above 0: it was on
    ]
    for band in _all(_find(attrs, "Spectro"), "MultiBand"):
        name = str(band.get("DyeName") or "").rpartition("/")[2]
        if name:
            low, high = (units.wavelength(band.get(k)) for k in ("LeftWorld", "RightWorld"))
            centre = float(f"{(low + high) / 2:.6g}") if low and high else None
            below = [line for line in lines if line and low and line <= low]
            waves = (centre, max(below, default=None))
            found[name] = (None, None) if name in found else waves
    return found


def _all(data, key: str) -> list[dict]:
    """Every dict under a key anywhere in nested dicts and lists."""
    if isinstance(data, list):
        return [one for value in data for one in _all(value, key)]
    if not isinstance(data, dict):
        return []
    here = data.get(key)
    own = [one for one in (here if isinstance(here, list) else [here]) if isinstance(one, dict)]
    return own + [one for k, v in data.items() if k != key for one in _all(v, key)]


def _find(data, key: str):
    """First value of a key anywhere in nested dicts."""
    if isinstance(data, dict):
        if key in data:
            return data[key]
        for value in data.values():
            found = _find(value, key)
            if found is not None:
                return found
    return None
