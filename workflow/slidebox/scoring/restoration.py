"""Quality of restored images. The data range is the challenge's, never an image's own."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# A perfect restoration has no error to take the logarithm of: it's said to have this many dB
PERFECT = 100.0
MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SIGMA, TRUNCATE, RADIUS = 1.5, 3.5, 5


def psnr(truth: np.ndarray, pred: np.ndarray, data_range: float) -> float:
    """10 log10(R^2 / MSE) in dB, R the data range; higher is better, at most 100 dB.

    Images of one shape; compared in float64. Huynh-Thu and Ghanbari 2008,
    doi:10.1049/el:20080522.
    """
    error = float(np.mean((truth.astype(np.float64) - pred) ** 2))
    if error == 0:
        return PERFECT
    return min(PERFECT, float(10 * np.log10(data_range**2 / error)))


def si_psnr(truth: np.ndarray, pred: np.ndarray, data_range: float) -> float:
    """PSNR after the affine change a * pred + b that fits the truth best (least squares), in dB.

    A constant prediction is fitted by the truth's mean. Weigert et al. 2018,
    doi:10.1038/s41592-018-0216-7.
    """
    x, y = pred.astype(np.float64).ravel(), truth.astype(np.float64).ravel()
    x = x - x.mean()
    variance = float(x @ x)
    slope = float(x @ (y - y.mean())) / variance if variance > 0 else 0.0
    return psnr(truth, (slope * x + y.mean()).reshape(truth.shape), data_range)


def ssim(truth: np.ndarray, pred: np.ndarray, data_range: float) -> float:
    """Mean structural similarity of a 2D image, in [-1, 1], 1 is best.

    Gaussian window of sigma 1.5 (11 x 11), K1 = 0.01, K2 = 0.03, population covariance, borders
    of 5 pixels left out. Wang et al. 2004, doi:10.1109/TIP.2003.819861.
    """
    similarity, _ = _ssim_maps(truth, pred, data_range)
    return float(similarity.mean())


def ms_ssim(truth: np.ndarray, pred: np.ndarray, data_range: float) -> float:
    """Multi-scale structural similarity of a 2D image, in [0, 1], 1 is best.

    Five scales with the paper's weights, each half the one before (2 x 2 means; a last odd row or
    column is left out); an image smaller than 176 pixels has as many as it is 11 pixels wide in,
    with weights made to sum to 1. A negative factor counts as 0.
    Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216.
    """
    a, b = truth.astype(np.float64), pred.astype(np.float64)
    scales = 1
    while scales < len(MS_WEIGHTS) and min(a.shape) // 2**scales >= 2 * RADIUS + 1:
        scales += 1
    weights = np.array(MS_WEIGHTS[:scales])
    if scales < len(MS_WEIGHTS):
        weights /= weights.sum()
    value = 1.0
    for scale, weight in enumerate(weights):
        similarity, contrast = _ssim_maps(a, b, data_range)
        factor = similarity.mean() if scale == scales - 1 else contrast.mean()
        value *= max(float(factor), 0.0) ** weight
        a, b = _half(a), _half(b)
    return value


def _half(image: np.ndarray) -> np.ndarray:
    y, x = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    return image[:y, :x].reshape(y // 2, 2, x // 2, 2).mean((1, 3))


def _ssim_maps(truth: np.ndarray, pred: np.ndarray, data_range: float):
    a, b = truth.astype(np.float64), pred.astype(np.float64)
    if min(a.shape) < 2 * RADIUS + 1:
        raise ValueError(f"SSIM needs at least 11 x 11 pixels, not {a.shape}")

    def blur(image: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(image, SIGMA, truncate=TRUNCATE, mode="reflect")

    ma, mb = blur(a), blur(b)
    va, vb, ab = blur(a * a) - ma * ma, blur(b * b) - mb * mb, blur(a * b) - ma * mb
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    contrast = (2 * ab + c2) / (va + vb + c2)
    similarity = (2 * ma * mb + c1) / (ma * ma + mb * mb + c1) * contrast
    inside = (slice(RADIUS, -RADIUS or None),) * 2
    return similarity[inside], contrast[inside]
