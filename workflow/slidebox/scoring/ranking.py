"""Ranks with their uncertainty: groups are resampled, differences are tested in pairs."""

from __future__ import annotations

import itertools

import numpy as np

EXACT = 13  # groups up to which all sign flips are tried: 2**13 = 8192


def ranks(values: np.ndarray, higher: bool) -> np.ndarray:
    """Competition ranks (1, 2, 2, 4) along the first axis; ties shared, nan is last."""
    signed = np.where(np.isnan(values), -np.inf, values if higher else -values)
    better = signed[None, ...] > signed[:, None, ...]
    return 1 + better.sum(1)


def first_probability(rank: np.ndarray) -> np.ndarray:
    """Share of the resamples (columns) in which each entry (row) is first; ties share it."""
    first = rank == 1
    return (first / first.sum(0, keepdims=True)).mean(1)


def rank_interval(rank: np.ndarray, confidence: float) -> np.ndarray:
    """(entries, 2) lowest and highest rank of the central share of resamples."""
    low = (1 - confidence) / 2
    return np.stack(
        [
            np.quantile(rank, low, axis=1, method="lower"),
            np.quantile(rank, 1 - low, axis=1, method="higher"),
        ],
        axis=1,
    ).astype(int)


def sign_flip_p(differences: np.ndarray, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p of paired differences (one a group) being symmetric about 0.

    All 2**G flips of sign up to 13 groups, else `resamples` random ones (with the +1 that keeps a
    test honest). nan differences are left out; without any p is 1.
    Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005.
    """
    d = differences[~np.isnan(differences)]
    if d.size == 0 or not d.any():
        return 1.0
    observed = abs(d.sum())
    slack = 1e-12 * np.abs(d).sum()
    if d.size <= EXACT:
        signs = np.array(list(itertools.product((1, -1), repeat=d.size)))
        return float((np.abs(signs @ d) >= observed - slack).mean())
    signs = np.random.default_rng(seed).integers(0, 2, (resamples, d.size)) * 2 - 1
    hits = int((np.abs(signs @ d) >= observed - slack).sum())
    return (hits + 1) / (resamples + 1)


def holm(p: np.ndarray) -> np.ndarray:
    """p values corrected for their number. Holm 1979, Scand. J. Statist. 6, 65-70."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    out = np.empty(p.size)
    out[order] = np.minimum(steps, 1.0)
    return out


def group_means(values: np.ndarray, groups: list[str]) -> np.ndarray:
    """Mean of each group (sorted by name), nan left out; (entries, groups) of (entries, images)."""
    names, index = np.unique(groups, return_inverse=True)
    out = np.full((values.shape[0], names.size), np.nan)
    for g in range(names.size):
        inside = values[:, index == g]
        count = (~np.isnan(inside)).sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[:, g] = np.where(count > 0, np.nansum(inside, 1) / count, np.nan)
    return out
