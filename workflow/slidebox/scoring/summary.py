"""From what was counted in each image to values of metrics: of images, groups and a whole split."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import catalog, coco, statistics
from .release import Release
from .tasks import task_module


def left_out(counts: dict[str, np.ndarray], missing: list[bool], release: Release) -> np.ndarray:
    """Images that are in no average, because the challenge skips empty ones. (N,) bool."""
    module, settings = task_module(release.task), release.settings
    gone = np.array(missing, bool)
    if not hasattr(module, "objects"):
        return np.zeros(gone.size, bool)
    true, pred = module.objects(counts)
    out = np.zeros(gone.size, bool)
    if settings.both_empty == "skip":
        out |= (true == 0) & (pred == 0)
    if settings.empty_truth == "skip":
        out |= (true == 0) & (pred > 0)
    if settings.empty_prediction == "skip":
        out |= (true > 0) & (pred == 0)
    return out & ~gone


def pooling(
    counts: dict[str, np.ndarray], missing: list[bool], release: Release
) -> dict[str, np.ndarray]:
    """Counts as they are added up over images: those of what is left out are nan."""
    out = left_out(counts, missing, release)
    return {k: np.where(out, np.nan, v) for k, v in counts.items()} if out.any() else counts


def per_image_values(
    counts: dict[str, np.ndarray], missing: list[bool], release: Release,
    found: coco.Detected | None = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Every metric of every image; a missing prediction has the worst value there is."""
    module, settings = task_module(release.task), release.settings
    values = module.values(counts, settings)
    for custom in settings.custom:
        values[custom.name] = counts[f"custom:{custom.name}"]
    gone, out = np.array(missing), left_out(counts, missing, release)
    for name in settings.metrics:
        if name in coco.NAMES:
            values[name] = coco.per_image(name, found, counts, settings)
        worst = catalog.lookup(release.task, name, settings).worst
        values[name] = np.where(out, np.nan, values[name])
        if math.isfinite(worst):
            values[name] = np.where(gone, worst, values[name])
    return values


def summarise(
    release: Release,
    counts: dict[str, np.ndarray],
    per_image: dict[str, np.ndarray],
    groups: list[str],
    found: coco.Detected | None = None,
) -> dict[str, dict[str, Any]]:
    """Value and interval of every metric over the split."""
    settings, boot = release.settings, release.settings.bootstrap
    _, weights = statistics.group_weights(groups, boot.resamples, boot.seed)
    out = {}
    for name in settings.metrics:
        metric = catalog.lookup(release.task, name, settings)
        value = float(of_metric(release, name, counts, per_image, groups, None, found))
        samples = of_metric(release, name, counts, per_image, groups, weights, found)
        bounds = statistics.interval(np.atleast_1d(samples), boot.confidence)
        out[name] = {
            "value": value if math.isfinite(value) else None,
            "interval": bounds if boot.resamples and len(set(groups)) > 1 else None,
            "direction": metric.direction,
            "unit": metric.unit,
            "what": metric.what,
        }
    return out


def of_metric(
    release: Release,
    name: str,
    counts: dict[str, np.ndarray],
    per_image: dict[str, np.ndarray],
    groups: list[str],
    weights: np.ndarray | None = None,
    found: coco.Detected | None = None,
) -> np.ndarray | float:
    """A metric over a split, as the challenge averages it; one value a resample if `weights`.

    `counts` are those of `pooling`; `found` are the detections of COCO's metrics, whose pooled
    ranking is resampled less often.
    """
    settings, module = release.settings, task_module(release.task)
    if name in coco.NAMES and settings.average == "dataset":
        if weights is None:
            return coco.value(name, found, counts, settings)
        return coco.resampled(name, found, counts, settings, groups, weights)
    alone = set(getattr(module, "IMAGE_ONLY", ()))
    if settings.average == "dataset" and name not in getattr(module, "IMAGE_METRICS", ()):
        additive = {k: v for k, v in counts.items() if k not in alone and ":" not in k}
        total = statistics.pooled(additive, groups, lambda c: module.values(c, settings), weights)
        if name in total:
            return total[name] if weights is not None else float(total[name][0])
    average = "image" if settings.average == "dataset" else settings.average
    return statistics.averages(per_image[name], groups, average, weights)


def per_group(per_image: dict[str, np.ndarray], groups: list[str], settings: Any) -> list[dict]:
    """Mean of each metric over the images of each group."""
    rows = []
    for name in sorted(set(groups)):
        inside = np.array([g == name for g in groups])
        row: dict[str, Any] = {"group": name, "images": int(inside.sum())}
        for metric in settings.metrics:
            value = statistics.averages(per_image[metric][inside], ["x"] * inside.sum(), "image")
            row[metric] = value if math.isfinite(value) else None
        rows.append(row)
    return rows
