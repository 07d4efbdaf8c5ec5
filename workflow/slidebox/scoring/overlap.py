"""One table says how truth and prediction overlap; every metric of objects is read from it.

Truth and prediction are label arrays of one shape: 0 is background, every other value an object.
The table is made from runs of equal pairs, so its cost is one pass over the pixels and a sort of
the runs; labels may be any unsigned integers up to 2**32 - 1, and volumes may come slab by slab.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# Pixels compared at once: both blocks and the masks stay in the processor's cache.
BLOCK = 1 << 17
# Above this many cells, pairs are sorted instead of counted in a dense table.
DENSE = 1 << 21
# Above this many pairs, those of the slabs so far are added up.
HELD = 1 << 22


@dataclass(frozen=True, slots=True)
class Overlap:
    """Sparse contingency table of two label arrays, background included.

    Attributes
    ----------
    truth, pred : labels present, ascending, 0 first when present; shapes (T,), (P,).
    truth_area, pred_area : pixels of each (int64); sums over the table.
    i, j, n : row (into `truth`), column (into `pred`) and pixels (int64) of each non-empty cell,
        sorted by row, then column.
    """

    truth: np.ndarray
    pred: np.ndarray
    truth_area: np.ndarray
    pred_area: np.ndarray
    i: np.ndarray
    j: np.ndarray
    n: np.ndarray

    @property
    def pixels(self) -> int:
        return int(self.n.sum())

    def objects(self) -> ObjectOverlap:
        """The part without background: what matching needs."""
        t0 = int(self.truth.size > 0 and self.truth[0] == 0)
        p0 = int(self.pred.size > 0 and self.pred[0] == 0)
        keep = (self.i >= t0) & (self.j >= p0)
        return ObjectOverlap(
            self.truth[t0:], self.pred[p0:], self.truth_area[t0:], self.pred_area[p0:],
            self.i[keep] - t0, self.j[keep] - p0, self.n[keep],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ObjectOverlap:
    """Objects only: labels, their areas in pixels, and the overlaps (i, j, n) between them."""

    truth: np.ndarray
    pred: np.ndarray
    truth_area: np.ndarray
    pred_area: np.ndarray
    i: np.ndarray
    j: np.ndarray
    n: np.ndarray

    @property
    def union(self) -> np.ndarray:
        """Pixels in either object of each overlapping pair."""
        return self.truth_area[self.i] + self.pred_area[self.j] - self.n

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each overlapping pair, float64."""
        return self.n / self.union


def _runs(truth: np.ndarray, pred: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and lengths of the runs of equal pairs in two flat arrays."""
    starts = []
    for begin in range(0, truth.size, BLOCK):
        # One pixel of overlap to the left decides whether a block begins a new run.
        low = max(begin - 1, 0)
        t, p = truth[low : begin + BLOCK], pred[low : begin + BLOCK]
        change = t[1:] != t[:-1]
        np.logical_or(change, p[1:] != p[:-1], out=change)
        starts.append(np.flatnonzero(change) + (low + 1))
    first = np.concatenate([np.zeros(min(1, truth.size), np.int64), *starts])
    lengths = np.diff(first, append=truth.size)
    return truth[first], pred[first], lengths


def _reduce(t: np.ndarray, p: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, ...]:
    """Add up equal pairs; sorted by (t, p)."""
    if t.size == 0:
        empty = np.zeros(0, np.int64)
        return empty.astype(np.uint32), empty.astype(np.uint32), empty
    width = int(p.max()) + 1
    cells = (int(t.max()) + 1) * width
    if cells <= DENSE or cells <= 4 * t.size:
        key = t.astype(np.int64) * width + p
        total = np.bincount(key, weights=n)  # exact: float64 counts to 2**53 pixels
        at = np.flatnonzero(total)
        return (
            (at // width).astype(np.uint32),
            (at % width).astype(np.uint32),
            total[at].astype(np.int64),
        )
    key = (t.astype(np.uint64) << np.uint64(32)) | p.astype(np.uint64)
    order = np.argsort(key, kind="stable")
    key, n = key[order], n[order]
    first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    key, total = key[first], np.add.reduceat(n, first)
    return (
        (key >> np.uint64(32)).astype(np.uint32),
        (key & np.uint64(0xFFFFFFFF)).astype(np.uint32),
        total,
    )


def _check(array: np.ndarray, what: str) -> np.ndarray:
    if array.dtype == bool:
        return array.view(np.uint8)
    if array.dtype.kind == "i":
        if array.size and int(array.min()) < 0:
            raise ValueError(f"the {what} has negative labels")
    elif array.dtype.kind != "u":
        raise TypeError(f"the {what} has labels of type {array.dtype}, not integers")
    if array.dtype.itemsize > 4 and array.size and int(array.max()) >= 1 << 32:
        raise ValueError(f"the {what} has labels above 4294967295")
    return array


def overlap(truth: np.ndarray, pred: np.ndarray) -> Overlap:
    """Overlap table of two label arrays of one shape (any number of axes).

    Raises
    ------
    ValueError
        Shapes differ, or labels are negative or above 2**32 - 1.
    TypeError
        Labels are not integers.
    """
    return overlap_of_slabs([(truth, pred)])


def overlap_of_slabs(slabs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Overlap:
    """The same for pairs of slabs that come one after the other: memory of one slab."""
    parts: list[tuple[np.ndarray, ...]] = []
    held = 0
    for truth, pred in slabs:
        if truth.shape != pred.shape:
            raise ValueError(
                f"shapes differ: truth {truth.shape}, prediction {pred.shape}; "
                "nothing is transposed or cut for you"
            )
        truth, pred = _check(truth, "truth"), _check(pred, "prediction")
        t, p, n = _runs(truth.reshape(-1), pred.reshape(-1))
        parts.append(_reduce(t, p, n))
        held += parts[-1][0].size
        if held > HELD and len(parts) > 1:
            parts = [_added(parts)]
            held = parts[0][0].size
    return _table(*_added(parts))


def join(tables: Iterable[Overlap]) -> Overlap:
    """One table of several parts of an image."""
    return _table(*_added([(x.truth[x.i], x.pred[x.j], x.n) for x in tables]))


def _added(parts: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    if len(parts) == 1:
        return parts[0]
    none = np.zeros(0, np.int64)
    return _reduce(*(np.concatenate([none, *(part[k] for part in parts)]) for k in range(3)))


def _table(t: np.ndarray, p: np.ndarray, n: np.ndarray) -> Overlap:
    """The table of distinct pairs that are sorted."""
    truth_ids, i = np.unique(t, return_inverse=True)
    pred_ids, j = np.unique(p, return_inverse=True)
    return Overlap(
        truth_ids,
        pred_ids,
        np.bincount(i, weights=n, minlength=truth_ids.size).astype(np.int64),
        np.bincount(j, weights=n, minlength=pred_ids.size).astype(np.int64),
        i.astype(np.int64),
        j.astype(np.int64),
        n,
    )
