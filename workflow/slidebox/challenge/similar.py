"""Finding images that show the same thing: turned, mirrored, rescaled, cropped, a frame later.

From a small preview of each image come some tens of keypoints with descriptors that don't change
under rotation, reflection, scale and contrast. Equal hashes of descriptors propose pairs of images
(a sort, not a comparison of all with all); a proposed pair counts only if its keypoints agree on
one similarity transform and the previews agree after it. Cost is linear in images but for the sort.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

SIDE = 128  # the longer side of a preview
KEYPOINTS = 40
SIGMAS = 1.6 * 2.0 ** (np.arange(6) / 2)
RINGS = np.array([0.8, 1.6, 2.6, 3.8, 5.2])
ANGLES = 16
ORDERS = 4  # angular frequencies kept
BITS, TABLES = 18, 16  # bits grow with the number of images
CROWD = 24  # a hash that more images than this have says nothing
VOTES = 2
PROPOSALS = 20  # looked at closely, for each image
AGREE = 0.65  # correlation of the previews after registration
LEAST_PLACES = 5  # keypoints that agree and are apart
SLACK = 2.5  # pixels of the preview


@dataclass(frozen=True, slots=True)
class Features:
    """What is kept of an image: its preview and its keypoints.

    Attributes
    ----------
    preview : (y, x) float32, mean 0, deviation 1, the longer side at most 128.
    points : (K, 2) y and x in the preview; scale : (K,) their sigma.
    descriptors : (K, D) float32 of length 1.
    """

    preview: np.ndarray
    points: np.ndarray
    scale: np.ndarray
    descriptors: np.ndarray


@dataclass(frozen=True, slots=True)
class Match:
    """Two images that show the same: indices, correlation, keypoints that agree, transform."""

    a: int
    b: int
    correlation: float
    inliers: int
    matrix: np.ndarray  # (2, 3): from the preview of a to that of b
    scale: float
    mirrored: bool


def preview(image: np.ndarray) -> np.ndarray:
    """A (y, x) plane of any type as a small float32 picture without outliers, mean 0, deviation 1.

    Local background is levelled, so that slow shading and contrast don't matter.
    """
    image = np.asarray(image, np.float32)
    step = max(1, int(np.ceil(max(image.shape) / (2 * SIDE))))
    if step > 1:  # cheap means first, the exact size after
        y, x = image.shape[0] // step * step, image.shape[1] // step * step
        image = image[:y, :x].reshape(y // step, step, x // step, step).mean((1, 3))
    factor = SIDE / max(image.shape)
    if factor < 1:
        image = ndimage.gaussian_filter(image, 0.45 / factor)
        image = ndimage.zoom(image, factor, order=1, grid_mode=True, mode="nearest")
    low, high = np.percentile(image, [0.5, 99.5])
    image = np.clip(image, low, high)
    deviation = float(image.std())
    if deviation == 0:
        return np.zeros(image.shape, np.float32)
    return ((image - image.mean()) / deviation).astype(np.float32)


def features(image: np.ndarray) -> Features:
    """Features of a (y, x) plane; an image without structure has no keypoints."""
    small = preview(image)
    empty = Features(small, np.zeros((0, 2)), np.zeros(0), np.zeros((0, _size()), np.float32))
    if not small.any() or min(small.shape) < 16:
        return empty
    levels, last = [], 0.0
    for sigma in SIGMAS:  # each from the one before: blurs add in quadrature
        step = float(np.sqrt(sigma**2 - last**2))
        levels.append(ndimage.gaussian_filter(levels[-1] if levels else small, step, truncate=3))
        last = float(sigma)
    blobs = np.stack([b - a for a, b in pairwise(levels)])
    strength = np.abs(blobs)
    peaks = np.zeros(strength.shape, bool)
    inner = strength[:, 3:-3, 3:-3]
    largest = inner > 0.03
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for sign in (1, -1):
            y, x = 3 + sign * dy, 3 + sign * dx
            largest &= inner >= strength[:, y : y + inner.shape[1], x : x + inner.shape[2]]
    largest[1:] &= inner[1:] >= inner[:-1]
    largest[:-1] &= inner[:-1] >= inner[1:]
    peaks[:, 3:-3, 3:-3] = largest
    k, y, x = np.nonzero(peaks)
    if k.size == 0:
        return empty
    order = np.argsort(-strength[k, y, x] * SIGMAS[k] ** 0.25, kind="stable")[:KEYPOINTS]
    k, y, x = k[order], y[order], x[order]
    described = _describe(levels, k, y, x)
    good = np.linalg.norm(described, axis=1) > 0
    points = np.stack([y, x], 1).astype(np.float32)
    return Features(small, points[good], SIGMAS[k[good]].astype(np.float32), described[good])


def _size() -> int:
    return len(RINGS) * (ORDERS + 1) + (len(RINGS) - 1) * ORDERS


def _describe(levels: list[np.ndarray], k: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Rings around each keypoint, by what of them no rotation or reflection changes: magnitudes of
    angular frequencies, and the cosine of phase from ring to ring."""
    angle = np.arange(ANGLES) * 2 * np.pi / ANGLES
    unit = np.stack([np.sin(angle), np.cos(angle)])  # (2, A)
    out = np.zeros((k.size, _size()), np.float32)
    for level in np.unique(k):
        at = np.flatnonzero(k == level)
        radius = RINGS * SIGMAS[level] * 1.5
        offset = radius[None, :, None] * unit[:, None, :]  # (2, R, A)
        centre = np.stack([y[at], x[at]]).astype(float)
        where = centre[:, :, None, None] + offset[:, None]
        values = ndimage.map_coordinates(
            levels[level], where.reshape(2, -1), order=1, mode="reflect", prefilter=False
        ).reshape(at.size, RINGS.size, ANGLES)
        values = values - values.mean((1, 2), keepdims=True)
        norm = np.sqrt((values**2).mean((1, 2), keepdims=True))
        values = np.where(norm > 1e-3, values / np.maximum(norm, 1e-3), 0)
        spectrum = np.fft.rfft(values, axis=2) / ANGLES
        still = spectrum[:, :, 0].real
        turning = spectrum[:, :, 1 : ORDERS + 1]
        strength = np.abs(turning)
        relative = (turning[:, :-1] * turning[:, 1:].conj()).real
        relative = relative / np.sqrt(strength[:, :-1] * strength[:, 1:] + 1e-6)
        both = np.concatenate(
            [still, 1.4 * strength.reshape(at.size, -1), relative.reshape(at.size, -1)], axis=1
        )
        length = np.linalg.norm(both, axis=1, keepdims=True)
        out[at] = np.where(length > 0, both / np.maximum(length, 1e-9), 0)
    return out


def propose(found: list[Features], seed: int = 0) -> list[tuple[int, int]]:
    """Pairs of images that share hashes of several keypoints; sorted.

    Descriptors are whitened by their principal axes and hashed by signs along random directions,
    in several tables; each table is one sort.
    """
    owner = np.concatenate([np.full(len(f.points), i) for i, f in enumerate(found)] or [[]])
    owner = owner.astype(np.int64)
    if owner.size < 2:
        return []
    everything = np.concatenate([f.descriptors for f in found])
    sample = everything[:: max(1, len(everything) // 50_000)]
    centre = sample.mean(0)
    _, sizes, axes = np.linalg.svd(sample - centre, full_matrices=False)
    kept = min(24, axes.shape[0])
    scale = (sizes[:kept] / np.sqrt(len(sample))) ** 0.5
    reduced = ((everything - centre) @ axes[:kept].T / np.maximum(scale, 1e-6)).astype(np.float32)
    generator = np.random.default_rng(seed)
    votes: list[np.ndarray] = []
    bits_used = max(BITS, int(np.log2(owner.size)) + 4)
    weights = 1 << np.arange(bits_used, dtype=np.int64)
    for _ in range(TABLES):
        directions = generator.normal(size=(kept, bits_used)).astype(np.float32)
        bits = (reduced @ directions) > 0
        key = bits @ weights
        # One vote an image and hash
        unique = np.unique(key * len(found) + owner)
        key, image = unique // len(found), unique % len(found)
        edge = np.flatnonzero(np.diff(key)) + 1
        start = np.concatenate([[0], edge])
        stop = np.concatenate([edge, [key.size]])
        size = stop - start
        for n in np.unique(size[(size > 1) & (size <= CROWD)]):
            rows = image[start[size == n][:, None] + np.arange(n)]
            i, j = np.triu_indices(n, 1)
            votes.append((rows[:, i] * len(found) + rows[:, j]).ravel())
    if not votes:
        return []
    pair, count = np.unique(np.concatenate(votes), return_counts=True)
    pair, count = pair[count >= VOTES], count[count >= VOTES]
    # The most likely of each image: so that look-alikes cost no more than that
    i, j = pair // len(found), pair % len(found)
    kept = np.zeros(pair.size, bool)
    for side in (i, j):
        order = np.lexsort((pair, -count, side))
        sorted_side = side[order]
        begin = np.concatenate([[0], np.flatnonzero(np.diff(sorted_side)) + 1])
        rank = np.arange(order.size) - np.repeat(begin, np.diff(begin, append=order.size))
        kept[order[rank < PROPOSALS]] = True
    return list(zip(i[kept].tolist(), j[kept].tolist(), strict=True))


def compare(a: Features, b: Features) -> tuple[float, float, int, np.ndarray, float] | None:
    """(correlation, that of detail, places that agree, transform, overlap) of two images, or None.

    Keypoints are paired by descriptor; every two pairs whose distances and scales agree propose a
    similarity transform (also mirrored); the one most pairs agree on is refined and judged by the
    correlation of the previews where they overlap.
    """
    if len(a.points) < 4 or len(b.points) < 4:
        return None
    likeness = a.descriptors @ b.descriptors.T  # cosine
    order = np.argpartition(-likeness, 1, axis=1)[:, :2]
    i = np.repeat(np.arange(len(a.points)), 2)
    j = order.ravel()
    close = likeness[i, j] > 0.9
    if close.sum() < 5:
        return None
    i, j = i[close], j[close]
    p, q = a.points[i].astype(float), b.points[j].astype(float)
    ratio = b.scale[j] / a.scale[i]
    seeds = np.argsort(-likeness[i, j], kind="stable")[:20]
    s, t = np.triu_indices(seeds.size, 1)
    s, t = seeds[s], seeds[t]
    dp, dq = p[t] - p[s], q[t] - q[s]
    lp, lq = np.hypot(*dp.T), np.hypot(*dq.T)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = lq / lp
    ok = (lp > 12) & (lq > 6) & (i[s] != i[t]) & (j[s] != j[t])
    ok &= np.abs(np.log2(np.where(ok, scale, 1) / np.sqrt(ratio[s] * ratio[t]))) < 0.6
    s, t, dp, dq, scale = s[ok], t[ok], dp[ok], dq[ok], scale[ok]
    if s.size == 0:
        return None
    # As complex numbers y + ix: q = m p + c, or q = m conj(p) + c when mirrored
    zp, zq = p[:, 0] + 1j * p[:, 1], q[:, 0] + 1j * q[:, 1]
    best, count = None, 0
    for mirrored in (False, True):
        source = zp.conj() if mirrored else zp
        m = (zq[t] - zq[s]) / (source[t] - source[s])
        c = zq[s] - m * source[s]
        error = np.abs(m[:, None] * source[None] + c[:, None] - zq[None])
        hits = error < SLACK * np.maximum(1, np.abs(m))[:, None]
        total = hits.sum(1)
        at = int(total.argmax())
        if total[at] > count:
            best, count = (mirrored, hits[at]), int(total[at])
    if best is None or count < 4:
        return None
    mirrored, inside = best
    source = (zp.conj() if mirrored else zp)[inside]
    target = zq[inside]
    agreeing = _places(source)
    spread = source - source.mean()
    m = (spread.conj() @ (target - target.mean())) / (spread.conj() @ spread)
    c = target.mean() - m * source.mean()
    if not 0.25 < abs(m) < 4:
        return None
    sign = -1 if mirrored else 1
    matrix = np.array([[m.real, -sign * m.imag, c.real], [m.imag, sign * m.real, c.imag]], float)
    if agreeing < LEAST_PLACES:
        return None
    correlation, detail, share = _correlation(a.preview, b.preview, matrix)
    return correlation, detail, agreeing, matrix, share


def _places(points: np.ndarray, apart: float = 6.0) -> int:
    """How many of the points (complex numbers) are places of their own: blobs have keypoints of
    several scales, and two nuclei are no picture."""
    kept: list[complex] = []
    for point in points.tolist():
        if all(abs(point - other) > apart for other in kept):
            kept.append(point)
    return len(kept)


def _correlation(a: np.ndarray, b: np.ndarray, matrix: np.ndarray) -> tuple[float, float, float]:
    """Correlation of two previews and of their detail (between sigma 1 and 3) where they overlap
    after a -> b, and the smaller one's share that does."""
    step = 2
    grid = np.indices(a.shape)[:, ::step, ::step].reshape(2, -1)
    where = matrix[:, :2] @ grid + matrix[:, 2:]
    inside = (
        (where[0] >= 0) & (where[0] <= b.shape[0] - 1)
        & (where[1] >= 0) & (where[1] <= b.shape[1] - 1)
    )  # fmt: skip
    area = step * step * float(inside.sum())
    share = area / min(a.size, max(1.0, b.size / max(1e-6, abs(np.linalg.det(matrix[:, :2])))))
    if area < 300:
        return 0.0, 0.0, 0.0
    one, two = ndimage.gaussian_filter(a, 1.0), ndimage.gaussian_filter(b, 1.0)
    found = []
    for x, y in ((one, two), (one - _coarse(one), two - _coarse(two))):
        p = x[::step, ::step].reshape(-1)[inside]
        q = ndimage.map_coordinates(y, where[:, inside], order=1)
        p, q = p - p.mean(), q - q.mean()
        norm = float(np.sqrt((p @ p) * (q @ q)))
        found.append(float(p @ q) / norm if norm > 0 else 0.0)
    return found[0], found[1], share


def _coarse(image: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(image, 2.8)


def same(a: Features, b: Features) -> Match | None:
    """Whether two images show the same; indices of the match are 0 and 1."""
    found = compare(a, b)
    if found is None:
        return None
    correlation, detail, inliers, matrix, share = found
    if not _enough(correlation, detail, inliers, share):
        return None
    determinant = float(np.linalg.det(matrix[:, :2]))
    return Match(0, 1, correlation, inliers, matrix, abs(determinant) ** 0.5, determinant < 0)


def _enough(correlation: float, detail: float, places: int, share: float) -> bool:
    """Whether the evidence is that of one specimen; set on real images, benchmarks/leakage.

    Many places agree by themselves; few need fine detail that agrees, since a handful of blobs on
    an empty ground fits another handful somewhere.
    """
    if share < 0.3 or correlation < AGREE:
        return False
    return places >= 8 or (places >= 6 and detail > 0.65) or detail > 0.85


def find(found: list[Features], between: Iterable[int] | None = None) -> list[Match]:
    """All pairs that show the same; with `between` (a label an image) only pairs of two labels."""
    label = list(between) if between is not None else None
    matches = []
    for a, b in propose(found):
        if label is not None and label[a] == label[b]:
            continue
        match = same(found[a], found[b])
        if match is not None:
            matches.append(
                Match(a, b, match.correlation, match.inliers, match.matrix, match.scale,
                      match.mirrored)
            )  # fmt: skip
    return matches
