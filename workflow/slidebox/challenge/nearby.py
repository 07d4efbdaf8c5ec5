"""Places of many hidden images at once: whose are near those of a table, and whose are theirs up to
a factor and a shift.

A table is compared with all hidden images in one pass, so that its cost hardly grows with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.spatial import KDTree

AT_ONCE = 4096  # points that are asked for in one go: each may be near many hidden ones


class Owned:
    """Points of many owners, in one tree.

    Parameters
    ----------
    points : (N, D) of each owner, N at least 1.
    order : of the distance: 2 straight, inf the largest along an axis.
    """

    def __init__(self, points: list[np.ndarray], order: float = 2) -> None:
        self.sizes = np.array([len(p) for p in points], int)
        self._starts = np.cumsum([0, *self.sizes])[:-1].astype(int)
        self._points = np.concatenate(points) if points else np.zeros((0, 2))
        self._tree = KDTree(self._points) if points else None
        self._order = order

    def shares(self, given: np.ndarray, radius: float) -> np.ndarray:
        """(owners,) Share of each owner's points that lie near one of the given (M, D)."""
        if self._tree is None or not len(given):
            return np.zeros(len(self.sizes))
        if len(given) > len(self._points):
            found = KDTree(given).query(
                self._points, p=self._order, distance_upper_bound=math.nextafter(radius, math.inf)
            )[0]
            near = np.isfinite(found)
        else:
            near = np.zeros(len(self._points), bool)
            for start in range(0, len(given), AT_ONCE):
                some = KDTree(given[start : start + AT_ONCE])
                pairs = some.sparse_distance_matrix(
                    self._tree, radius, p=self._order, output_type="ndarray"
                )
                near[pairs["j"]] = True
        return np.add.reduceat(near, self._starts) / self.sizes


class Straight:
    """Sets of as many places, by the order of their values along each axis.

    Parameters
    ----------
    places : (N, 2) y, x of each set.
    least : correlation of sorted values that are the same in another unit.
    """

    def __init__(self, places: list[np.ndarray], least: float) -> None:
        self._least = least
        both = np.sort(np.stack(places).astype(float), axis=1)  # (sets, N, 2)
        self._profiles = [_profile(both[..., axis]) for axis in (0, 1)]

    def like(self, columns: list[np.ndarray]) -> Iterator[int]:
        """Which sets may be two of the columns (N,), whichever way round these go."""
        rising = _profile(np.sort(np.stack(columns), axis=1))
        both = np.concatenate([rising, -rising[:, ::-1]]).T
        fits = [(profiles @ both >= self._least - 1e-6).any(1) for profiles in self._profiles]
        yield from np.flatnonzero(fits[0] & fits[1]).tolist()


def _profile(values: np.ndarray) -> np.ndarray:
    """(sets, N) Values without their mean, of length 1; nothing where they are all the same."""
    values = values - values.mean(1, keepdims=True)
    length = np.sqrt((values**2).sum(1, keepdims=True))
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0)


class Sizes:
    """Sorted sizes of as many objects each, in any unit."""

    def __init__(self, sizes: list[np.ndarray]) -> None:
        self._sizes = np.stack(sizes).astype(float)

    def same(self, column: np.ndarray, tolerance: float) -> np.ndarray:
        """Which sets a column (N,) of positive numbers is, up to a factor."""
        ratio = np.sort(column) / self._sizes
        return np.flatnonzero(ratio.max(1) < (1 + tolerance) * ratio.min(1))
