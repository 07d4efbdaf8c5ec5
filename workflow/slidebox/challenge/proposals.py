"""Which pairs of images are worth a close look: those that share hashes of several keypoints.

Descriptors are hashed by signs along random directions, in several tables; each table is one sort.
The cost grows with the number of keypoints (and its logarithm), not with the number of pairs.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from .keypoints import FORMS, INVERTED, MANY, MIRRORED, Features

DIMENSIONS = 24
TABLES = 10
CROWD = 16  # a hash that more keypoints share says nothing
PROPOSALS, LEAST = 24, 3  # pairs looked at closely for each image, and the votes each needs
PROPOSALS_OF_MANY, LEAST_OF_MANY = 2, 4  # of more than MANY images
SPARSE = 40  # an image with fewer keypoints needs one vote only
DOUBTFUL = 0.06
BLOCK = 200_000
SLICE = 4_000_000  # votes that are counted at once


def propose(
    found: list[Features],
    label: np.ndarray | None = None,
    *,
    many: bool | None = None,
    seed: int = 0,
) -> list[tuple[int, int, int]]:
    """(image, image, form) sorted, the first image below the second.

    Parameters
    ----------
    many : look at fewer pairs of each image; default: of more than 20,000 images.
    label : (N,) pairs of one label aren't proposed; None: all may be.
    form : how the second has to be read to look like the first: sum of MIRRORED and INVERTED.
    """
    count = len(found)
    many = count > MANY if many is None else many
    owner = np.repeat(np.arange(count), [len(f.points) for f in found])
    if owner.size < 2:
        return []
    label = np.arange(count) if label is None else np.asarray(label)
    described = np.concatenate([f.descriptors for f in found])
    frames = np.concatenate([f.frames for f in found])
    size, angle = np.log2(np.abs(frames)), np.angle(frames)
    key, form = np.nonzero(_forms(described))
    reduced = _reduced(described, key, form)
    del described, frames  # of very many images these are large
    owner, label, size, angle = owner[key], label[owner[key]], size[key], angle[key]
    form = form.astype(np.int8)
    del key
    generator = np.random.default_rng(seed)
    bits = max(12, int(np.log2(len(reduced))) + 2)
    votes, number = [], []
    for _ in range(TABLES):
        directions = generator.normal(size=(reduced.shape[1], bits)).astype(np.float32)
        for p, q in _collisions(_hash(reduced, directions)):
            apart = label[p] != label[q]
            p, q = p[apart], q[apart]
            swap = owner[p] > owner[q]
            p, q = np.where(swap, q, p), np.where(swap, p, q)
            how = form[p] ^ form[q]
            # Votes that agree on scale and turn count more
            growth = np.clip(np.round((size[q] - size[p]) / 0.8) + 8, 0, 15).astype(np.int64)
            turn = angle[q] - np.where(how & MIRRORED, -1, 1) * angle[p]
            turn = turn + np.where(how & INVERTED, np.pi, 0)
            turn = np.round(turn / (np.pi / 4)).astype(np.int64) % 8
            pair = (owner[p] * count + owner[q]) * 4 + how
            values, times = np.unique((pair * 16 + growth) * 8 + turn, return_counts=True)
            votes.append(values)
            number.append(times.astype(np.uint16))
    if not votes:
        return []
    most, least = (PROPOSALS_OF_MANY, LEAST_OF_MANY) if many else (PROPOSALS, LEAST)
    needed = np.full(count, least)
    if not many:
        needed[[len(f.points) < SPARSE for f in found]] = 1
    pair, score = _counted(votes, number, needed)
    a, b, how = (pair >> 2) // count, (pair >> 2) % count, pair & 3
    kept = _best(a, score, most) | _best(b, score, most)
    return list(zip(a[kept].tolist(), b[kept].tolist(), how[kept].tolist(), strict=True))


def _counted(
    votes: list[np.ndarray], number: list[np.ndarray], needed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs with as many votes as one of their images needs, and how many each has; votes (sorted)
    are counted in slices, as most of very many pairs have one."""
    count = len(needed)
    end = 4 * count * count * 128
    total = sum(v.size for v in votes)
    bounds = np.linspace(0, end, 2 + total // SLICE).astype(np.int64)
    bounds = bounds // 128 * 128  # a pair's votes stay together
    bounds[-1] = end
    pairs, scores = [], []
    for low, high in pairwise(bounds.tolist()):
        parts = [slice(*np.searchsorted(v, (low, high))) for v in votes]
        values = np.concatenate([v[part] for v, part in zip(votes, parts, strict=True)])
        times = np.concatenate([n[part] for n, part in zip(number, parts, strict=True)])
        values, back = np.unique(values, return_inverse=True)
        times = np.bincount(back, weights=times, minlength=values.size)
        pair, back = np.unique(values >> 7, return_inverse=True)
        most = np.zeros(pair.size)
        np.maximum.at(most, back, times)
        score = np.bincount(back, weights=times, minlength=pair.size) + 2 * (most - 1)
        a, b = np.divmod(pair >> 2, count)
        good = score >= np.minimum(needed[a], needed[b])
        pairs.append(pair[good])
        scores.append(score[good])
    return np.concatenate(pairs), np.concatenate(scores)


def _forms(descriptors: np.ndarray) -> np.ndarray:
    """(N, 4) whether a descriptor is kept in each of the four forms.

    Its heavier half comes first, so that mirrored and inverted copies have one form in common;
    where the halves are nearly alike both ways are kept.
    """
    grid = descriptors.reshape(-1, 4, 4, 8).sum(3, dtype=np.float32)
    total = np.maximum(grid.sum((1, 2)), 1)
    upper = 2 * grid[:, :2].sum((1, 2)) / total - 1
    left = 2 * grid[:, :, :2].sum((1, 2)) / total - 1
    m0, m1 = upper < DOUBTFUL, upper > -DOUBTFUL
    v0, v1 = left < DOUBTFUL, left > -DOUBTFUL
    # MIRRORED exchanges upper and lower, INVERTED both pairs of halves, both left and right
    return np.stack([m1 & v1, m0 & v1, m0 & v0, m1 & v0], 1)


def _reduced(described: np.ndarray, key: np.ndarray, form: np.ndarray) -> np.ndarray:
    """Descriptors in their forms along their principal axes, evened out: (len(key), D) float32."""
    sample = described[:: max(1, len(described) // 20_000)].astype(np.float32)
    sample = np.concatenate([sample[:, order] for order in FORMS])
    centre = sample.mean(0)
    sample -= centre
    # OpenCV's product here and below: NumPy's threads wait for each other on busy cores
    covariance = cv2.gemm(sample, sample, 1 / len(sample), None, 0, flags=cv2.GEMM_1_T)
    spread, axes = np.linalg.eigh(covariance.astype(np.float64))
    spread, axes = spread[::-1][:DIMENSIONS], axes[:, ::-1][:, :DIMENSIONS]
    base = (axes / np.maximum(spread, 1e-6) ** 0.25).astype(np.float32)
    out = np.empty((key.size, DIMENSIONS), np.float32)
    for at in range(0, key.size, BLOCK):
        part = slice(at, at + BLOCK)
        for number, order in enumerate(FORMS):
            mine = np.flatnonzero(form[part] == number) + at
            if mine.size:
                out[mine] = cv2.gemm(described[key[mine]][:, order] - centre, base, 1, None, 0)
    return out


def _hash(reduced: np.ndarray, directions: np.ndarray) -> np.ndarray:
    out = np.zeros(len(reduced), np.int64)
    for at in range(0, len(reduced), BLOCK):
        sides = cv2.gemm(reduced[at : at + BLOCK], directions, 1, None, 0) > 0
        for bit in range(sides.shape[1]):
            out[at : at + BLOCK] |= sides[:, bit].astype(np.int64) << bit
    return out


def _collisions(values: np.ndarray):
    """Arrays of pairs of indices with equal values, by the size of the bucket."""
    order = np.argsort(values, kind="stable")
    edge = np.flatnonzero(np.diff(values[order])) + 1
    start = np.concatenate([[0], edge])
    size = np.diff(start, append=values.size)
    for n in range(2, CROWD + 1):
        begin = start[size == n]
        if begin.size:
            rows = order[begin[:, None] + np.arange(n)]
            i, j = np.triu_indices(n, 1)
            yield rows[:, i].ravel(), rows[:, j].ravel()


def _best(side: np.ndarray, score: np.ndarray, most: int) -> np.ndarray:
    """Which pairs are among the `most` best of the image on their one side."""
    order = np.lexsort((-score, side))
    begin = np.concatenate([[0], np.flatnonzero(np.diff(side[order])) + 1])
    rank = np.arange(order.size) - np.repeat(begin, np.diff(begin, append=order.size))
    kept = np.zeros(side.size, bool)
    kept[order[rank < most]] = True
    return kept
