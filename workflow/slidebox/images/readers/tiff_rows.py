"""Rows of a TIFF's page, decoded piece by piece: a band of a huge slide costs a band of memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..model import UnreadableImage

_JPEG = {6, 7, 34892, 33007}


def by_segment(page) -> bool:
    """Whether an NDPI page has restart markers: tifffile shows their pieces as tiles."""
    return bool(page.is_tiled)


def rows_contiguous(item, keyframe, number: int, z: int, y0: int, y1: int, lock) -> np.ndarray:
    """Rows y0 to y1 of a page of a series that is one run of bytes (ImageJ, STK, shaped):
    (samples, rows, columns)."""
    sep, depth, height, width, contig = keyframe.shaped
    dtype = np.dtype(keyframe.parent.byteorder + keyframe.dtype.char)
    page = item.dataoffset + number * keyframe.size * dtype.itemsize
    return _raw(
        item.parent.filehandle, page, (sep, depth, height, width, contig), dtype, z, y0, y1, lock
    )


def _raw(fh, offset: int, shaped, dtype, z: int, y0: int, y1: int, lock) -> np.ndarray:
    """Rows of what is stored as it is, from `offset` on: (samples, rows, columns)."""
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


def rows_of(page, z: int, y0: int, y1: int, lock) -> np.ndarray:
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
