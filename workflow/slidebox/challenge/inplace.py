"""Images that lie on each other as they are, or turned by right angles, mirrored or inverted.

Neighbouring planes of a stack and moments of a time-lapse share few keypoints, but what they show
stays in its place. Images are compared on a small grid, in a band of sizes between the grain (which
changes from plane to plane) and the ground (which is alike in all images of an instrument). Hashes
of the coarser part of it say which pairs to compare, so the cost grows with the number of images.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from .keypoints import NARROW, Features

LEAST = 16  # pixels of the shorter side
GRID = 64  # side of what is compared; half of it for a first look, a quarter for the hashes
SIZES = (0.6, 1.5, 3, 6)  # of the bands: fine, middle and coarse lie between them
SHAPE = 1.1  # ratio of two images' proportions
TABLES, PROBES = 5, 2  # hash tables, and bits of a hash that may be on the other side
CROWD = 24  # images with one hash that are looked at
ALIKE = 0.6  # least correlation of the middle band
# How far from chance the middle band must be, or the sum of both and the lesser of them, in
# standard deviations of Fisher's z; set on real images. Independent details that four cells of the
# fine and the middle band hold, from noise
MIDDLE, BOTH, LESSER = 5.0, 9.0, 3.3
DETAILS = 4.0, 0.87
# Fisher's z by which the middle bands must agree better than in any other pose (one cell in the
# middle, or the rim of a well, looks like any other in all of them), as they are and turned
POSE, TURNED = 0.5, 1.0
BATCH = 4096
HELD = 2048  # images whose bands are kept for their next pair


@dataclass(frozen=True, slots=True)
class InPlace:
    """Images `a` and `b` (indices) that lie on each other once `b` is turned by `quarters` right
    angles anticlockwise and then, if `mirrored`, read from right to left."""

    a: int
    b: int
    correlation: float
    quarters: int
    mirrored: bool
    inverted: bool


def pairs(
    found: list[Features],
    label: np.ndarray | None = None,
    known: Container[tuple[int, int]] = (),
    *,
    seed: int = 0,
) -> list[InPlace]:
    """All pairs that lie on each other, sorted, but for those that are known; with `label` (N,)
    only pairs of two labels."""
    chosen = [k for k, f in enumerate(found) if _fit(f.preview)]
    if len(chosen) < 2:
        return []
    shape = np.array([found[k].preview.shape for k in chosen], np.float32)
    ratio = np.log(shape[:, 1] / shape[:, 0])
    label = np.asarray(chosen) if label is None else np.asarray(label)[chosen]
    # Small integers take a quarter of the memory, and are enough for a first look
    rough = np.empty((len(chosen), GRID // 2, GRID // 2), np.int8)
    coarse = np.empty((len(chosen), GRID // 4, GRID // 4), np.float32)
    for row, k in enumerate(chosen):
        _, middle, low = _bands(found[k].preview)
        band = _half(middle)
        rough[row] = np.round(band * (127 / max(float(np.abs(band).max()), 1e-6)))
        coarse[row] = _unit(_half(_half(low)))

    @lru_cache(HELD)
    def shown(k: int) -> list[Band]:
        return [Band.of(band) for band in _bands(found[k].preview)[:2]]

    best: dict[tuple[int, int], InPlace] = {}
    for p, q, form in _looked_at(rough, ratio, *proposed(coarse, label, seed)):
        a, b = chosen[p], chosen[q]
        if (a, b) in known:
            continue
        two = [band.turned(form % 4, form >= 4) for band in shown(b)]
        pixels = min(found[a].preview.size, found[b].preview.size)
        value = _alike(shown(a), two, TURNED if form else POSE, min(1, pixels / GRID**2))
        other = best.get((a, b))
        if value and (other is None or abs(value) > other.correlation):
            best[a, b] = InPlace(a, b, abs(value), form % 4, form >= 4, value < 0)
    return [best[key] for key in sorted(best)]


def _fit(preview: np.ndarray) -> bool:
    """Whether a preview is no strip (`channels`) and has pixels enough."""
    short, long = sorted(preview.shape)
    return short > NARROW or LEAST <= short <= long < 4 * short


def turn(image: np.ndarray, quarters: int, mirrored: bool) -> np.ndarray:
    """A (y, x) image turned anticlockwise by right angles, then mirrored left to right."""
    image = np.rot90(image, quarters)
    return image[:, ::-1] if mirrored else image


def matrix(match: InPlace, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(2, 3) float32, from x, y in the preview of `a` to those in the preview of `b`."""
    high, wide = b.shape
    if match.quarters % 2:
        high, wide = wide, high
    across, down = wide / a.shape[1], high / a.shape[0]
    step = np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]])
    if match.mirrored:
        step = np.array([[-1, 0, wide - 1], [0, 1, 0], [0, 0, 1]]) @ step
    for _ in range(match.quarters):
        # A turn's pixel (y, x) is the pixel (x, wide - 1 - y) of what was turned
        step = np.array([[0, -1, high - 1], [1, 0, 0], [0, 0, 1]]) @ step
        high, wide = wide, high
    return step[:2].astype(np.float32)


def _bands(preview: np.ndarray) -> list[np.ndarray]:
    """A preview's fine, middle and coarse band, (GRID, GRID) float32 each.

    Stripes and steps along rows and columns are the camera's: they are taken out.
    """
    size = (GRID, GRID)
    small = cv2.resize(preview.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small -= small.mean(1, keepdims=True)
    small -= small.mean(0, keepdims=True)
    smooth = [cv2.GaussianBlur(small, (0, 0), s) for s in SIZES]
    return [a - b for a, b in pairwise(smooth)]


def _half(band: np.ndarray) -> np.ndarray:
    """(..., y, x) with means of four cells."""
    *more, y, x = band.shape
    return band.reshape(*more, y // 2, 2, x // 2, 2).mean((-3, -1))


def _unit(band: np.ndarray) -> np.ndarray:
    band = band - band.mean()
    length = float(np.linalg.norm(band))
    return band / length if length > 1e-3 else np.zeros_like(band)


@dataclass(frozen=True, slots=True)
class Band:
    """One band of a picture: `unit` (GRID, GRID) float32 of length 1, and how much of its square
    lies in each four cells (GRID / 2, GRID / 2)."""

    unit: np.ndarray
    power: np.ndarray

    @classmethod
    def of(cls, band: np.ndarray) -> Band:
        unit = _unit(band)
        return cls(unit, _half(unit * unit))

    def turned(self, quarters: int, mirrored: bool) -> Band:
        if not (quarters or mirrored):
            return self
        return Band(turn(self.unit, quarters, mirrored), turn(self.power, quarters, mirrored))


def _alike(one: list[Band], two: list[Band], margin: float, real: float) -> float:
    """Correlation of two pictures' middle bands if their fine and middle ones are alike beyond
    chance, else 0.

    The fewer places they are made of (a single cell, the rim of a well), the more is chance; `real`
    is the share of the grid's places that pictures of fewer pixels have.
    """
    value, far = [], []
    for p, q, details in zip(one, two, DETAILS, strict=True):
        power = np.minimum(p.power, q.power)
        places = real * details * power.sum() ** 2 / max(float((power * power).sum()), 1e-12)
        value.append(_correlation(p.unit, q.unit))
        far.append(float(np.arctanh(value[-1])) * max(places - 3, 0) ** 0.5)
    fine, middle = (np.sign(value[1]) * z for z in far)
    beyond = middle > MIDDLE or (fine + middle > BOTH and min(fine, middle) > LESSER)
    if abs(value[1]) < ALIKE or not beyond:
        return 0.0
    p, q = one[1].unit, two[1].unit
    other = max(abs(_correlation(p, turn(q, form % 4, form >= 4))) for form in range(1, 8))
    return value[1] if np.arctanh(abs(value[1])) > np.arctanh(other) + margin else 0.0


def _correlation(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.clip((one * two).sum(), -0.9999, 0.9999))


def _looked_at(
    rough: np.ndarray, ratio: np.ndarray, first: np.ndarray, second: np.ndarray, form: np.ndarray
) -> Iterator[tuple[int, int, int]]:
    """Those of the proposed pairs whose proportions agree and whose middle bands correlate."""
    # Quarter turns exchange width and height
    same = np.abs(ratio[first] - np.where(form % 2, -1, 1) * ratio[second]) < np.log(SHAPE)
    first, second, form = first[same], second[same], form[same]
    length = np.sqrt(np.einsum("kyx,kyx->k", rough, rough, dtype=np.float32)) + 1e-3
    kept = []
    for kind in range(8):
        rows = np.flatnonzero(form == kind)
        for at in range(0, rows.size, BATCH):
            part = rows[at : at + BATCH]
            turned = np.rot90(rough[second[part]], kind % 4, axes=(1, 2))
            turned = turned[:, :, ::-1] if kind >= 4 else turned
            value = np.einsum("kyx,kyx->k", rough[first[part]], turned, dtype=np.float32)
            value /= length[first[part]] * length[second[part]]
            kept.append(part[np.abs(value) > ALIKE - 0.05])
    good = np.sort(np.concatenate([np.zeros(0, np.int64), *kept]))
    yield from zip(first[good].tolist(), second[good].tolist(), form[good].tolist(), strict=True)


def proposed(
    coarse: np.ndarray, label: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, images and forms of pairs with a hash in common: the first below the second, of two
    labels. A form is the second's quarter turns, + 4 if it is mirrored after."""
    generator = np.random.default_rng(seed)
    count = len(coarse)
    bits = max(6, int(np.log2(count)) + 2)
    weight = 1 << np.arange(bits)
    base = coarse.reshape(count, -1)
    by_label = np.argsort(label, kind="stable")
    known = [np.zeros(0, np.int64)]
    for _ in range(TABLES):
        plane = generator.normal(size=(bits, *coarse.shape[1:])).astype(np.float32)
        still = _canonical((_sides(base, plane) > 0) @ weight, bits)
        order = by_label[np.argsort(still[by_label], kind="stable")]
        ordered = still[order]
        for form in range(8):
            # Turning an image is turning the directions the other way
            back = plane[:, :, ::-1] if form >= 4 else plane
            sides = _sides(base, np.rot90(back, -(form % 4), axes=(1, 2)))
            key = (sides > 0) @ weight
            unsure = weight[np.argpartition(np.abs(sides), PROBES, axis=1)[:, :PROBES]]
            for probe in range(1 << PROBES):
                flipped = [unsure[:, k] for k in range(PROBES) if probe >> k & 1]
                wanted = _canonical(key ^ sum(flipped, np.zeros_like(key)), bits)
                begin = np.searchsorted(ordered, wanted, "left")
                size = np.searchsorted(ordered, wanted, "right") - begin
                # Of a crowd (a long time-lapse) some, spread over it
                some = np.minimum(size, CROWD)
                second = np.repeat(np.arange(count), some)
                within = np.arange(second.size) - np.repeat(np.cumsum(some) - some, some)
                within = within * np.repeat(size, some) // np.repeat(some, some)
                first = order[np.repeat(begin, some) + within]
                apart = label[first] != label[second]
                first, second = first[apart], second[apart]
                # Seen from the other image a turn goes the other way; mirrored ones undo themselves
                how = np.where(first < second, form, form if form >= 4 else -form % 4)
                low, high = np.minimum(first, second), np.maximum(first, second)
                known.append((low * count + high) * 8 + how)
        known = [_distinct(np.concatenate(known))]
    pair, form = np.divmod(known[0], 8)
    return pair // count, pair % count, form


def _distinct(values: np.ndarray) -> np.ndarray:
    """Sorted; NumPy's own way of hashing is slower by far for so many."""
    values.sort()
    return values[np.diff(values, prepend=values[:1] - 1) != 0]


def _sides(base: np.ndarray, plane: np.ndarray) -> np.ndarray:
    flat = np.ascontiguousarray(plane).reshape(len(plane), -1)
    return cv2.gemm(base, flat, 1, None, 0, flags=cv2.GEMM_2_T)


def _canonical(key: np.ndarray, bits: int) -> np.ndarray:
    """Inverting an image changes all bits of its hash, so the last one is made 0."""
    return np.where(key >> (bits - 1), key ^ ((1 << bits) - 1), key)
