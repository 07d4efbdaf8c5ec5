"""The TIFF family by tifffile: OME-TIFF, ImageJ, LSM, STK, SVS, NDPI, SCN, QPTIFF and plain TIFF.

Rows of a page are decoded segment by segment, so that a band of a huge slide costs a band of
memory.
"""

from __future__ import annotations

import html
import json
import logging
import math
import re
import threading
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from .. import units
from ..model import ImageFile, Series, UnreadableImage
from ..registry import version
from . import omexml

_JPEG = {6, 7, 34892, 33007}
# What tifffile's other axis letters are folded into. Q and I are "some sequence": shown as z, as
# ImageJ does with a plain stack.
_FOLD = {
    "Q": "z",
    "I": "z",
    "Z": "z",
    "T": "t",
    "C": "c",
    "S": "c",
    "R": "t",
    "H": "c",
    "E": "c",
    "L": "c",
    "A": "c",
    "V": "c",
    "W": "c",
    "P": "t",
    "M": "t",
    "G": "t",
    "D": "z",
    "B": "c",
    "F": "t",
}
_ROLES = {
    "label": "label",
    "macro": "macro",
    "thumbnail": "thumbnail",
    "map": "map",
    "overview": "macro",
}


def open_file(path: Path, name: str) -> ImageFile:
    if name == "ome-companion":
        return _companion(path)
    with _Complaints() as complaints:
        tiff = tifffile.TiffFile(path)
        try:
            if not len(tiff.pages):
                raise UnreadableImage("no picture's directory can be found: cut off or damaged")
            elsewhere = omexml.binary_only(tiff.ome_metadata or "") if tiff.is_ome else None
            if elsewhere is None:
                image = _describe(tiff, path, name)
        except BaseException:
            tiff.close()
            raise
    if elsewhere is not None:
        tiff.close()
        return _by_reference(path, elsewhere)
    try:
        # tifffile goes on with the pages that it finds; planes must not be missing in silence
        if complaints.fatal:
            raise UnreadableImage(f"cut off or damaged: {complaints.fatal[0]}")
        return image
    except BaseException:
        tiff.close()
        raise


def _by_reference(path: Path, elsewhere: str) -> ImageFile:
    """The whole image of a file whose metadata are in another (BinaryOnly)."""
    other = path.with_name(Path(elsewhere.replace("\\", "/")).name)
    if not other.is_file():
        raise UnreadableImage(f"its metadata are in {elsewhere}, which isn't there")
    if other.name.lower().endswith((".tif", ".tiff", ".tf2", ".tf8", ".btf")):
        with tifffile.TiffFile(other) as tiff:
            if omexml.binary_only(tiff.ome_metadata or ""):
                raise UnreadableImage(f"{elsewhere} points to another file in its turn")
        return open_file(other, "ome-tiff")
    return _companion(other)


def _companion(path: Path) -> ImageFile:
    """An image whose OME-XML is a file of its own, with the TIFFs that it names."""
    xml = path.read_text(encoding="utf-8", errors="replace")
    names = [html.unescape(n) for n in re.findall(r'FileName="([^"]+)"', xml)]
    here = [path.with_name(Path(n).name) for n in dict.fromkeys(names)]
    first = next((p for p in here if p.is_file()), None)
    if first is None:
        raise UnreadableImage(f"none of the {len(here)} files that it names is there")
    with _Complaints() as complaints:
        tiff = tifffile.TiffFile(first, omexml=xml)
        try:
            image = _describe(tiff, path, "ome-companion", xml)
        except BaseException:
            tiff.close()
            raise
    if complaints.fatal:
        image.close()
        raise UnreadableImage(f"cut off or damaged: {complaints.fatal[0]}")
    return image


class _Complaints(logging.Handler):
    """What tifffile logs while it looks at a file, and of that what means that planes are lost."""

    _FATAL = re.compile(r"invalid page offset|invalid or corrupted|missing pages|truncated", re.I)

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.fatal: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = re.sub(r"^<tifffile\.\S+ ?[^>]*>\s*", "", record.getMessage())
        if record.levelno >= logging.ERROR and self._FATAL.search(text):
            self.fatal.append(text)

    def __enter__(self) -> _Complaints:
        log = logging.getLogger("tifffile")
        self.before = log.propagate
        log.addHandler(self)
        log.propagate = False
        return self

    def __exit__(self, *exc: object) -> None:
        log = logging.getLogger("tifffile")
        log.removeHandler(self)
        log.propagate = self.before


def _describe(tiff: tifffile.TiffFile, path: Path, name: str, xml: str = "") -> ImageFile:
    lock = threading.Lock()
    metadata: dict[str, str] = {}
    images: list[omexml.OmeImage] = []
    if tiff.is_ome or xml:
        name = name if xml else "ome-tiff"
        xml = xml or tiff.ome_metadata or ""
        metadata["ome.xml"] = xml
        images = omexml.parse(xml)
    elif tiff.pages.first.description:
        metadata["ImageDescription.txt"] = tiff.pages.first.description
    metadata |= _tables(tiff)
    found = list(tiff.series)
    series = []
    for number, item in enumerate(found):
        if item.dtype is None or item.size == 0:
            continue
        claims = images[number].claims if len(images) == len(found) else None
        series.append(_series(item, len(series), number, lock, path, claims))
    if xml:
        _apply_ome(series, images)
    for one in series:
        one.notes = list(dict.fromkeys(one.notes))
    _vendor(tiff, series, found)

    def close() -> None:
        for one in found:
            for page in one.pages:
                if page is not None and page.parent is not tiff:
                    page.parent.close()
        tiff.close()

    return ImageFile(str(path), name, "tifffile", version("tifffile"), series, metadata, close)


# ---------------------------------------------------------------- pixels


def _series(item, index: int, number: int, lock, path: Path, claims: dict | None) -> Series:
    """One of tifffile's series as one of ours. ``claims``: see ``omexml.OmeImage``."""
    pages = item.pages
    keyframe = item.keyframe
    axes, shape = item.axes, item.shape
    count = len(pages)
    contiguous = count == 1 and item.dataoffset is not None and item.size > keyframe.size
    inner_size = keyframe.size
    # the leading axes that count pages; the rest is within a page
    split, product = 0, 1
    while split < len(axes) and math.prod(shape[split:]) > inner_size:
        product *= shape[split]
        split += 1
    outer = [(a, n) for a, n in zip(axes[:split], shape[:split], strict=True)]
    inner = [
        (a, n) for a, n in zip(axes[split:], shape[split:], strict=True) if n > 1 or a in "YXS"
    ]
    if math.prod(n for _, n in inner) != inner_size or (not contiguous and product != count):
        raise UnreadableImage(
            f"series {number}: {count} pages of {keyframe.shape} don't make {axes} {shape}",
            file=str(path),
        )
    notes = []
    if keyframe.photometric == 0:
        notes.append("0 is white in this file; values are kept as stored")
    elif keyframe.photometric == 3:
        notes.append("values are numbers of a palette's colours; the palette isn't applied")
    sizes = {"t": 1, "c": 1, "z": 1}
    outer_map = []  # (canonical axis, length), in file order
    for letter, n in outer:
        axis = _FOLD.get(letter, "z")
        if n > 1:
            if letter not in "TCZS" and letter not in "QI":
                notes.append(f"axis {letter} of the file ({n}) is kept as {axis}")
            if letter in "QI" and n > 1:
                notes.append("the file doesn't say what its sequence of planes is; it is kept as z")
        sizes[axis] *= n
        outer_map.append((axis, n))
    inner_letters = "".join(a for a, n in inner)
    depth = 1
    samples = 1
    for letter, n in inner:
        if letter in "YX":
            continue
        axis = _FOLD.get(letter, "z")
        if axis == "z" or letter in "ZD":
            depth *= n
        else:
            samples *= n
    sizes["z"] *= depth
    ny = dict(inner).get("Y", 1)
    nx = dict(inner).get("X", 1)
    groups = sizes["c"]
    dtype = keyframe.dtype if item.dtype is None else item.dtype
    sizes["c"] *= samples
    out_axes = "".join(a for a in "tcz" if sizes[a] > 1) + "yx"
    out_shape = (*tuple(sizes[a] for a in "tcz" if sizes[a] > 1), ny, nx)
    rgb = samples in (3, 4) and keyframe.photometric in (2, 6) and "S" in inner_letters

    def page_number(t: int, c: int, z: int) -> int:
        """Position in file order of the page of canonical (t, c, z); several axes may share one."""
        rest = {"t": t, "c": c, "z": z}
        number, scale = 0, 1
        for axis, n in reversed(outer_map):
            rest[axis], here = divmod(rest[axis], n)
            number += here * scale
            scale *= n
        return number

    def read(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        z_outer, z_inner = divmod(z, depth)
        number = page_number(t, c, z_outer)
        if contiguous:
            return _rows_contiguous(item, keyframe, number, z_inner, y0, y1, lock)
        page = pages[number]
        if page is None:
            if claims is not None and (t, c, z) not in claims:  # never recorded
                return np.zeros((samples, y1 - y0, nx), dtype)
            name = claims.get((t, c, z)) if claims else None
            if name and not path.with_name(name).is_file():
                raise UnreadableImage(f"it is in {name}, which isn't there")
            raise UnreadableImage("the file has no page for this plane")
        return _rows(page, z_inner, y0, y1, lock)

    if claims is not None and None in pages and groups * sizes["t"] * sizes["z"] > len(claims):
        gaps = groups * sizes["t"] * sizes["z"] - len(claims)
        notes.append(f"{gaps} planes are in no file; they are filled with 0")
    role = (
        _ROLES.get((item.name or "").split(" ")[0].lower(), "image")
        if item.kind
        in ("svs", "ndpi", "scn", "qpi", "qptiff", "bif", "philips", "indica", "ventana", "avs")
        else "image"
    )
    if number > 0 and item.kind in ("lsm", "fluoview") and keyframe.is_reduced:
        role = "thumbnail"
    if number > 0 and item.kind in ("generic", "uniform") and keyframe.is_reduced:
        role = "thumbnail"
    if keyframe.is_contiguous or contiguous:
        rows: int | None = 1
    elif keyframe.jpegheader is not None and not _by_segment(keyframe):
        rows = None
    elif keyframe.is_tiled:
        rows = keyframe.tilelength
    else:
        rows = min(keyframe.rowsperstrip, ny)
    return Series(
        index,
        item.name or "",
        out_axes,
        out_shape,
        dtype,
        read,
        rgb=rgb,
        samples=samples,
        rows=rows,
        role=role,
        notes=notes,
        pixel_size=_resolution(keyframe),
    )


def _by_segment(page) -> bool:
    """Whether an NDPI page has restart markers that let tifffile decode it in pieces."""
    return bool(page.is_tiled)


def _rows_contiguous(item, keyframe, number: int, z: int, y0: int, y1: int, lock) -> np.ndarray:
    """Rows of a page of a series that is one run of bytes (ImageJ, STK, shaped)."""
    sep, depth, height, width, contig = keyframe.shaped
    dtype = np.dtype(keyframe.parent.byteorder + keyframe.dtype.char)
    page = item.dataoffset + number * keyframe.size * dtype.itemsize
    return _raw(
        item.parent.filehandle, page, (sep, depth, height, width, contig), dtype, z, y0, y1, lock
    )


def _raw(fh, offset: int, shaped, dtype, z: int, y0: int, y1: int, lock) -> np.ndarray:
    sep, depth, height, width, contig = shaped
    row = width * contig * dtype.itemsize
    parts = []
    for s in range(sep):
        at = offset + ((s * depth + z) * height + y0) * row
        parts.append(_bytes(fh, at, (y1 - y0) * row, lock))
    out = np.empty((sep * contig, y1 - y0, width), dtype)
    for s, part in enumerate(parts):
        band = np.frombuffer(part, dtype).reshape(y1 - y0, width, contig)
        if contig == 1:
            if sep == 1:
                return band.reshape(1, y1 - y0, width)
            out[s] = band[..., 0]
        else:
            out[s * contig : (s + 1) * contig] = band.transpose(2, 0, 1)
    return out


def _bytes(fh, offset: int, count: int, lock) -> bytes:
    with lock:
        fh.seek(offset)
        data = fh.read(count)
    if len(data) != count:
        raise UnreadableImage(
            f"the file ends at byte {fh.size}, this plane's data go to byte {offset + count}: "
            "it is cut off"
        )
    return data


def _rows(page, z: int, y0: int, y1: int, lock) -> np.ndarray:
    """Rows y0 to y1 of a page: (samples, rows, columns)."""
    kf = page.keyframe
    fh = page.parent.filehandle
    if fh.closed:
        with lock:
            if fh.closed:
                fh.open()
    sep, depth, height, width, contig = kf.shaped
    offsets, counts = page.dataoffsets, page.databytecounts
    if not offsets:
        raise UnreadableImage("the page has no data")
    if kf.is_final and not kf.is_subsampled:
        dtype = np.dtype(kf.parent.byteorder + kf._dtype.char)
        return _raw(fh, offsets[0], kf.shaped, dtype, z, y0, y1, lock)
    if depth > 1 or (kf.jpegheader is not None and not page.is_tiled) or kf.is_contiguous:
        whole = page.asarray(squeeze=False, maxworkers=1, lock=lock)
        return (
            whole.reshape(kf.shaped)[:, z, y0:y1].transpose(0, 3, 1, 2).reshape(-1, y1 - y0, width)
        )
    with lock:
        kf.init_decode()
    if kf.is_tiled:
        tall, across = kf.tilelength, -(-width // kf.tilewidth)
    else:
        tall, across = min(kf.rowsperstrip, height), 1
    down = -(-height // tall)
    out = np.empty((sep * contig, y1 - y0, width), kf._dtype)
    arguments: dict[str, Any] = {"_fullsize": kf.is_tiled}
    if kf.compression in _JPEG:
        arguments |= {"jpegtables": page.jpegtables, "jpegheader": kf.jpegheader}
    for s in range(sep):
        for row in range(y0 // tall, -(-y1 // tall)):
            for column in range(across):
                number = (s * down + row) * across + column
                if number >= len(offsets):
                    raise UnreadableImage(
                        f"the page has {len(offsets)} pieces of {sep * down * across}"
                    )
                # a piece without bytes is a legal hole (GDAL, NDPI): tifffile fills it
                data = _bytes(fh, offsets[number], counts[number], lock) if counts[number] else None
                piece, (_, _, top, left, _), (_, rows, columns, _) = kf.decode(
                    data, number, **arguments
                )
                a, b = max(top, y0), min(top + rows, y1, height)
                wide = min(columns, width - left)
                target = out[s * contig : (s + 1) * contig, a - y0 : b - y0, left : left + wide]
                if piece is None:
                    target[...] = kf.nodata
                else:
                    target[...] = piece[0, a - top : b - top, :wide].transpose(2, 0, 1)
    return out


# ---------------------------------------------------------------- metadata


def _tables(tiff: tifffile.TiffFile) -> dict[str, str]:
    """Metadata that a vendor keeps in binary tables of tags, as JSON."""
    found = {}
    for kind in ("lsm", "stk", "ndpi", "fluoview", "fei", "sem", "sis", "tvips", "andor", "eer"):
        value = _quiet(tiff, f"{kind}_metadata") if getattr(tiff, f"is_{kind}", False) else None
        if value:
            found[f"{kind}.json"] = json.dumps(value, indent=1, default=_plain, skipkeys=True)
    if tiff.is_ndpi:
        tags = {f"{t.code} {t.name}": t.value for t in tiff.pages.first.tags if t.code >= 65420}
        short = {k: v for k, v in tags.items() if len(str(v)) < 4096}
        found.setdefault("ndpi.json", json.dumps(short, indent=1, default=_plain, skipkeys=True))
    return found


def _quiet(tiff: tifffile.TiffFile, name: str) -> Any:
    """Metadata that can't be parsed are no reason not to read the pixels."""
    try:
        return getattr(tiff, name, None)
    except Exception:
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _resolution(page) -> dict[str, float | None]:
    """Pixel size by the resolution tags, if they can be a microscope's.

    A printing resolution (72 dpi and the like) isn't one: what is over 20 um a pixel is left out.
    """
    unit = {2: 25400.0, 3: 10000.0}.get(int(getattr(page, "resolutionunit", 1) or 1))
    if unit is None:
        return {}
    sizes: dict[str, float | None] = {}
    for axis, tag in (("x", 282), ("y", 283)):
        value = page.tags.valueof(tag)
        try:
            per_unit = value[0] / value[1]
        except (TypeError, ZeroDivisionError, IndexError):
            return {}
        if not per_unit > 0:
            return {}
        size = unit / per_unit
        if size > 20:
            return {}
        sizes[axis] = float(f"{size:.12g}")
    return sizes


def _vendor(tiff: tifffile.TiffFile, series: list[Series], found) -> None:
    for kind, apply in (
        (tiff.is_imagej, _imagej),
        (tiff.is_lsm, _lsm),
        (tiff.is_stk, _stk),
        (tiff.is_svs, _svs),
        (tiff.is_ndpi, _ndpi),
        (tiff.is_scn, _scn),
        (tiff.is_qpi, _qptiff),
        (tiff.is_metaseries and not tiff.is_stk, _metaseries),
        (tiff.is_fluoview, _fluoview),
    ):
        if kind and not (tiff.is_ome and apply is not _qptiff):
            apply(tiff, series)


def _imagej(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    data = tiff.imagej_metadata or {}
    page = tiff.pages.first
    unit = str(data.get("unit", "")).strip()
    for one in series:
        sizes: dict[str, float | None] = {}
        for axis, tag, key in (("x", 282, "unit"), ("y", 283, "yunit")):
            value = page.tags.valueof(tag)
            here = str(data.get(key) or unit).strip() if key == "yunit" else unit
            here = here.encode().decode("unicode_escape") if "\\u" in here else here
            if value and value[0] and value[1]:
                sizes[axis] = units.micrometers(value[1] / value[0], here or None)
                if sizes[axis] is not None:
                    sizes[axis] = float(f"{sizes[axis]:.9g}")
        z_unit = str(data.get("zunit") or unit)
        z_unit = z_unit.encode().decode("unicode_escape") if "\\u" in z_unit else z_unit
        sizes["z"] = (
            units.micrometers(abs(float(data["spacing"])), z_unit) if "spacing" in data else None
        )
        one.pixel_size = {a: sizes.get(a) for a in one.pixel_size}
        if "t" in one.axes and data.get("finterval"):
            one.time_step = units.seconds(data["finterval"], data.get("tunit", "s"))
        n = one.size("c")
        if str(data.get("mode", "")) in ("composite", "color", "grayscale") and one.rgb:
            one.rgb = one.dtype == np.uint8 and "mode" not in data
        labels = data.get("Labels") or []
        labels = [labels] if isinstance(labels, str) else labels
        luts = data.get("LUTs") or []
        for c in range(n):
            if len(luts) == n and np.shape(luts[c]) == (3, 256) and not one.rgb:
                one.channels[c].color = units.color(*(int(v) for v in np.asarray(luts[c])[:, -1]))
            elif n > 1 and data.get("mode") == "composite" and not one.rgb:
                # ImageJ's defaults for composites without tables of their own
                one.channels[c].color = (
                    "FF0000",
                    "00FF00",
                    "0000FF",
                    "FFFFFF",
                    "00FFFF",
                    "FF00FF",
                    "FFFF00",
                )[c % 7]
        if n > 1 and len(labels) == n and len(set(labels)) == n:
            for c, label in enumerate(labels):
                one.channels[c].name = str(label)


def _lsm(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    data = tiff.lsm_metadata or {}
    one = series[0]
    one.pixel_size = {
        a: units.micrometers(data.get(f"VoxelSize{a.upper()}"), "m") for a in one.pixel_size
    }
    if one.pixel_size.get("z") and one.pixel_size["z"] < 1e-6:
        one.pixel_size["z"] = None
    stamps = data.get("TimeStamps")
    if "t" in one.axes:
        one.time_step = units.seconds(data.get("TimeIntervall"))
        if one.time_step is None and stamps is not None and len(stamps) > 1:
            one.time_step = units.seconds(float(np.median(np.diff(stamps))))
    colors = data.get("ChannelColors") or {}
    names, values = colors.get("ColorNames") or [], colors.get("Colors") or []
    for c, channel in enumerate(one.channels):
        if c < len(names):
            channel.name = names[c]
        if c < len(values):
            channel.color = units.color(*values[c][:3])
    for c, (emission, excitation) in enumerate(_lsm_wavelengths(data)):
        if c < len(one.channels):
            one.channels[c].emission_wavelength = emission
            one.channels[c].excitation_wavelength = excitation
    one.rgb = False
    scan = data.get("ScanInformation") or {}
    if scan.get("Objective"):
        one.acquisition["Objective"] = scan["Objective"]


def _lsm_wavelengths(data) -> list[tuple[float | None, float | None]]:
    """Detection band centres and the track's laser lines, in channel order."""
    found = []
    for track in (data.get("ScanInformation") or {}).get("Tracks") or []:
        if not track.get("Acquire", 1):
            continue
        lasers = [
            c.get("Wavelength")
            for c in track.get("IlluminationChannels") or []
            if c.get("Acquire", 1)
        ]
        excitation = units.wavelength(lasers[0]) if len(lasers) == 1 else None
        for channel in track.get("DetectionChannels") or []:
            if not channel.get("Acquire", 1):
                continue
            low, high = (
                channel.get("SpiWavelengthStart"),
                channel.get("SpiWavelengthStop", channel.get("SpiWavelengthEnd")),
            )
            emission = units.wavelength((low + high) / 2) if low and high else None
            found.append((emission, excitation))
    return found


def _stk(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    data = tiff.stk_metadata or {}
    one = series[0]
    unit = data.get("CalibrationUnits")
    if data.get("SpatialCalibration") and unit:
        for axis, key in (("x", "XCalibration"), ("y", "YCalibration")):
            one.pixel_size[axis] = units.micrometers(data.get(key), str(unit).strip("\0 "))
    distance = np.ravel(data.get("ZDistance", []))
    if "z" in one.axes and distance.size and np.all(distance > 0):
        one.pixel_size["z"] = units.micrometers(float(np.median(np.abs(distance))))
    created = np.asarray(data.get("DatetimeCreated", []))
    if "t" in one.axes and created.size > 1:
        steps = np.diff(created).astype("timedelta64[ms]").astype(float) / 1000
        one.time_step = units.seconds(float(np.median(steps)))
    waves = np.ravel(data.get("Wavelengths", []))
    for c, channel in enumerate(one.channels):
        if c < waves.size:
            channel.emission_wavelength = units.wavelength(waves[c])
    name = data.get("Name")
    if name:
        one.name = str(name)


def _svs(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    text = tiff.pages.first.description
    facts = dict(re.findall(r"\|\s*([^=|]+?)\s*=\s*([^|]+?)\s*(?=\||$)", text))
    mpp = units.micrometers(facts.get("MPP"))
    for one in series:
        if one.role == "image":
            one.pixel_size |= {"x": mpp, "y": mpp}
            if facts.get("AppMag"):
                one.acquisition["NominalMagnification"] = facts["AppMag"]
            one.start_time = _svs_time(facts)
            where = {
                a: units.position(facts.get(k), "mm") for a, k in (("x", "Left"), ("y", "Top"))
            }
            one.stage_position = where if None not in where.values() else None
        else:
            one.pixel_size |= {"x": None, "y": None}


def _svs_time(facts: dict[str, str]) -> str | None:
    """``12/29/09`` and ``09:59:15`` as an ISO date."""
    text = f"{facts.get('Date', '')} {facts.get('Time', '')}"
    for form in ("%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S"):
        try:
            return datetime.strptime(text, form).isoformat()
        except ValueError:
            continue
    return None


def _ndpi(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    """Hamamatsu's tags: magnification, offset from the slide's centre in nm, and what a slide in
    fluorescence shows (one file a channel, as a colour picture).
    """
    for one, item in zip(series, tiff.series, strict=False):
        tags = item.keyframe.ndpi_tags or {}
        if one.role != "image":
            continue
        if tags.get("Magnification"):
            one.acquisition["NominalMagnification"] = tags["Magnification"]
        keys = (("x", "XOffsetFromSlideCenter"), ("y", "YOffsetFromSlideCenter"))
        where = {a: units.position(tags.get(k), "nm") for a, k in keys}
        one.stage_position = where if None not in where.values() else None
        one.channels[0].name = str(tags.get("Fluorescence") or "").strip() or None
        one.channels[0].emission_wavelength = units.wavelength(tags.get("Wavelength"))
        stamp = item.keyframe.datetime
        one.start_time = stamp.isoformat() if stamp else None


def _scn(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    try:
        root = ElementTree.fromstring(tiff.scn_metadata or "")
    except ElementTree.ParseError:
        return
    ns = {"s": root.tag.partition("}")[0].strip("{")}
    images = root.findall(".//s:image", ns)
    for one, image in zip(series, images, strict=False):
        view, pixels = image.find("s:view", ns), image.find("s:pixels", ns)
        one.name = image.get("name") or one.name
        if view is None or pixels is None:
            continue
        # Leica's sizes are in nm
        for axis, key in (("x", "X"), ("y", "Y")):
            size, count = view.get(f"size{key}"), pixels.get(f"size{key}")
            if size and count:
                one.pixel_size[axis] = units.micrometers(float(size) / float(count), "nm")
        position = {a: units.position(view.get(f"offset{a.upper()}"), "nm") for a in "xy"}
        if None not in position.values():
            one.stage_position = position
        whole = root.find(".//s:collection", ns)
        if (
            whole is not None
            and view.get("sizeX") == whole.get("sizeX")
            and view.get("sizeY") == whole.get("sizeY")
        ):
            one.role = "macro"  # the picture of the whole slide, with its label


def _qptiff(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    for one, item in zip(series, tiff.series, strict=False):
        if one.role != "image":
            continue
        number = 0
        for page in item.pages:
            try:
                root = ElementTree.fromstring(page.aspage().description)
            except (ElementTree.ParseError, AttributeError, ValueError):
                continue
            if number < len(one.channels):
                channel = one.channels[number]
                text = root.findtext("Name") or root.findtext("Biomarker")
                if text and not one.rgb:
                    channel.name = channel.fluor = text
                value = re.findall(r"\d+", root.findtext("Color") or "")
                if len(value) >= 3 and not one.rgb:
                    channel.color = units.color(*(int(v) for v in value[:3]))
                exposure = root.findtext("ExposureTime")
                if exposure:
                    channel.exposure_time = units.seconds(exposure, "us")
            lens = root.findtext("Objective")
            if lens:
                one.acquisition["Objective"] = lens
            number += 1


def _metaseries(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    data = (tiff.metaseries_metadata or {}).get("PlaneInfo") or {}
    for one in series:
        unit = data.get("spatial-calibration-units")
        if data.get("spatial-calibration-state") and unit:
            for axis in "xy":
                one.pixel_size[axis] = units.micrometers(
                    data.get(f"spatial-calibration-{axis}"), unit
                )
        where = {a: units.position(data.get(f"stage-position-{a}")) for a in "xy"}
        where["z"] = units.position(data.get("z-position"))
        if where["x"] is not None and where["y"] is not None:
            one.stage_position = {k: v for k, v in where.items() if v is not None}
        channel = one.channels[0]
        channel.name = channel.name or data.get("image-name") or data.get("_IllumSetting_")
        channel.emission_wavelength = units.wavelength(data.get("wavelength"))
        exposure = re.match(r"\s*([\d.]+)\s*(\w+)", str(data.get("Exposure Time", "")))
        if exposure:
            channel.exposure_time = units.seconds(exposure[1], exposure[2])


def _fluoview(tiff: tifffile.TiffFile, series: list[Series]) -> None:
    data = tiff.fluoview_metadata or {}
    one = series[0]
    for dimension in data.get("Dimensions") or []:
        axis = str(dimension[0]).strip().lower()
        if axis in one.pixel_size:
            one.pixel_size[axis] = units.micrometers(dimension[2], str(dimension[3]).strip("\0 "))
        if axis in ("t", "time") and "t" in one.axes:
            one.time_step = units.seconds(dimension[2], str(dimension[3]).strip("\0 "))


def _apply_ome(series: list[Series], images: list[omexml.OmeImage]) -> None:
    for n, one in enumerate(series):
        image = images[n] if len(images) == len(series) else omexml.matching(images, one)
        if image is None:
            why = "no Image of the OME-XML fits this series" if images else "its OME-XML is damaged"
            one.notes.append(f"{why}: its metadata are missing")
            continue
        omexml.apply(image, one)
