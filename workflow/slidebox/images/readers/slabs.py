"""Arrays whose chunks are deeper than one plane: each chunk is decoded once, not once a plane."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..model import BandReader

MOST = 96 << 20
"""Bytes that are held at once. Where a chunk's planes take more, fewer of them are read at a time,
and a chunk is decoded as often as that takes."""

# (t, c, z, how many planes from there, first row, end row) -> (samples, planes, rows, columns)
SlabReader = Callable[[int, int, int, int, int, int], np.ndarray]


def in_slabs(read: SlabReader, depth: int, count: int, plane_bytes: int, axis: str) -> BandReader:
    """A reader of bands that reads several planes at once and hands them out one by one.

    Parameters
    ----------
    read : reads planes that lie in one row of chunks.
    depth : of a chunk along ``axis``; ``count``: length of the image along it.
    plane_bytes : of a plane, all colour samples.
    axis : ``z``, or ``t`` where time is all that the planes of an image differ by.
    """
    most = min(depth, count)
    while most > 1 and most * plane_bytes > MOST:
        most = -(-most // 2)
    kept: dict[tuple[int, int], np.ndarray] = {}
    held: list[tuple[int, int, int]] = []  # of what slab they are

    def band(t: int, c: int, z: int, y0: int, y1: int) -> np.ndarray:
        at = z if axis == "z" else t
        block = at // depth * depth
        first = block + (at - block) // most * most
        end = min(first + most, block + depth, count)
        start = (t, c, first) if axis == "z" else (first, c, z)
        if held != [start]:
            kept.clear()
            held[:] = [start]
        slab = kept.get((y0, y1))
        if slab is None:
            slab = read(*start, end - first, y0, y1)
            if end - first > 1:
                kept[y0, y1] = slab
        if at == end - 1:
            kept.pop((y0, y1), None)
        # a copy: a view would keep the slab while its planes are still being compressed
        return slab[:, at - first].copy() if end - first > 1 else slab[:, 0]

    return band


def deep_axis(lengths: dict[str, int]) -> str:
    """Along which axis the planes of an image follow one another."""
    return "t" if lengths.get("t", 1) > 1 and lengths.get("z", 1) == 1 else "z"
