"""Means and intervals, by resampling groups: images of one specimen aren't independent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Counts = dict[str, np.ndarray]


def group_weights(groups: list[str], resamples: int, seed: int) -> tuple[list[str], np.ndarray]:
    """How often each group is drawn in each resample: names (G,) and counts (resamples, G).

    Groups are taken in sorted order, so that the order of images doesn't matter.
    """
    names = sorted(set(groups))
    generator = np.random.default_rng(seed)
    size = len(names)
    return names, generator.multinomial(size, np.full(size, 1 / size), size=resamples)


def averages(
    values: np.ndarray, groups: list[str], average: str, weights: np.ndarray | None = None
) -> np.ndarray | float:
    """Mean over images or over groups' means, leaving out nan; for each resample if given.

    values : (N,) one an image. Returns nan where nothing is defined.
    """
    names = sorted(set(groups))
    index = np.searchsorted(names, groups)
    defined = ~np.isnan(values)
    sums = np.bincount(index, np.where(defined, values, 0.0), len(names))
    counts = np.bincount(index, defined.astype(float), len(names))
    if average == "group":
        with np.errstate(invalid="ignore", divide="ignore"):
            sums = np.where(counts > 0, sums / counts, 0.0)
        counts = (counts > 0).astype(float)
    if weights is None:
        weights = np.ones((1, len(names)))
    with np.errstate(invalid="ignore", divide="ignore"):
        result = (weights @ sums) / (weights @ counts)
    return float(result[0]) if result.size == 1 else result


def pooled(
    counts: Counts,
    groups: list[str],
    of: Callable[[Counts], Counts],
    weights: np.ndarray | None = None,
) -> Counts:
    """Metrics of counts added up over all images; for each resample if weights are given."""
    names = sorted(set(groups))
    index = np.searchsorted(names, groups)
    if weights is None:
        weights = np.ones((1, len(names)))
    return of(
        {k: weights @ np.bincount(index, np.nan_to_num(v), len(names)) for k, v in counts.items()}
    )


def interval(samples: np.ndarray, confidence: float) -> tuple[float, float] | None:
    """Percentile interval of resampled values; None when none is defined."""
    samples = samples[np.isfinite(samples)]
    if samples.size == 0:
        return None
    low = (1 - confidence) / 2
    a, b = np.quantile(samples, [low, 1 - low])
    return float(a), float(b)
