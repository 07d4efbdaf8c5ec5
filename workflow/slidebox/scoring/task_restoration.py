"""Restoration: images against what they should be."""

from __future__ import annotations

import numpy as np

from . import restoration as m
from .arrays import read_array
from .predictions import Refused, Submission, error
from .release import Item
from .settings import Settings

LARGEST = 1e38


def read_truth(item: Item) -> np.ndarray:
    return read_array(item.truth, item, item.truth.name, labels=False)


def read(item: Item, submission: Submission, settings: Settings) -> np.ndarray:
    """A real image of the item's shape without NaN."""
    path = submission.by_id[item.id]
    file = submission.relative(path)
    image = read_array(path, item, file, labels=False)
    if image.dtype.kind not in "uif":
        raise Refused(error("IMAGE_TYPE", f"intensities are of type {image.dtype}", file,
                            "write whole or floating-point numbers"))  # fmt: skip
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise Refused(error("IMAGE_NAN", "has NaN or infinite intensities", file,
                            "write a number for every pixel"))  # fmt: skip
    # Their squares are no numbers: the image would be in no average
    if image.dtype.kind == "f" and float(np.abs(image).max(initial=0)) > LARGEST:
        raise Refused(error("IMAGE_RANGE", f"has intensities above {LARGEST:g}", file,
                            f"the data range is {settings.data_range:g}"))  # fmt: skip
    return image


def measure(
    item: Item, truth: np.ndarray, pred: np.ndarray, settings: Settings
) -> dict[str, float]:
    """PSNR over the whole image, structural similarities as means over its (y, x) planes."""
    reach = settings.data_range
    shape = (-1, *item.shape[-2:])
    row = {
        "PSNR": m.psnr(truth, pred, reach), "SI_PSNR": m.si_psnr(truth, pred, reach),
    }  # fmt: skip
    for name, function in (("SSIM", m.ssim), ("MS_SSIM", m.ms_ssim)):
        if name in (settings.metrics or ()):
            row[name] = float(
                np.mean([function(a, b, reach) for a, b in
                         zip(truth.reshape(shape), pred.reshape(shape), strict=True)])
            )  # fmt: skip
    return row


IMAGE_ONLY = IMAGE_METRICS = ("PSNR", "SI_PSNR", "SSIM", "MS_SSIM")


def values(c: dict[str, np.ndarray], settings: Settings) -> dict[str, np.ndarray]:
    return {name: c[name] for name in IMAGE_ONLY if name in c}


def empty_prediction(item: Item) -> np.ndarray:
    return np.zeros(item.shape, np.float32)


def picture(item: Item, truth: np.ndarray, pred: np.ndarray, settings: Settings) -> np.ndarray:
    """Truth, prediction and difference side by side."""
    from .overlays import draw_difference

    return draw_difference(item, truth, pred)
