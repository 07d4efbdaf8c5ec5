"""Masks as people write them: COCO's polygons and run lengths, Kaggle's run lengths."""

from __future__ import annotations

from typing import Any

import numpy as np

# Polygons are drawn on a grid this much finer than the pixels, as COCO's own tool does
FINER = 5


def segmentation_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Boolean (y, x) mask of a COCO segmentation: polygons, RLE counts, or compressed RLE.

    Raises
    ------
    ValueError
        It is none of them, or its size isn't the image's.
    """
    if isinstance(segmentation, dict):
        size = tuple(int(v) for v in segmentation["size"])
        if size != (height, width):
            also = " (height and width exchanged)" if size == (width, height) else ""
            raise ValueError(f"segmentation has size {size}, the image {(height, width)}{also}")
        counts = segmentation["counts"]
        if isinstance(counts, str | bytes):
            counts = expand_counts(counts)
        return from_counts(counts, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("segmentation is neither polygons nor run lengths")
    mask = np.zeros((height, width), bool)
    for polygon in segmentation:
        corners = np.asarray(polygon, float)
        if corners.ndim != 1 or corners.size % 2:
            raise ValueError("a polygon is a list x, y, x, y, ...")
        mask |= fill_polygon(corners.reshape(-1, 2), height, width)
    return mask


def from_counts(counts: Any, height: int, width: int) -> np.ndarray:
    """Mask of uncompressed COCO counts: lengths of runs of 0 and 1 in turn, column by column."""
    lengths = np.asarray(counts, np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or (lengths > height * width).any():
        raise ValueError("run lengths are no list of lengths within the image")
    if int(lengths.sum()) != height * width:
        raise ValueError(f"run lengths add up to {int(lengths.sum())}, not {height * width}")
    values = np.arange(lengths.size) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def expand_counts(text: str | bytes) -> list[int]:
    """Counts of COCO's compressed run lengths (five bits a character, differences of two)."""
    data = text.encode("ascii") if isinstance(text, str) else text
    counts: list[int] = []
    at = 0
    while at < len(data):
        value = shift = 0
        more = True
        while more:
            if at >= len(data):
                raise ValueError("compressed run lengths end early")
            code = data[at] - 48
            if not 0 <= code < 64:
                raise ValueError("compressed run lengths have a foreign character")
            value |= (code & 0x1F) << (5 * shift)
            more = bool(code & 0x20)
            at, shift = at + 1, shift + 1
            if shift > 13:
                raise ValueError("a run length is too long")
            if not more and code & 0x10:
                value |= -1 << (5 * shift)
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
    return counts


def fill_polygon(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels of a polygon of (x, y) corners by COCO's rule; boolean (y, x).

    The outline is rounded to a grid five times finer and walked in whole steps. Where it passes the
    middle of a column of pixels, the column is toggled from there down: what is toggled an odd
    number of times is inside. x and y count from the image's corner.

    Raises
    ------
    ValueError
        Fewer than three corners, NaN, or corners more than the image's size away from it.
    """
    if len(points) < 3 or not np.isfinite(points).all():
        raise ValueError("a polygon needs three corners that are numbers")
    size = np.array([width, height])
    if (points < -size).any() or (points > 2 * size).any():
        raise ValueError("a polygon has corners far outside the image")
    corners = np.trunc(FINER * points + 0.5).astype(np.int64)
    x, y = _walk(corners, np.roll(corners, -1, axis=0))
    moved = np.flatnonzero(x[1:] != x[:-1]) + 1
    column = (np.where(x[moved] < x[moved - 1], x[moved], x[moved] - 1) + 0.5) / FINER - 0.5
    row = np.ceil(np.clip((np.minimum(y[moved], y[moved - 1]) + 0.5) / FINER - 0.5, 0, height))
    middle = (np.floor(column) == column) & (column >= 0) & (column <= width - 1)
    at = column[middle].astype(np.int64) * height + row[middle].astype(np.int64)
    toggles = np.bincount(at, minlength=height * width + 1)[: height * width]
    return (np.cumsum(toggles) % 2 == 1).reshape(width, height).T


def _walk(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grid points of all edges from `a` to `b` (N, 2), both ends included, one edge after another.

    The longer axis goes in whole steps from its lower end, the other is rounded: an edge has the
    same points from either side.
    """
    xs, ys = [], []
    for (x0, y0), (x1, y1) in zip(a.tolist(), b.tolist(), strict=True):
        dx, dy = abs(x1 - x0), abs(y1 - y0)
        wide = dx >= dy
        turned = x0 > x1 if wide else y0 > y1
        if turned:
            x0, y0, x1, y1 = x1, y1, x0, y0
        step = np.arange(max(dx, dy) + 1)
        if wide:
            slope = (y1 - y0) / dx if dx else 0.0
            x, y = x0 + step, np.trunc(y0 + slope * step + 0.5).astype(np.int64)
        else:
            y, x = y0 + step, np.trunc(x0 + (x1 - x0) / dy * step + 0.5).astype(np.int64)
        xs.append(x[::-1] if turned else x)
        ys.append(y[::-1] if turned else y)
    return np.concatenate(xs), np.concatenate(ys)


def kaggle_runs(text: str, pixels: int) -> np.ndarray:
    """Flat indices, column by column, of 'start length start length ...' counted from 1.

    Raises
    ------
    ValueError
        Odd numbers, or runs that leave the image's pixels.
    """
    numbers = np.array(text.split(), dtype=np.int64)
    if numbers.size % 2:
        raise ValueError("an odd number of numbers")
    start, length = numbers[::2] - 1, numbers[1::2]
    if (start < 0).any() or (length < 1).any() or (
        (start > pixels) | (length > pixels) | (start + length > pixels)
    ).any():  # fmt: skip
        raise ValueError(f"runs leave the image's {pixels} pixels")
    flat = np.zeros(pixels, bool)
    for s, n in zip(start.tolist(), length.tolist(), strict=True):
        flat[s : s + n] = True
    return np.flatnonzero(flat)
