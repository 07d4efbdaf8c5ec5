"""What files hold: members of archives, compressed files, pictures written out as base64 in pages
and notebooks, pictures of PDF files, cells of tables and databases; also of members of members."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import re
import shutil
import sqlite3
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from . import spreadsheets

DEEP = 4  # containers within containers
LARGEST = 4 << 30  # bytes of a member that is unpacked
ALL = 64 << 30  # of all that is packed in a file
LARGEST_TEXT = 256 << 20
PRIVATE = 32768  # TIFF's tags from this one on are what somebody made of them
LARGEST_ROI = 1 << 20
ZARR = {"zarr.json", ".zarray"}
ZARR_FILES = {*ZARR, ".zgroup", ".zattrs", ".zmetadata"}  # what describes arrays and groups
TABLES = {".parquet", ".pq", ".feather", ".arrow", ".arrows", ".orc"}
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, sqlite3.Error, OSError,
    EOFError, RuntimeError, NotImplementedError, ValueError, KeyError, IndexError, TypeError,
    AttributeError, struct.error, MemoryError,
)  # fmt: skip
MAGIC = (
    (b"PK\3\4", "zip"), (b"PK\5\6", "zip"), (b"\x1f\x8b", "gz"), (b"BZh", "bz2"),
    (b"\xfd7zXZ", "xz"), (b"]\0\0", "lzma"), (b"\x28\xb5\x2f\xfd", "zst"),
    (b"\x89PNG\r\n\x1a\n", "png"), (b"\x04\x22\x4d\x18", "lz4"), (b"%PDF-", "pdf"),
    (b"SQLite format 3\0", "sqlite"),
    (b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "rar"), (b"\x1f\x9d", "Z"),
    (b"II*\0", "tiff"), (b"MM\0*", "tiff"), (b"II+\0", "tiff"), (b"MM\0+", "tiff"),
    (b"x\x01", "zlib"), (b"x\x9c", "zlib"), (b"x\xda", "zlib"),
)  # fmt: skip
SHUT = {"7z", "rar", "Z"}  # nothing here opens these
WEAK = {"lzma": {".lzma"}, "zlib": {".zz", ".zlib"}}  # told by their names alone
UTF16 = (b"\xff\xfe", b"\xfe\xff")
LARGEST_PDF = 1 << 30
SINGLE = {"gz", "bz2", "xz", "lzma", "zst", "lz4", "zlib", "br"}
# Runs of base64 with line ends as they are written or as JSON writes them
BASE64 = re.compile(rb"[A-Za-z0-9+/]{40,}(?:(?:\\n|\\r\\n|\r?\n[ \t]*)[A-Za-z0-9+/]{4,})*={0,2}")
STREAM = re.compile(rb"stream\r?\n")


class TooMuch(Exception):
    """More is packed in a file than is unpacked."""


@dataclass
class Left:
    """What of a file wasn't unpacked.

    Attributes
    ----------
    members : (name, why), the name "" for the file itself. spent : bytes that were unpacked.
    """

    members: list[tuple[str, str]] = field(default_factory=list)
    spent: int = 0


def everything(
    path: Path, left: Left | None = None, name: str = "", depth: int = 0
) -> Iterator[tuple[str, Path]]:
    """A file itself as ("", path), and all that is packed in it as ("member", temporary file).

    Members are unpacked one at a time; those with a Zarr array among them all together, since an
    array is many files.

    Parameters
    ----------
    left : gets what couldn't be unpacked. name, depth : of a member of a member.

    Raises
    ------
    TooMuch
        After `ALL` bytes.
    """
    left = Left() if left is None else left
    yield name, path
    kind = _kind(path)
    if depth and (why := shut(path)):
        left.members.append((name, why))
    if kind is None or kind in SHUT:
        return
    if depth >= DEEP:
        if kind not in ("text", "tiff", "png"):
            left.members.append((name, f"it lies in more than {DEEP} files within each other"))
        return
    try:
        for member, inner in _members(path, kind, left):
            left.spent += inner.stat().st_size
            if left.spent > ALL:
                raise TooMuch(f"more than {ALL >> 30} GB are packed in it")
            yield from everything(inner, left, f"{name}!/{member}" if name else member, depth + 1)
    except _BROKEN as broken:
        # An image that can't be read is told when it is read; two bytes don't make a zlib stream
        sure = kind not in ("text", "tiff", "png") and (
            kind not in WEAK or path.suffix in WEAK[kind]
        )
        if sure and not shut(path):
            left.members.append((name, f"it is damaged: {broken}"))


def shut(path: Path) -> str | None:
    """Why what is packed in a file can't be searched, if so."""
    kind = _kind(path)
    if kind in SHUT:
        return f"nothing here opens {kind} files"
    if kind == "pdf" and path.stat().st_size > LARGEST_PDF:
        return f"it has more than {LARGEST_PDF >> 30} GB"
    if kind != "zip":
        return None
    try:
        with zipfile.ZipFile(path) as packed:
            if any(i.flag_bits & 1 for i in packed.infolist()):
                return "it is encrypted"
            if any(i.file_size > LARGEST for i in packed.infolist()):
                return f"a member has more than {LARGEST >> 30} GB"
            if sum(i.file_size for i in packed.infolist()) > ALL:
                return f"more than {ALL >> 30} GB are packed in it"
    except _BROKEN:
        return "it is damaged"
    return None


def may_be_text(path: Path) -> bool:
    """Whether a file is worth reading as text: it is one, or a table in which texts are."""
    if path.name.isdigit():
        return False
    if path.suffix.lower() in TABLES:
        return True
    with path.open("rb") as handle:
        head = handle.read(4096)
    return b"\0" not in head or head[:2] in UTF16


def _kind(path: Path) -> str | None:
    if path.name.isdigit() or path.stat().st_size == 0:
        return None  # a chunk of an array
    with path.open("rb") as handle:
        head = handle.read(4096)
    if head[257:262] == b"ustar":
        return "tar"
    for magic, kind in MAGIC:
        if head.startswith(magic):
            return kind
    if path.suffix.lower() in TABLES:
        return "table"
    if path.suffix.lower() == ".br":  # Brotli has no mark
        return "br"
    # Text has no zero bytes; UTF-16 isn't searched
    return "text" if b"\0" not in head and path.stat().st_size <= LARGEST_TEXT else None


def _members(path: Path, kind: str, left: Left) -> Iterator[tuple[str, Path]]:
    if kind == "zip":
        with zipfile.ZipFile(path) as packed:
            listed = [(i.filename, i.file_size, i) for i in packed.infolist()
                      if not i.is_dir() and not i.flag_bits & 1]  # fmt: skip
            yield from _unpacked(listed, packed.open, left)
            if any(name in ("content.xml", "xl/workbook.xml") for name, _, _ in listed):
                sheets = (entry for _, size, entry in listed if size <= LARGEST_TEXT)
                yield from _as_files(spreadsheets.tables(packed, list(sheets)))
            rois = [packed.read(entry) for name, size, entry in listed
                    if name.endswith(".roi") and size <= LARGEST_ROI]  # fmt: skip
            if rois:
                with tempfile.TemporaryDirectory(prefix="slidebox-packed-") as folder:
                    inner = Path(folder, "rois.json")
                    inner.write_bytes(boxes_of(rois))
                    yield "*.roi", inner
    elif kind == "tar":
        with tarfile.open(path, "r:") as packed:
            listed = [(m.name, m.size, m) for m in packed.getmembers() if m.isfile()]
            yield from _unpacked(listed, packed.extractfile, left)
    elif kind in SINGLE:
        yield from _single(path, kind, left)
    else:
        found = {"text": _written_out, "pdf": _of_pdf, "sqlite": _of_sqlite, "table": _of_table,
                 "tiff": _of_tiff, "png": _after_png}  # fmt: skip
        yield from _as_files(found[kind](path))


def _as_files(found: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, Path]]:
    for name, data in found:
        with tempfile.TemporaryDirectory(prefix="slidebox-packed-") as folder:
            inner = Path(folder, f"file{ending(data)}")
            inner.write_bytes(data)
            yield name, inner


def _single(path: Path, kind: str, left: Left) -> Iterator[tuple[str, Path]]:
    """What a compressed file holds."""
    with tempfile.TemporaryDirectory(prefix="slidebox-packed-") as folder:
        name = path.stem if path.suffix not in (".tgz", ".txz") else f"{path.stem}.tar"
        inner = Path(folder, name)
        with inner.open("wb") as target, _decompressed(path, kind) as source:
            more = LARGEST
            while more > 0 and (block := source.read(min(more, 4 << 20))):
                target.write(block)
                more -= len(block)
            if more == 0 and source.read(1):
                left.members.append((name, f"what follows its first {LARGEST >> 30} GB"))
        yield name, inner


@contextmanager
def _decompressed(path: Path, kind: str) -> Iterator[Any]:
    """A compressed file to be read block by block, however much it unpacks to."""
    if kind in ("zst", "lz4", "br"):
        import pyarrow

        with pyarrow.OSFile(str(path)) as file:
            yield pyarrow.CompressedInputStream(
                file, {"zst": "zstd", "br": "brotli"}.get(kind, kind)
            )
    elif kind == "zlib":
        with path.open("rb") as file:
            yield _Zlib(file)
    else:
        opener = {"gz": gzip.open, "bz2": bz2.open}.get(kind, lzma.open)
        with opener(path, "rb") as source:
            yield source


class _Zlib:
    """A zlib stream that is read block by block."""

    def __init__(self, file: Any) -> None:
        self._file, self._stream = file, zlib.decompressobj()

    def read(self, size: int) -> bytes:
        while not self._stream.eof:
            packed = self._stream.unconsumed_tail or self._file.read(1 << 20)
            if not packed:
                raise EOFError("it ends too early")
            if data := self._stream.decompress(packed, size):
                return data
        return b""


def _unpacked(listed: list[tuple], opener, left: Left) -> Iterator[tuple[str, Path]]:
    together = any(PurePosixPath(name).name in ZARR for name, _, _ in listed)
    with tempfile.TemporaryDirectory(prefix="slidebox-packed-") as folder:
        made = []
        unpacked = 0
        for number, (name, size, entry) in enumerate(listed):
            if size > LARGEST:
                left.members.append((name, f"it has more than {LARGEST >> 30} GB"))
                continue
            unpacked += size
            if together and unpacked > ALL:
                raise TooMuch(f"more than {ALL >> 30} GB are packed in it")
            parts = [p for p in PurePosixPath(name).parts if p not in ("/", "..")] or ["unnamed"]
            inner = Path(folder, *(parts if together else (f"{number}", parts[-1][-64:])))
            inner.parent.mkdir(parents=True, exist_ok=True)
            try:
                with opener(entry) as source, inner.open("wb") as target:
                    shutil.copyfileobj(source, target)
            except _BROKEN as broken:  # the others may be whole
                left.members.append((name, f"it is damaged: {broken}"))
            if together:
                made.append((name, inner))
            else:
                yield name, inner
                inner.unlink()
        yield from made


def ending(data: bytes) -> str:
    """The ending that bytes would have as a file; ".bin" when that isn't known."""
    known = (
        (b"\x89PNG", ".png"), (b"II*\0", ".tif"), (b"MM\0*", ".tif"), (b"II+\0", ".tif"),
        (b"\x93NUMPY", ".npy"), (b"PK\3\4", ".zip"), (b"\xff\xd8\xff", ".jpg"), (b"GIF8", ".gif"),
        (b"BM", ".bmp"), (b"\0\0\0\x0cjP  ", ".jp2"), (b"\xff\x4f\xff\x51", ".jp2"),
        (b"\0\0\0\x0cJXL ", ".jxl"), (b"\xff\x0a", ".jxl"), (b"qoif", ".qoi"),
        (b"\x89HDF\r\n", ".h5"), (b"MATLAB 5.0", ".mat"), (b"NRRD000", ".nrrd"),
        (b"Iout", ".roi"), (b"P5", ".pgm"), (b"P6", ".ppm"), (b"P4", ".pbm"),
        (b"\x80\x02", ".pkl"), (b"\x80\x03", ".pkl"), (b"\x80\x04", ".pkl"), (b"\x80\x05", ".pkl"),
    )  # fmt: skip
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    if data[344:347] in (b"n+1", b"ni1"):
        return ".nii"
    if data[208:212] == b"MAP ":
        return ".mrc"
    return next((e for magic, e in known if data.startswith(magic)), ".bin")


def _written_out(path: Path) -> Iterator[tuple[str, bytes]]:
    """Files written out as base64: in pages, notebooks, SVG, OME-XML."""
    text = path.read_bytes()
    for number, found in enumerate(BASE64.finditer(text)):
        word = re.sub(rb"\\r|\\n|\s", b"", found.group()).rstrip(b"=")
        data = base64.b64decode(word + b"=" * (-len(word) % 4)) if len(word) % 4 != 1 else b""
        if ending(data) != ".bin" or data[:2] in (b"\x1f\x8b", b"x\x9c", b"x\xda"):
            yield f"base64 {number}", data


def _of_pdf(path: Path) -> Iterator[tuple[str, bytes]]:
    """Streams of a PDF file; bare pictures as NumPy files."""
    if path.stat().st_size > LARGEST_PDF:
        return
    text = path.read_bytes()
    for number, found in enumerate(STREAM.finditer(text)):
        if text[found.start() - 3 : found.start()] == b"end":
            continue
        stop = text.find(b"endstream", found.end())
        if stop < 0:
            break
        # What it is stands before it, since the object's beginning
        far = max(0, found.start() - 4096)
        start = max(text.rfind(b" obj", far, found.start()), far)
        data, head = text[found.end() : stop], text[start : found.start()]
        if b"FlateDecode" in head:
            try:
                data = zlib.decompressobj().decompress(data, LARGEST_TEXT)
            except zlib.error:
                continue
        size = [re.search(rb"/" + key + rb"\s+(\d+)", head) for key in (b"Width", b"Height")]
        if all(size) and ending(data) == ".bin":
            width, height = (int(s.group(1)) for s in size)
            colours = len(data) // max(1, width * height)
            if colours in (1, 3) and len(data) >= width * height * colours > 0:
                pixels = np.frombuffer(data, np.uint8, width * height * colours)
                shape = (height, width) if colours == 1 else (height, width, 3)
                data = as_npy(pixels.reshape(shape))
        yield f"stream {number}", data


def _of_tiff(path: Path) -> Iterator[tuple[str, bytes]]:
    """What a TIFF file says beside its pixels: OME-XML, ImageJ's overlays."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages[0].tags
        described = tags.get(270)
        if described is not None and isinstance(described.value, str):
            yield "ImageDescription", described.value.encode()
        for tag in tags.values():
            if tag.code >= PRIVATE and isinstance(tag.value, bytes) and len(tag.value) > 64:
                yield f"tag {tag.code}", tag.value
        notes = tags.get(50839)
        if notes is not None and isinstance(notes.value, dict):
            overlays = notes.value.get("Overlays", [])
            if overlays := [*(overlays if isinstance(overlays, list) else [overlays]),
                            *([notes.value["ROI"]] if "ROI" in notes.value else [])]:  # fmt: skip
                yield "overlays", boxes_of(overlays)


def _after_png(path: Path) -> Iterator[tuple[str, bytes]]:
    """What stands behind the end of a PNG file."""
    if path.stat().st_size <= LARGEST_TEXT:
        data = path.read_bytes()
        stop = data.rfind(b"IEND", 0, data.find(b"IEND") + 4)
        if stop > 0 and len(data) > stop + 8 + 32:
            yield "behind the picture", data[stop + 8 :]


def boxes_of(rois: list[bytes]) -> bytes:
    """JSON with the box of each of ImageJ's regions: top, left, bottom, right at byte 8."""
    boxes = []
    for roi in rois:
        if roi[:4] == b"Iout" and len(roi) >= 64:
            top, left, bottom, right = struct.unpack_from(">4h", roi, 8)
            boxes.append({"bbox": [left, top, right - left, bottom - top]})
    return json.dumps(boxes).encode()


def as_npy(array: np.ndarray) -> bytes:
    """An array as the bytes of a NumPy file."""
    from io import BytesIO

    target = BytesIO()
    np.save(target, array, allow_pickle=False)
    return target.getvalue()


def _of_sqlite(path: Path) -> Iterator[tuple[str, bytes]]:
    """Cells of bytes of a database, and each table as CSV."""
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as base:
        names = [n for (n,) in base.execute("select name from sqlite_master where type = 'table'")]
        for name in names:
            lines = []
            quoted = name.replace('"', '""')
            rows = base.execute(f'select * from "{quoted}"')
            lines.append("\t".join(column[0] for column in rows.description))
            for row in rows:
                yield from ((f"{name} (in a cell)", c) for c in row
                            if isinstance(c, bytes) and len(c) > 32)  # fmt: skip
                lines.append("\t".join(
                    "" if isinstance(c, bytes) else re.sub(r"\s+", " ", str(c)) for c in row
                ))  # fmt: skip
            yield f"table {name}", "\n".join(lines).encode()


def _of_table(path: Path) -> Iterator[tuple[str, bytes]]:
    """Files in the cells of a table of columns."""
    for row in frames(path):
        for value in row.values():
            inner = value.values() if isinstance(value, dict) else [value]
            yield from (("(in a cell)", v) for v in inner if isinstance(v, bytes) and len(v) > 32)


def frames(path: Path) -> Iterator[dict]:
    """Rows of a Parquet, Arrow or ORC file."""
    import pyarrow.feather
    import pyarrow.orc
    import pyarrow.parquet

    if path.suffix.lower() == ".orc":
        yield from pyarrow.orc.read_table(str(path)).to_pylist()
    elif path.suffix.lower() == ".arrows":
        with pyarrow.OSFile(str(path)) as stream, pyarrow.ipc.open_stream(stream) as batches:
            for batch in batches:
                yield from batch.to_pylist()
    elif path.suffix.lower() in (".parquet", ".pq"):
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(10_000):
                yield from batch.to_pylist()
    else:
        yield from pyarrow.feather.read_table(path).to_pylist()
