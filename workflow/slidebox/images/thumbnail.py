"""A small picture of an image, from its pyramid: the file's colours, contrast from percentiles."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np

from ..atomic import replacing
from .store import StoredImage

SIZE = 400
_SLICES = 32  # at most so many of a stack are looked at


def write_thumbnail(zarr: Path, path: Path, size: int = SIZE) -> list[int]:
    """Write a PNG of at most ``size`` x ``size`` pixels; returns its [width, height]."""
    picture = render(StoredImage(zarr), size)
    with replacing(path, "wb") as handle:
        handle.write(imagecodecs.png_encode(picture, level=6))
    return [picture.shape[1], picture.shape[0]]


def render(image: StoredImage, size: int = SIZE) -> np.ndarray:
    """RGB picture (rows, columns, 3) uint8 of the first time point.

    Of a stack the brightest of each column of voxels is shown where the background is dark, else
    the
    middle slice.
    """
    level = image.levels[0]
    for smaller in image.levels:
        if max(smaller.shape[3:]) < size and smaller is not image.levels[0]:
            break
        level = smaller
    _, count, depth, height, width = level.shape
    colors = [c["color"] for c in image.channels] or ["FFFFFF"]
    shown = [c for c in range(min(count, len(colors))) if image.channels[c].get("active", True)]
    total = np.zeros((height, width, 3), np.float32)
    rgb = bool(image.attributes.get("slidebox", {}).get("rgb"))
    planes = [(c, _projection(level, c, depth)) for c in shown]
    ranges = {c: _contrast(flat) for c, flat in planes}
    if rgb and planes:  # one contrast for all three: colours stay what they are
        whole = (min(r[0] for r in ranges.values()), max(r[1] for r in ranges.values()))
        ranges = dict.fromkeys(ranges, (0.0, 255.0) if level.dtype == np.uint8 else whole)
    for c, flat in planes:
        low, high = ranges[c]
        share = np.nan_to_num(np.clip((flat - low) / (high - low), 0, 1), nan=0)
        tint = np.array([int(colors[c][i : i + 2], 16) for i in (0, 2, 4)], np.float32)
        total += share[..., None] * tint
    picture = np.clip(np.rint(total), 0, 255).astype(np.uint8)
    return _shrink(picture, size)


def _projection(level, c: int, depth: int) -> np.ndarray:
    middle = _real(level.plane(0, c, depth // 2))
    if depth == 1:
        return middle
    finite = middle[np.isfinite(middle)]
    low, half, high = np.percentile(finite, (1, 50, 99.5)) if finite.size else (0.0, 0.0, 0.0)
    if half - low > 0.4 * (high - low):
        return middle
    step = max(1, depth // _SLICES)
    best = middle
    for z in range(0, depth, step):
        best = np.fmax(best, _real(level.plane(0, c, z)))
    return best


def _real(plane: np.ndarray) -> np.ndarray:
    if plane.dtype.kind == "c":
        plane = np.abs(plane)
    real = plane.astype(np.float64)
    real[np.isinf(real)] = np.nan  # has no place in any contrast; shown as black
    return real


def _contrast(flat: np.ndarray) -> tuple[float, float]:
    """What is shown as black and as white: percentiles of the finite values."""
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(flat, (0.3, 99.7)))
    if high <= low:
        low, high = float(flat.min()), float(flat.max())
    return (low, high) if high > low else (low, low + 1)


def _shrink(picture: np.ndarray, size: int) -> np.ndarray:
    """Down to the size by area means; never enlarged."""
    height, width = picture.shape[:2]
    factor = max(height, width) / size
    if factor <= 1:
        return picture
    rows, columns = max(1, round(height / factor)), max(1, round(width / factor))
    for axis, count in ((0, rows), (1, columns)):
        edges = np.linspace(0, picture.shape[axis], count + 1).round().astype(int)
        sums = np.add.reduceat(picture.astype(np.float32), edges[:-1], axis=axis)
        shape = [1, 1, 1]
        shape[axis] = count
        picture = sums / np.diff(edges).reshape(shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
