"""Images that lie on each other once one is moved: crops of one field at the scale of its pixels.

Their correlation at every shift is one product of their Fourier transforms, which needs no
keypoints: it finds a few blurred nuclei, or many dots that are all alike. What two pictures are
worth then is said by their detail, evened out where both show something; copies agree nearly
exactly, while the rims and grey of different nuclei do not.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from scipy import fft

from .keypoints import Features

SIDE = 128  # of the pictures that are moved over each other
PEAKS, APART = 2, 4  # shifts that are looked at, and pixels between them
RATIO = 4.0  # of the scales of two previews, at most
SHARE, AREA = 0.25, 400  # least overlap: of the smaller picture, and pixels
WORTH = 0.4  # correlation from which on a shift is looked at
# Correlation of fine detail and of all but the ground, and in how many places it lies, from which
# on two pictures are copies: different nuclei of one slide reach 0.94, 0.97
FINE, ALL, PLACES = 0.95, 0.97, 12.0
WIDTHS = 3.0, 7.0  # sigma of what is taken for the ground of fine detail and of all
FLOOR = 0.1  # contrast that counts, of the mean


def shifts(a: Features, b: Features, inverted: bool) -> list[np.ndarray]:
    """(2, 3) float32, from x and y in the preview of `a` to those in the preview of `b`: the shifts
    at which the evened previews correlate best, at equal size of the images' pixels."""
    if not 1 / RATIO < a.scale / b.scale < RATIO:
        return []
    scale = min(a.scale, b.scale)
    scale *= min(1.0, SIDE / max(max(f.evened.shape) * scale / f.scale for f in (a, b)))
    one, two = (_shrunk(f, scale) for f in (a, b))
    correlation = _everywhere(one, -two if inverted else two)
    growth, step = b.scale / a.scale, b.scale / scale
    centre = (growth - 1) / 2  # a pixel's middle, not its corner, is at a whole number
    found = []
    for _ in range(PEAKS):
        peak = np.unravel_index(int(correlation.argmax()), correlation.shape)
        if correlation[peak] < WORTH:
            break
        sides = list(zip(peak, correlation.shape, strict=True))
        dy, dx = (step * (n - m if n > m / 2 else n) + centre for n, m in sides)
        found.append(np.array([[growth, 0, dx], [0, growth, dy]], np.float32))
        near = [np.arange(n - APART, n + APART + 1) % m for n, m in sides]
        correlation[np.ix_(*near)] = -1
    return found


def _shrunk(features: Features, scale: float) -> np.ndarray:
    """(y, x) float32 about 0: an evened preview at other pixels to one of the image."""
    size = [max(1, round(n * scale / features.scale)) for n in features.evened.shape[::-1]]
    picture = features.evened.astype(np.float32) - 128
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _everywhere(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Correlation of `one` (y, x) and `two` (y + dy, x + dx) at each shift (dy, dx), modulo the
    shape; -1 where they overlap too little."""
    shape = [fft.next_fast_len(n + m, real=True) for n, m in zip(one.shape, two.shape, strict=True)]
    product = np.conj(fft.rfft2(one, shape)) * fft.rfft2(two, shape)
    value = fft.irfft2(product, shape)
    dy, dx = (np.where(np.arange(k) > k / 2, np.arange(k) - k, np.arange(k)) for k in shape)
    y0, y1 = _overlap(one.shape[0], two.shape[0], dy)
    x0, x1 = _overlap(one.shape[1], two.shape[1], dx)
    area = (y1 - y0)[:, None] * (x1 - x0)[None]
    energy = _energy(one, y0, y1, x0, x1) * _energy(two, y0 + dy, y1 + dy, x0 + dx, x1 + dx)
    least = 0.02 * min(float((one * one).sum()), float((two * two).sum()))
    value = value / np.sqrt(np.maximum(energy, max(least, 1e-6) ** 2))
    return np.where(area >= SHARE * min(one.size, two.size), value, -1)


def _overlap(n: int, m: int, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Begin and end, in a length `n`, of what lies in a length `m` too after each shift."""
    begin = np.clip(-shift, 0, n)
    return begin, np.maximum(begin, np.clip(m - shift, 0, n))


def _energy(
    picture: np.ndarray, y0: np.ndarray, y1: np.ndarray, x0: np.ndarray, x1: np.ndarray
) -> np.ndarray:
    """Sums of squares over rectangles, one a pair of a row and a column of bounds."""
    table = cv2.integral(picture * picture, sdepth=cv2.CV_64F)
    (y0, y1), (x0, x1) = (
        (np.clip(low, 0, n), np.clip(high, 0, n))
        for low, high, n in ((y0, y1, picture.shape[0]), (x0, x1, picture.shape[1]))
    )
    rows = table[y1] - table[y0]
    return np.maximum(rows[:, x1] - rows[:, x0], 0)


def copies(a: Features, b: Features, matrix: np.ndarray, inverted: bool) -> tuple[float, bool]:
    """Correlation of the detail of `a` and of `b` laid over it, the finer or all, whichever is
    less; and whether it is that of copies."""
    shape = a.preview.shape
    warp = {"dsize": shape[::-1], "flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP}
    growth = max(abs(float(np.linalg.det(matrix[:, :2]))), 1e-6)
    seen = cv2.warpAffine(np.full(b.preview.shape, 255, np.uint8), matrix, **warp) > 253
    area = float(seen.sum())
    if area < AREA or area < SHARE * min(a.preview.size, b.preview.size / growth):
        return 0.0, False
    weight = seen.astype(np.float32)
    inner = cv2.erode(seen.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    if not inner.any():
        return 0.0, False

    def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
        under = np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3)
        return cv2.GaussianBlur(picture * weight, (0, 0), sigma) / under

    other = cv2.warpAffine(b.preview.astype(np.float32), matrix, **warp)
    # What the coarser of the two can show
    fine = max(1.0, growth**-0.5)
    pictures = a.preview.astype(np.float32), -other if inverted else other
    smooth = [blurred(p, fine) for p in pictures]
    least, good = 1.0, True
    for width, needed in zip(WIDTHS, (FINE, ALL), strict=True):
        one, two = (_detail(p, blurred, width * fine, inner) for p in smooth)
        power = np.minimum(*(_cells(p * p) for p in (one, two)))
        places = float(power.sum()) ** 2 / max(float((power * power).sum()), 1e-9)
        p, q = one[inner], two[inner]
        p, q = p - p.mean(), q - q.mean()
        value = float(p @ q) / max(float(np.sqrt((p @ p) * (q @ q))), 1e-6)
        least = min(least, value)
        good = good and value >= needed and places >= PLACES
    return least, good


def _detail(picture: np.ndarray, blurred: Callable, width: float, inner: np.ndarray) -> np.ndarray:
    """(y, x) float32: what differs from the ground, in units of how much it does so nearby."""
    ground = blurred(picture, width)
    spread = np.maximum(blurred(picture * picture, width) - ground * ground, 0)
    # One grey level of a preview is no contrast
    floor = max(FLOOR * float(spread[inner].mean()) ** 0.5, 1.0)
    return np.where(inner, (picture - ground) / np.sqrt(spread + floor * floor), 0)


def _cells(picture: np.ndarray) -> np.ndarray:
    size = [max(1, n // 4) for n in picture.shape[::-1]]
    return cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA)
