"""Hidden restored images that were edited: rescaled, turned, brighter, of fewer bits.

The middle of each plane is compared by the ranks of its fine detail. An image to be restored shows
the same without it, so what is found must be nearer to the truth than that image is.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage
from scipy.stats import rankdata

from .lookalike import Alike, _reduced, _turn

MIDDLE, SIDE = 256, 128  # pixels of the part that is compared; sides it has then
LEAST = 0.7  # correlation of detail
PLANES = 8  # of a hidden image


class Restored:
    """Hidden images by the fine detail in the middle of their planes."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.details: list[np.ndarray] = []
        self.parts: list[tuple[float, float]] = []
        self.least: list[float] = []
        self._matrix: np.ndarray | None = None

    def add(self, which: str, planes: Iterable[np.ndarray], images: Iterable[np.ndarray]) -> None:
        """Planes (y, x) of a hidden image, and those of the image that it restores."""
        images = list(images)
        for plane in planes:
            part = tuple(min(1.0, MIDDLE / n) for n in plane.shape)
            detail = _detail(plane, part)
            if detail is None:
                continue
            others = [d for i in images if (d := _detail(i, part)) is not None]
            own = max((float(detail @ d) for d in others), default=0.0)
            self.ids.append(which)
            self.details.append(detail)
            self.parts.append((*part, plane.shape[1] / plane.shape[0]))
            self.least.append(max(LEAST, (1 + own) / 2))
        self._matrix = None

    def __bool__(self) -> bool:
        return bool(self.ids)

    def find(self, planes: Iterable[np.ndarray]) -> Alike | None:
        """The hidden image that one of the (y, x) planes is an edited copy of."""
        for plane in planes:
            for part in sorted(set(self.parts)):
                if found := self._as(plane, part):
                    return found
        return None

    def _as(self, plane: np.ndarray, part: tuple[float, float, float]) -> Alike | None:
        aspect = plane.shape[1] / plane.shape[0]
        if self._matrix is None:
            self._matrix = np.stack(self.details)
        mine = np.array([p == part for p in self.parts])
        for turned in (False, True):
            if abs((1 / aspect if turned else aspect) / part[2] - 1) > 0.03:
                continue
            detail = _detail(plane, part[1::-1] if turned else part[:2])
            if detail is None:
                continue
            picture = detail.reshape(SIDE, SIDE)
            for turn in range(1 if turned else 0, 8, 2):
                level = np.abs(self._matrix @ _turn(picture, turn).ravel())  # also a negative
                good = np.flatnonzero(mine & (level >= self.least))
                if good.size:
                    best = int(good[level[good].argmax()])
                    what = f"shows nearly the same (correlation {level[best]:.3f}) as"
                    return Alike(self.ids[best], what)
        return None


def _detail(plane: np.ndarray, part: tuple[float, float]) -> np.ndarray | None:
    """Ranks of the middle of a plane without what is coarse, of length 1; None for an even one."""
    if plane.ndim != 2 or plane.dtype.kind not in "uif" or min(plane.shape) < 16:
        return None
    boxes = []
    for n, share in zip(plane.shape, part, strict=True):
        size = max(8, round(n * share))
        boxes.append(slice((n - size) // 2, (n - size) // 2 + size))
    small = _reduced(np.nan_to_num(plane[tuple(boxes)].astype(np.float64)), SIDE)
    ranks = rankdata(small).reshape(small.shape)
    detail = (ranks - ndimage.gaussian_filter(ranks, 3)).ravel()
    detail -= detail.mean()
    length = float(np.sqrt((detail**2).sum()))
    return (detail / length).astype(np.float32) if length > 0 else None
