"""Arrays in files: TIFF, PNG and (OME-)Zarr, judged by their headers before a pixel is decoded.

What is small is read whole; what is large is left in its file and read slab by slab.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from .predictions import Refused, check_shape, error, reason
from .release import Item

# Arrays of more bytes are read in slabs of some SLAB bytes
LARGE = 512 << 20
SLAB = 32 << 20
# A piece of a file that is decoded at once: a few times its image, or this
PIECE = 128 << 20
# Codecs of Zarr that only pack numbers; others could run code (pickle) or make it of nothing
CODECS = {
    "bytes", "endian", "transpose", "sharding_indexed", "crc32c", "crc32", "adler32", "fletcher32",
    "gzip", "zlib", "zstd", "blosc", "lz4", "bz2", "lzma", "delta", "shuffle",
}  # fmt: skip


class Lazy:
    """An array of an item's shape that stays in its file.

    Attributes
    ----------
    shape : the item's.
    dtype : as stored.
    """

    def __init__(self, source: Any, shape: tuple[int, ...], close: Any = None) -> None:
        self.source, self.shape, self.dtype = source, shape, np.dtype(source.dtype)
        self._close = close
        # Axes longer than 1 agree in number and order; the others may be written or not
        self._of = dict(
            zip(
                [k for k, n in enumerate(shape) if n > 1],
                [k for k, n in enumerate(source.shape) if n > 1],
                strict=True,
            )
        )

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def piece(self, axis: int) -> int:
        """Length along an axis of the item that is stored together."""
        return int(self.source.chunks[self._of[axis]]) if axis in self._of else 1

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        """Pixels of a box, one slice an axis of the item."""
        where = [slice(None)] * len(self.source.shape)
        size = []
        for axis, part in enumerate(box):
            begin, end, _ = part.indices(self.shape[axis])
            size.append(end - begin)
            if axis in self._of:
                where[self._of[axis]] = slice(begin, end)
        return np.asarray(self.source[tuple(where)]).reshape(size)

    def slab(self, axis: int, begin: int, end: int) -> np.ndarray:
        """Pixels from `begin` to `end` of an axis, all of the others."""
        box = [slice(None)] * self.ndim
        box[axis] = slice(begin, end)
        return self[tuple(box)]

    def whole(self) -> np.ndarray:
        """All pixels, in memory."""
        return self[(slice(None),) * self.ndim]

    def close(self) -> None:
        if self._close is not None:
            self._close()


Array = np.ndarray | Lazy


def whole(array: Array) -> np.ndarray:
    """An array in memory, wherever it is."""
    return array.whole() if isinstance(array, Lazy) else array


def numbered(array: Array) -> Array:
    """Labels of 2**32 and more numbered anew from 1 (numbers of objects mean nothing); others, and
    what stays in its file, as they are."""
    if isinstance(array, Lazy) or array.dtype.kind not in "ui" or array.dtype.itemsize <= 4:
        return array
    if not array.size or int(array.max()) < 1 << 32 or int(array.min()) < 0:
        return array
    ids, at = np.unique(array, return_inverse=True)
    return (at.reshape(array.shape) + int(ids[0] != 0)).astype(np.uint32)


def close(array: Any) -> None:
    """Let go of the file of an array that stays in one."""
    if isinstance(array, Lazy):
        array.close()


def slabs(
    truth: Array, pred: Array, axis: int | None = None
) -> Iterator[tuple[int, int, int, np.ndarray, np.ndarray]]:
    """Truth and prediction side by side: (axis, begin, end, truth, prediction) of each slab.

    One slab that is all, when both are in memory. `axis` None: that along which least is stored
    together.
    """
    if not isinstance(truth, Lazy) and not isinstance(pred, Lazy):
        yield 0, 0, truth.shape[0] if truth.ndim else 1, truth, pred
        return
    lazy = [a for a in (truth, pred) if isinstance(a, Lazy)]
    shape = lazy[0].shape
    if axis is None:
        axis = min(
            (k for k, n in enumerate(shape) if n > 1),
            key=lambda k: max(a.piece(k) for a in lazy) / shape[k],
            default=0,
        )
    line = max(1, math.prod(shape) // shape[axis] * max(a.dtype.itemsize for a in lazy))
    piece = max(a.piece(axis) for a in lazy)
    step = max(piece, SLAB // line // piece * piece)
    for begin in range(0, shape[axis], step):
        end = min(begin + step, shape[axis])
        pair = [
            a.slab(axis, begin, end) if isinstance(a, Lazy) else a.take(range(begin, end), axis)
            for a in (truth, pred)
        ]
        yield axis, begin, end, pair[0], pair[1]


def read_truth_labels(item: Item) -> Array:
    """Truth of an item: the array, or the file it stays in when it's large."""
    if item.truth.name.endswith(".zarr"):
        array = _open_zarr(item.truth, item, item.truth.name, labels=True)
    else:
        array = _open_tiff(item.truth, item, item.truth.name)
    return array if isinstance(array, Lazy) else array.reshape(item.shape)


def open_array(path: Path, item: Item, file: str, *, labels: bool = True) -> Array:
    """Open a TIFF, PNG or (OME-)Zarr array of the item's shape; any dtype.

    `labels`: an OME-Zarr image is opened for the label image in it.

    Raises
    ------
    Refused
        It can't be read, is a colour image, has another shape, or is stored in a way that nobody
        means well with; decided from the header.
    """
    name = path.name.lower()
    try:
        if name.endswith((".tif", ".tiff")):
            array = _open_tiff(path, item, file)
        elif name.endswith(".png"):
            array = _read_png(path, item, file)
        elif name.endswith(".zarr"):
            array = _open_zarr(path, item, file, labels)
        else:
            raise Refused(
                error("PREDICTION_FORMAT", f"{path.name} is no label image", file,
                      "write TIFF, PNG or OME-Zarr")
            )  # fmt: skip
    except Refused:
        raise
    except Exception as bad:  # hostile files fail in every way there is
        raise unreadable(bad, file) from bad
    return array if isinstance(array, Lazy) else array.reshape(item.shape)


def unreadable(bad: Exception, file: str) -> Refused:
    """What is said of a file whose reader gave up."""
    return Refused(
        error("PREDICTION_UNREADABLE", f"can't be read: {reason(bad)}", file, "write it again")
    )


def read_array(path: Path, item: Item, file: str, *, labels: bool = True) -> np.ndarray:
    """The same in memory, whatever its size."""
    array = open_array(path, item, file, labels=labels)
    try:
        return whole(array)
    except Exception as bad:
        raise unreadable(bad, file) from bad
    finally:
        close(array)


def _large(item: Item, dtype: Any) -> bool:
    return item.pixels * np.dtype(dtype).itemsize > LARGE


def _together(shape: tuple[int, ...], dtype: Any, item: Item, file: str) -> None:
    """Refuse pieces that are decoded at once and are far larger than the image."""
    size = math.prod(int(n) for n in shape) * np.dtype(dtype).itemsize
    if size > max(PIECE, 4 * item.pixels * np.dtype(dtype).itemsize):
        raise Refused(
            error("PREDICTION_PIECES", f"is stored in pieces of {'x'.join(map(str, shape))}, far "
                  "larger than the image", file, "write it again, in pieces within the image")
        )  # fmt: skip


def _open_tiff(path: Path, item: Item, file: str) -> Array:
    tiff = tifffile.TiffFile(path)
    try:
        page = tiff.pages.first
        if page.samplesperpixel > 1 and len(page.shape) > len([n for n in item.shape if n > 1]):
            raise Refused(_colour(file))
        series = tiff.series[0]
        if not series.shape:
            raise ValueError("it has no image")
        check_shape(series.shape, item, file)
        _plain(series.dtype, file)
        _together(page.chunks, series.dtype, item, file)
        if _large(item, series.dtype):
            import zarr

            store = series.aszarr(level=0)
            array = zarr.open_array(store, mode="r")
            return Lazy(array, item.shape, lambda: (store.close(), tiff.close()))
        # One thread: items are read side by side instead
        array = series.asarray(maxworkers=1)
        tiff.close()
        return array
    except BaseException:
        tiff.close()
        raise


def _plain(dtype: Any, file: str) -> None:
    if np.dtype(dtype).kind not in "uibfc":
        raise Refused(error("PREDICTION_TYPE", f"holds {dtype}, not numbers", file,
                            "write an array of numbers"))  # fmt: skip


def _colour(file: str):
    return error("PREDICTION_COLOUR", "is a colour image, not labels", file,
                 "write one channel whose pixel values are object numbers")  # fmt: skip


def _read_png(path: Path, item: Item, file: str) -> np.ndarray:
    with path.open("rb") as handle:
        head = handle.read(33)
    if head[:8] != b"\x89PNG\r\n\x1a\n" or len(head) < 33:
        raise ValueError("it's no PNG")
    width, height, _, colour = struct.unpack(">IIBB", head[16:26])
    if colour == 3:
        raise Refused(
            error("PREDICTION_COLOUR", "is a PNG with a palette: colours, not numbers", file,
                  "write a grey PNG of 8 or 16 bits")
        )  # fmt: skip
    if colour != 0:
        raise Refused(_colour(file))
    check_shape((height, width), item, file)
    array = imagecodecs.png_decode(path.read_bytes())
    if array.ndim != 2:
        raise Refused(_colour(file))
    return array


def _open_zarr(path: Path, item: Item, file: str, labels: bool) -> Array:
    import zarr

    node = zarr.open(path, mode="r")
    axes: list[str] = []
    for _ in range(4):  # image -> group of labels -> label image -> level 0
        if isinstance(node, zarr.Array):
            break
        node, found = _within(node, file, labels)
        axes = found or axes
    if not isinstance(node, zarr.Array):
        raise ValueError("no multiscales and no array '0' in it")
    _plain(node.dtype, file)
    check_shape(node.shape, item, file)
    _axes(axes, node.shape, item, file)
    strange = sorted(set(_codecs(node)) - CODECS)
    if strange:
        raise Refused(
            error("PREDICTION_CODEC", f"is packed with {', '.join(strange)}", file,
                  "pack it with zstd, gzip or blosc")
        )  # fmt: skip
    _together(getattr(node, "shards", None) or node.chunks, node.dtype, item, file)
    if _large(item, node.dtype):
        return Lazy(node, item.shape)
    return node[...]


def _within(group: Any, file: str, labels: bool) -> tuple[Any, list[str]]:
    """The next node towards the array, and the axes that its group names."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    if labels and "labels" in group and "image-label" not in ome:
        return group["labels"], []
    if "multiscales" in ome:
        scales = ome["multiscales"][0]
        axes = [a["name"] if isinstance(a, dict) else a for a in scales.get("axes", [])]
        return group[_inside(scales["datasets"][0]["path"])], axes
    if "labels" in ome:
        names = ome["labels"]
        if len(names) != 1:
            raise Refused(
                error("PREDICTION_SEVERAL", f"holds {len(names)} label images: "
                      + ", ".join(map(str, names[:5])), file, "hand in one")
            )  # fmt: skip
        return group[_inside(names[0])], []
    if "0" in group:
        return group["0"], []
    raise ValueError("no multiscales and no array '0' in it")


def _inside(path: Any) -> str:
    if not isinstance(path, str) or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} leaves the group")
    return path


def _axes(axes: list[str], shape: tuple[int, ...], item: Item, file: str) -> None:
    """Refuse axes that are named in another order, which a square image's shape doesn't show."""
    if len(axes) != len(shape):
        return
    mine = [a for a, n in zip(axes, shape, strict=True) if n > 1]
    wanted = [a for a, n in zip(item.axes, item.shape, strict=True) if n > 1]
    if sorted(mine) == sorted(wanted) and mine != wanted:
        raise Refused(
            error("PREDICTION_TRANSPOSED", f"its axes are {''.join(mine)}, the image's "
                  f"{''.join(wanted)}; nothing is transposed for you", file,
                  f"write the axes in the order {item.axes}")
        )  # fmt: skip


def _codecs(array: Any) -> Iterator[str]:
    """Names of all codecs of a Zarr array, those within shards too."""
    metadata = array.metadata
    if metadata.zarr_format == 2:
        for codec in (metadata.compressor, *(metadata.filters or ())):
            if codec is not None:
                yield codec.codec_id if hasattr(codec, "codec_id") else codec.to_dict()["name"]
        return
    queue = [codec.to_dict() for codec in metadata.codecs]
    while queue:
        codec = queue.pop()
        yield codec["name"].removeprefix("numcodecs.")
        inner = codec.get("configuration") or {}
        for key in ("codecs", "index_codecs"):
            queue += [c if isinstance(c, dict) else c.to_dict() for c in inner.get(key, ())]
