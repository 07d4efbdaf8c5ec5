"""What is kept of an image to find it again: a small preview and its keypoints.

Both dim and bright objects, and what lies within them, are to be found again: keypoints are sought
where the local mean and contrast are evened out (as in Jarrett et al. 2009,
doi:10.1109/ICCV.2009.5459469), but for what is below the noise. They are SIFT's (Lowe 2004,
doi:10.1023/B:VISI.0000029664.99615.94) as OpenCV computes them, scaled as RootSIFT (Arandjelovic
and Zisserman 2012, doi:10.1109/CVPR.2012.6248018): rotation, scale and contrast don't change them.
Mirroring or inverting an image only reorders the bins of a descriptor: `FORMS` are these orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

SIDE, KEYPOINTS = 256, 200  # the longer side of a preview, and its keypoints
MANY = 20_000  # so many images get smaller previews
SIDE_OF_MANY, KEYPOINTS_OF_MANY = 128, 64
NARROW, LONG = 32, 512  # a strip's preview keeps so much of its width, if it isn't longer
# Least contrast and largest ratio of curvatures of a keypoint; where there are few others
CLEAR, FAINT = (0.005, 12), (0.001, 40)
FEW, FEW_OF_MANY = 60, 25
AROUND, AROUND_OF_MANY = 7.0, 5.0  # sigma of the Gaussian within which mean and contrast are evened
NOISE, LEAST = 4.0, 0.002  # contrast that counts: times the noise, and of the preview's range
SPREAD = 42  # grey levels of an evened picture in a standard deviation

_INDEX = np.arange(128).reshape(4, 4, 8)  # rows, columns, directions
_MIRROR = _INDEX[::-1][:, :, -np.arange(8) % 8].reshape(-1)
_INVERT = _INDEX[::-1, ::-1].reshape(-1)
MIRRORED, INVERTED = 1, 2  # bits of a form's number
FORMS = np.stack([np.arange(128), _MIRROR, _INVERT, _MIRROR[_INVERT]])


@dataclass(frozen=True, slots=True)
class Features:
    """What is kept of an image.

    Attributes
    ----------
    preview : (y, x) uint8.
    evened : (y, x) uint8, the preview with its local mean and contrast evened out.
    scale : pixels of the preview in one of the image.
    points : (K,) complex64, x + iy in the preview.
    frames : (K,) complex64, each keypoint's size times its direction.
    descriptors : (K, 128) uint8, square roots of SIFT's.
    """

    preview: np.ndarray
    evened: np.ndarray
    scale: float
    points: np.ndarray
    frames: np.ndarray
    descriptors: np.ndarray


def preview(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """A (y, x) plane of any type as a small uint8 picture, outliers clipped; 0 if it is flat."""
    small = _small(image, side)
    return _stretched(small, *_range(small))


def _small(image: np.ndarray, side: int) -> np.ndarray:
    image = np.ascontiguousarray(image, np.float32)
    factor = max(side / max(image.shape), min(NARROW / min(image.shape), LONG / max(image.shape)))
    if factor < 1:
        size = [max(1, round(n * factor)) for n in image.shape[::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image


def _range(small: np.ndarray) -> tuple[float, float]:
    ordered = np.sort(small, axis=None)
    cut = round(0.003 * (ordered.size - 1))
    low, high = float(ordered[cut]), float(ordered[-1 - cut])
    # A few spots on nothing are no outliers
    return (low, high) if high > low else (float(ordered[0]), float(ordered[-1]))


def _stretched(small: np.ndarray, low: float, high: float) -> np.ndarray:
    if not high > low:
        return np.zeros(small.shape, np.uint8)
    return (np.clip((small - low) / (high - low), 0, 1) * 255).round().astype(np.uint8)


def _evened(small: np.ndarray, low: float, high: float, around: float) -> np.ndarray:
    """(y, x) uint8, 128 where a pixel is like those around it."""
    # What is neither a step along x nor along y is noise for the most part
    steps = np.abs(small[1:, 1:] - small[1:, :-1] - small[:-1, 1:] + small[:-1, :-1])
    middle = steps.size // 2
    noise = 1.4826 * float(np.partition(steps, middle, axis=None)[middle]) / 2
    small = small - low
    mean = cv2.GaussianBlur(small, (0, 0), around)
    spread = cv2.GaussianBlur(small * small, (0, 0), around) - mean * mean
    spread = np.sqrt(np.maximum(spread, 0)) + NOISE * noise + LEAST * (high - low)
    return np.clip(128 + SPREAD * (small - mean) / spread, 0, 255).round().astype(np.uint8)


@cache
def _sift(count: int, contrast: float, edge: float) -> cv2.SIFT:
    cv2.setNumThreads(1)  # callers run several images at once
    # Precise: otherwise keypoints lie a quarter of a pixel off, and mirrored images do not meet
    return cv2.SIFT_create(
        nfeatures=count, contrastThreshold=contrast, edgeThreshold=edge, enable_precise_upscale=True
    )


def features(image: np.ndarray, *, many: bool = False) -> Features:
    """Features of a (y, x) plane; an image without structure has no keypoints.

    `many`: of so many images that previews must be smaller.
    """
    small = _small(image, SIDE_OF_MANY if many else SIDE)
    scale = max(small.shape) / max(image.shape)
    low, high = _range(small)
    shown = _stretched(small, low, high)
    nothing = np.zeros(0, np.complex64)
    empty = nothing, nothing, np.zeros((0, 128), np.uint8)
    if min(small.shape) < 16 or not high > low:
        return Features(shown, shown, scale, *empty)
    evened = _evened(small, low, high, AROUND_OF_MANY if many else AROUND)
    count = KEYPOINTS_OF_MANY if many else KEYPOINTS
    found, described = _sift(count, *CLEAR).detectAndCompute(evened, None)
    if len(found) < (FEW_OF_MANY if many else FEW):
        found, described = _sift(count, *FAINT).detectAndCompute(evened, None)
    if not found or described is None:
        return Features(shown, evened, scale, *empty)
    points = np.array([k.pt for k in found], np.float32)
    size = np.array([k.size for k in found], np.float32)
    angle = np.deg2rad(np.array([k.angle for k in found], np.float32))
    root = np.sqrt(described / np.maximum(described.sum(1, keepdims=True), 1e-6))
    return Features(
        shown, evened, scale, (points[:, 0] + 1j * points[:, 1]).astype(np.complex64),
        (size * np.exp(1j * angle)).astype(np.complex64),
        np.minimum(np.round(root * 512), 255).astype(np.uint8),
    )  # fmt: skip
