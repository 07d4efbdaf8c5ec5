"""What is kept of an image to find it again: a small preview and its keypoints.

Keypoints are SIFT's (Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94) as OpenCV computes them,
scaled as RootSIFT (Arandjelovic and Zisserman 2012, doi:10.1109/CVPR.2012.6248018): rotation, scale
and contrast don't change them. Mirroring or inverting an image only reorders the bins of a
descriptor: `FORMS` are these orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

SIDE, KEYPOINTS = 256, 200  # the longer side of a preview, and its keypoints
MANY = 20_000  # so many images get smaller previews
SIDE_OF_MANY, KEYPOINTS_OF_MANY = 128, 80
NARROW, LONG = 32, 512  # a strip's preview keeps so much of its width, if it isn't longer
CONTRAST, FAINT = 0.012, 0.004  # least contrast of a keypoint; where there are few others
FEW, FEW_OF_MANY = 60, 25

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
    points : (K,) complex64, x + iy in the preview.
    frames : (K,) complex64, each keypoint's size times its direction.
    descriptors : (K, 128) uint8, square roots of SIFT's.
    """

    preview: np.ndarray
    points: np.ndarray
    frames: np.ndarray
    descriptors: np.ndarray


def preview(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """A (y, x) plane of any type as a small uint8 picture, outliers clipped; 0 if it is flat."""
    image = np.ascontiguousarray(image, np.float32)
    factor = max(side / max(image.shape), min(NARROW / min(image.shape), LONG / max(image.shape)))
    if factor < 1:
        size = [max(1, round(n * factor)) for n in image.shape[::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    ordered = np.sort(image, axis=None)
    cut = round(0.003 * (ordered.size - 1))
    low, high = float(ordered[cut]), float(ordered[-1 - cut])
    if not high > low:
        return np.zeros(image.shape, np.uint8)
    return (np.clip((image - low) / (high - low), 0, 1) * 255).round().astype(np.uint8)


@cache
def _sift(count: int, contrast: float) -> cv2.SIFT:
    cv2.setNumThreads(1)  # callers run several images at once
    # Precise: otherwise keypoints lie a quarter of a pixel off, and mirrored images do not meet
    return cv2.SIFT_create(
        nfeatures=count, contrastThreshold=contrast, edgeThreshold=12, enable_precise_upscale=True
    )


def features(image: np.ndarray, *, many: bool = False) -> Features:
    """Features of a (y, x) plane; an image without structure has no keypoints.

    `many`: of so many images that previews must be smaller.
    """
    small = preview(image, SIDE_OF_MANY if many else SIDE)
    nothing = np.zeros(0, np.complex64)
    empty = Features(small, nothing, nothing, np.zeros((0, 128), np.uint8))
    if min(small.shape) < 16 or not small.any():
        return empty
    count = KEYPOINTS_OF_MANY if many else KEYPOINTS
    found, described = _sift(count, CONTRAST).detectAndCompute(small, None)
    if len(found) < (FEW_OF_MANY if many else FEW):
        found, described = _sift(count, FAINT).detectAndCompute(small, None)
    if not found or described is None:
        return empty
    points = np.array([k.pt for k in found], np.float32)
    size = np.array([k.size for k in found], np.float32)
    angle = np.deg2rad(np.array([k.angle for k in found], np.float32))
    root = np.sqrt(described / np.maximum(described.sum(1, keepdims=True), 1e-6))
    return Features(
        small, (points[:, 0] + 1j * points[:, 1]).astype(np.complex64),
        (size * np.exp(1j * angle)).astype(np.complex64),
        np.minimum(np.round(root * 512), 255).astype(np.uint8),
    )  # fmt: skip
