"""Narrow images, such as channels of a mother machine: whether one is a copy of another.

All channels of a device look alike: walls, a closed end, a row of the same bacteria. So what every
row shows (the walls) counts for nothing, and two strips are copies only if they agree everywhere
along them: strangers differ somewhere.
"""

from __future__ import annotations

import cv2
import numpy as np

from .keypoints import NARROW, Features

LONG = 4  # a strip is so many times as long as wide
# Least correlation of two copies anywhere along them: that of copies of real strips is above 0.85
# (nearly all), that of other channels laid over each other as well as can be below 0.8
COPIES = 0.85
PLACE = 10.0  # sigma, in pixels along the strip, of a place
FLAT = 0.1  # energy, of the whole strip's, below which two places agree as both show nothing
SHARE, OVERLAP = 0.5, 90  # of the smaller strip, and rows along it, that must overlap
SPREAD = 60  # rows over which what both show must spread
TONES = 32  # grey levels told apart when one picture's are translated to another's


def is_strip(image: np.ndarray) -> bool:
    """Whether a (y, x) preview is narrow, and several times as long as wide."""
    short, long = sorted(image.shape)
    return 16 <= short <= NARROW and long >= LONG * short


def agreement(a: Features, b: Features, matrix: np.ndarray, inverted: bool) -> float:
    """The least correlation anywhere along the overlap of two previews, `b` laid over `a`.

    Compared as evened, and with the grey levels of each translated to the other's: a camera's
    saturation or gamma is no difference. 0 if they overlap, or show something, in few rows.
    """
    warp = {"dsize": a.evened.shape[::-1], "flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP}
    mask = cv2.warpAffine(np.full(b.evened.shape, 255, np.uint8), matrix, **warp) > 253
    rows, columns = int(mask.any(1).sum()), int(mask.any(0).sum())
    growth = max(abs(float(np.linalg.det(matrix[:, :2]))), 1e-6)
    share = mask.sum() / min(a.evened.size, b.evened.size / growth)
    if max(rows, columns) < OVERLAP or share < SHARE:
        return 0.0
    upright = rows >= columns
    even, plain = (
        (one, cv2.warpAffine(two, matrix, **warp))
        for one, two in ((a.evened, b.evened), (a.preview, b.preview))
    )
    even = even[0], 255 - even[1] if inverted else even[1]
    best = 0.0
    for pair in (even, _translated(*plain, mask), _translated(*plain[::-1], mask)):
        one, two, where = (x if upright else x.T for x in (*pair, mask))
        best = max(best, _least(one, two, np.ascontiguousarray(where, np.float32)))
    return best


def _translated(one: np.ndarray, two: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    """`one` with each grey level replaced by the mean of `two` where it is, and `two`."""
    level = one[mask].astype(np.intp) * TONES // 256
    number = np.bincount(level, minlength=TONES)
    total = np.bincount(level, weights=two[mask], minlength=TONES)
    known = np.flatnonzero(number > 1)
    if not known.size:
        return [one, two]
    middle = (known + 0.5) * (256 / TONES)
    return [np.interp(one, middle, total[known] / number[known]).astype(np.float32), two]


def _least(one: np.ndarray, two: np.ndarray, mask: np.ndarray) -> float:
    """The least correlation of two upright strips at any place along the mask."""
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8))
    if not inner.any():
        return 0.0
    p, q = (detail(x, mask, inner) for x in (one, two))
    rows = np.stack([x.sum(1) for x in (p * q, p * p, q * q, inner)], 1)
    both, first, second, weight = blurred(rows, PLACE).T
    shown = np.minimum(first, second)
    if shown.sum() ** 2 < SPREAD * (shown @ shown):
        return 0.0
    few = FLAT * weight
    value = (both + few) / (np.sqrt(first * second) + few + 1e-9)
    return float(value[weight > 0.5 * weight.max()].min())


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Along y alone."""
    return cv2.GaussianBlur(image, (1, 0), sigmaX=sigma, sigmaY=sigma)


def detail(image: np.ndarray, mask: np.ndarray, inner: np.ndarray | None = None) -> np.ndarray:
    """The detail of an upright strip less what all its rows share, of variance 1 within `inner`
    (default: all of the mask) and 0 elsewhere."""
    inner = mask if inner is None else inner
    image = np.ascontiguousarray(image, np.float32)
    near, far = (
        cv2.GaussianBlur(image * mask, (0, 0), s)
        / np.maximum(cv2.GaussianBlur(mask, (0, 0), s), 1e-3)
        for s in (1.0, 3.0)
    )
    band = near - far
    band = (band - (band * inner).sum(0) / np.maximum(inner.sum(0), 1)) * inner
    return band / max(float(np.sqrt((band * band).sum() / inner.sum())), 1e-3)
