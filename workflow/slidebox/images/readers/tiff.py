"""The TIFF family, by tifffile: OME-TIFF, ImageJ, LSM, STK, SVS, NDPI, SCN, QPTIFF, plain TIFF."""

from __future__ import annotations

import html
import logging
import re
import threading
from pathlib import Path

import tifffile

from ..model import ImageFile, Series, UnreadableImage
from ..registry import version
from . import omexml
from .tiff_series import series_of
from .tiff_vendors import apply_vendor, tables


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
    metadata |= tables(tiff)
    found = list(tiff.series)
    series = []
    for number, item in enumerate(found):
        if item.dtype is None or item.size == 0:
            continue
        claims = images[number].claims if len(images) == len(found) else None
        series.append(series_of(item, len(series), number, lock, path, claims))
    if xml:
        _apply_ome(series, images)
    for one in series:
        one.notes = list(dict.fromkeys(one.notes))
    apply_vendor(tiff, series)

    def close() -> None:
        for one in found:
            for page in one.pages:
                if page is not None and page.parent is not tiff:
                    page.parent.close()
        tiff.close()

    return ImageFile(str(path), name, "tifffile", version("tifffile"), series, metadata, close)


def _apply_ome(series: list[Series], images: list[omexml.OmeImage]) -> None:
    for n, one in enumerate(series):
        image = images[n] if len(images) == len(series) else omexml.matching(images, one)
        if image is None:
            why = "no Image of the OME-XML fits this series" if images else "its OME-XML is damaged"
            one.notes.append(f"{why}: its metadata are missing")
            continue
        omexml.apply(image, one)
