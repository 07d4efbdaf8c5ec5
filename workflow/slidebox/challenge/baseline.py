"""A classical start for instance segmentation: Otsu's threshold and a distance watershed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from ..scoring import open_release
from ..scoring.release import Item


def segment(image: np.ndarray, smoothing: float = 1.5, smallest: int = 30) -> np.ndarray:
    """Label bright roundish objects in a 2D or 3D image; uint16 labels of the same shape.

    Gaussian smoothing, Otsu's threshold, holes filled, touching objects cut along the watershed of
    the smoothed distance to the background. `smallest` is in pixels.
    """
    from scipy import ndimage
    from skimage import feature, filters, morphology, segmentation

    smooth = filters.gaussian(image.astype(np.float32), smoothing)
    if float(smooth.max()) == float(smooth.min()):
        return np.zeros(image.shape, np.uint16)
    mask = ndimage.binary_fill_holes(smooth > filters.threshold_otsu(smooth))
    mask = morphology.remove_small_objects(mask, max_size=smallest)
    distance = filters.gaussian(ndimage.distance_transform_edt(mask), 2)
    size = max(3, round(float(np.percentile(distance[mask], 90)))) if mask.any() else 3
    peaks = feature.peak_local_max(
        distance, min_distance=size, labels=ndimage.label(mask)[0], exclude_border=False
    )
    markers = np.zeros(image.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return segmentation.watershed(-distance, markers, mask=mask).astype(np.uint16)


def predict(release: Path | str, out: Path | str, split: str | None = None) -> Path:
    """Write ``<id>.tif`` label images for a split of a release (default: all its splits)."""
    opened, out = open_release(release), Path(out)
    for name in [split] if split else opened.splits:
        for item in opened.items(name):
            if opened.task == "tracking":
                from .baseline_tracking import track_item

                track_item(item, out)
            else:
                _write(out / f"{item.id}.tif", segment(grey(item)))
    return out


def grey(item: Item) -> np.ndarray:
    """An item's image in the axes of its prediction; channels are averaged."""
    with tifffile.TiffFile(item.image) as tiff:
        series = tiff.series[0]
        image, axes = series.asarray(), series.axes
    for axis in "SC":
        if axis in axes:
            image = image.mean(axes.index(axis))
            axes = axes.replace(axis, "")
    return image.reshape(item.shape)


def _write(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, labels, compression="zlib")
