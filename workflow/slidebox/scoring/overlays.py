"""Pictures of true, false and missed objects over the image."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from ..atomic import replacing
from .arrays import Array, slabs, whole
from .instances import match
from .overlap import overlap_of_slabs
from .release import Item
from .settings import exact

# Okabe-Ito colours: told apart by colour-blind readers
TRUE, FALSE, MISSED = (0, 158, 115), (230, 159, 0), (204, 121, 167)
OBJECTS = [("true", TRUE), ("false", FALSE), ("missed", MISSED)]
# What the colours of a task's pictures mean; others have those of objects
LEGENDS = {
    "semantic-segmentation": [("right class", TRUE), ("false or another class", FALSE),
                              ("missed", MISSED)],
    "restoration": [],
}  # fmt: skip
CAPTIONS = {"restoration": "Each: truth, prediction, and their difference."}
LARGEST = 1024


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a (y, x, 3) uint8 picture; the same bytes for the same pixels."""
    with replacing(path, "wb") as handle:
        handle.write(imagecodecs.png_encode(np.ascontiguousarray(picture), level=6))


def grey(image: np.ndarray) -> np.ndarray:
    """A (y, x) image stretched between its 1st and 99.8th percentiles, as (y, x, 3) uint8."""
    low, high = np.percentile(image, [1, 99.8])
    scaled = np.clip((image.astype(np.float32) - low) / max(high - low, 1e-9), 0, 1)
    return np.repeat((scaled * 200).astype(np.uint8)[..., None], 3, axis=-1)


def outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of labels that have a 4-neighbour of another label (inside outlines)."""
    edge = np.zeros(mask.shape, bool)
    edge[1:] |= mask[1:] != mask[:-1]
    edge[:-1] |= mask[1:] != mask[:-1]
    edge[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    edge[:, :-1] |= mask[:, 1:] != mask[:, :-1]
    return edge & (mask != 0)


def plane_of(array: np.ndarray, index: int | None = None) -> np.ndarray:
    """The last two axes at the middle (or at `index` of the flattened others)."""
    planes = array.reshape(-1, *array.shape[-2:])
    return planes[len(planes) // 2 if index is None else min(index, len(planes) - 1)]


def read_plane(path: Path, shape: tuple[int, int], index: int | None) -> np.ndarray:
    """One (y, x) plane of a released image to draw on; zeros when there is none."""
    try:
        if path.suffix in (".tif", ".tiff"):
            with tifffile.TiffFile(path) as tiff:
                pages = len(tiff.pages)
                page = tiff.pages[pages // 2 if index is None else min(index, pages - 1)]
                image = page.asarray()
        else:
            import zarr

            image = plane_of(np.asarray(zarr.open(path, mode="r")["0"]), index)
        if image.ndim == 3:
            image = image.mean(-1 if image.shape[-1] in (3, 4) else 0)
        return image if image.shape == shape else np.zeros(shape, np.uint8)
    except (OSError, ValueError, KeyError, IndexError):
        return np.zeros(shape, np.uint8)


def draw_objects(item: Item, truth: Array, pred: Array, threshold: str = "0.5") -> np.ndarray:
    """Outlines of true, false and missed objects at an IoU threshold, (y, x, 3) uint8.

    Of a volume the plane with most true pixels is drawn; matching is that of the volume.
    """
    index = None
    if truth.ndim > 2:
        filled = np.zeros(truth.shape[:-2], np.int64)

        def counted():
            for _, begin, end, t, p in slabs(truth, pred, 0):
                planes = np.count_nonzero(t, axis=(-2, -1))
                filled[begin:end] = planes
                yield t, p

        table = overlap_of_slabs(counted()).objects()
        at = np.unravel_index(int(filled.argmax()), filled.shape)
        index = int(filled.argmax())
        box = (*(slice(k, k + 1) for k in at), slice(None), slice(None))
        truth, pred = (a[box].reshape(a.shape[-2:]) for a in (truth, pred))
    else:
        table = overlap_of_slabs((t, p) for *_, t, p in slabs(truth, pred)).objects()
        truth, pred = whole(truth), whole(pred)
    pairs = match(table, exact(threshold))
    picture = grey(read_plane(item.image, truth.shape, index))
    hit_truth = np.isin(truth, table.truth[pairs.i])
    hit_pred = np.isin(pred, table.pred[pairs.j])
    edge_truth, edge_pred = outline(truth), outline(pred)
    picture[edge_truth & ~hit_truth] = MISSED
    picture[edge_pred & ~hit_pred] = FALSE
    picture[edge_pred & hit_pred] = TRUE
    step = -(-max(picture.shape[:2]) // LARGEST)
    return picture[::step, ::step]


def draw_classes(item: Item, truth: Array, pred: Array) -> np.ndarray:
    """Pixels of wrong classes and of missed ones, outlines of right ones; (y, x, 3) uint8.

    Of a volume the plane with most true pixels is drawn.
    """
    index = None
    if truth.ndim > 2:
        filled = np.zeros(truth.shape[:-2], np.int64)
        for _, begin, end, t, _ in slabs(truth, truth, 0):
            filled[begin:end] = np.count_nonzero(t, axis=(-2, -1))
        index = int(filled.argmax())
        at = np.unravel_index(index, filled.shape)
        box = (*(slice(k, k + 1) for k in at), slice(None), slice(None))
        truth, pred = (a[box].reshape(a.shape[-2:]) for a in (truth, pred))
    truth, pred = whole(truth), whole(pred)
    picture = grey(read_plane(item.image, truth.shape, index))
    picture[outline(pred) & (pred == truth)] = TRUE
    for where, colour in (((pred != truth) & (pred != 0), FALSE),
                          ((truth != 0) & (pred == 0), MISSED)):  # fmt: skip
        picture[where] = (picture[where] // 3 + np.array(colour) * 2 // 3).astype(np.uint8)
    step = -(-max(picture.shape[:2]) // LARGEST)
    return picture[::step, ::step]


def draw_points(
    item: Item, truth: np.ndarray, pred: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Crosses at true, false and missed points; coordinates (N, D) in pixels, y and x last."""
    shape = item.shape[-2:]
    picture = grey(read_plane(item.image, shape, None))
    missed = np.delete(truth, pairs[0], axis=0)
    false = np.delete(pred, pairs[1], axis=0)
    for points, colour in ((missed, MISSED), (false, FALSE), (pred[pairs[1]], TRUE)):
        for y, x in points[:, -2:].round().astype(int):
            for dy, dx in ((0, 0), (1, 0), (2, 0), (-1, 0), (-2, 0), (0, 1), (0, 2), (0, -1),
                           (0, -2)):  # fmt: skip
                if 0 <= y + dy < shape[0] and 0 <= x + dx < shape[1]:
                    picture[y + dy, x + dx] = colour
    step = -(-max(shape) // LARGEST)
    return picture[::step, ::step]


def draw_difference(item: Item, truth: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Truth, prediction and their absolute difference side by side, (y, 3 x, 3) uint8."""
    a, b = plane_of(truth).astype(np.float32), plane_of(pred).astype(np.float32)
    both = np.concatenate([a, b, np.abs(a - b)], axis=1)
    step = -(-max(both.shape) // (2 * LARGEST))
    return grey(both)[::step, ::step]
