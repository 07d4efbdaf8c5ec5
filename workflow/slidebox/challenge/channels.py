"""Which narrow images lie on each other: whole, slid along each other, or by the walls they show.

Where a device has hundreds of channels that all look alike, hashes of keypoints are crowded: up to
BRUTE strips are compared each with each. Of one channel at two moments the bacteria have moved, but
the flaws of its walls and what lies beside them have not: the outer fifths tell the channel.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from . import inplace
from .keypoints import Features
from .strips import COPIES, OVERLAP, agreement, blurred, detail, is_strip

ROWS, COLUMNS = 192, 24  # of strips that are compared whole on whole
SIDE, ENDS = 5, 19  # columns at each side that show walls; rows at each end, alike in all channels
SHIFT, BLOCK = 3, 22  # rows that a strip may have moved, and rows of a part of the walls
WALLS = 0.625  # mean of the correlation of two strips' walls and of that of their parts
# Correlation of two strips, and of what they show along them, from which on they are looked at
WHOLE, ALONG = 0.8, 0.8
SLID, WIDTH = 16, 12  # such pairs of each strip, and columns that must overlap
FORMS = (0, 2, 4, 6)  # half turns, + 4 if mirrored after, of upright strips
BRUTE = 450  # strips of which all pairs are compared; of more those with a hash in common
BATCH = 512


@dataclass(frozen=True, slots=True)
class Laid:
    """Strips `a` and `b` (indices) that lie on each other, `matrix` (2, 3) float32 from x, y in the
    preview of `a` to those in the preview of `b`."""

    a: int
    b: int
    correlation: float
    matrix: np.ndarray
    inverted: bool


def pairs(
    found: list[Features], label: np.ndarray | None = None, known: Container[tuple[int, int]] = ()
) -> list[Laid]:
    """All strips that lie on each other, sorted, but for those that are known; with `label` (N,)
    only pairs of two labels."""
    chosen = [k for k, f in enumerate(found) if is_strip(f.preview)]
    if len(chosen) < 2:
        return []
    label = np.asarray(chosen) if label is None else np.asarray(label)[chosen]
    upright = [_upright(found[k]) for k in chosen]
    made: dict[tuple[int, int], Laid] = {}
    for i, j, value, step, by_walls in (*_whole(upright, label), *_slid(upright, label)):
        a, b = chosen[i], chosen[j]
        if (a, b) in known or ((a, b) in made and made[a, b].correlation >= abs(value)):
            continue
        step = _standing(found[b]) @ step @ np.linalg.inv(_standing(found[a]))
        matrix = step[:2].astype(np.float32)
        if by_walls or agreement(found[a], found[b], matrix, value < 0) > COPIES:
            made[a, b] = Laid(a, b, abs(value), matrix, value < 0)
    return [made[key] for key in sorted(made)]


def _upright(one: Features) -> tuple[np.ndarray, np.ndarray]:
    """(y, x) evened and plain preview, turned anticlockwise if it lies."""
    lying = one.preview.shape[1] > one.preview.shape[0]
    return np.rot90(one.evened, lying), np.rot90(one.preview, lying)


def _standing(one: Features) -> np.ndarray:
    """(3, 3) from x, y of the upright preview to those of the preview."""
    high, wide = one.preview.shape
    return np.array([[0, -1, wide - 1], [1, 0, 0], [0, 0, 1]]) if wide > high else np.eye(3)


def _step(
    shape: tuple[int, ...], across: bool, along: bool, grow: tuple[float, float], move: tuple
) -> np.ndarray:
    """(3, 3) from x, y of an upright strip to those of one of a (y, x) shape that lies on it once
    it is read backwards across or along, shrunk and moved (x, y both)."""
    x = [grow[0], 0, grow[0] / 2 - 0.5 - move[0]]
    y = [0, grow[1], grow[1] / 2 - 0.5 - move[1]]
    back = np.eye(3)
    if across:
        back[0] = -1, 0, shape[1] - 1
    if along:
        back[1] = 0, -1, shape[0] - 1
    return back @ np.array([x, y, [0, 0, 1]])


def _whole(
    upright: list[tuple[np.ndarray, np.ndarray]], label: np.ndarray
) -> Iterator[tuple[int, int, float, np.ndarray, bool]]:
    """Strips that lie whole on each other, even if one is squeezed: indices, correlation (negative
    if inverted), the transform between them upright, and whether their walls show it."""
    views = [_views(*pair) for pair in upright]
    bodies, walls = (np.stack(arrays) for arrays in zip(*views, strict=True))
    for i, j, form in _proposed(walls, label):
        same = _walls_alike(walls[i], _turned(walls[j], form))
        whole = np.einsum("kyx,kyx->k", bodies[i], _turned(bodies[j], form))
        for n in np.flatnonzero((np.abs(same) > WALLS) | (np.abs(whole) > WHOLE)).tolist():
            by_walls = bool(abs(same[n]) > WALLS)
            one, two = upright[i[n]][0].shape, upright[j[n]][0].shape
            grow = two[1] / one[1], two[0] / one[0]
            step = _step(two, form in (2, 4), form in (2, 6), grow, (0, 0))
            yield int(i[n]), int(j[n]), float((same if by_walls else whole)[n]), step, by_walls


def _views(evened: np.ndarray, plain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An upright strip's detail, (ROWS, COLUMNS), and that of its walls, (ROWS, 2 * SIDE)."""
    evened, plain = (
        cv2.resize(x.astype(np.float32), (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
        for x in (evened, plain)
    )
    walls = np.concatenate([plain[:, :SIDE], plain[:, -SIDE:]], 1)
    whole = detail(evened, np.ones_like(evened)) / evened.size**0.5
    return whole, blurred(walls, 1) - blurred(walls, 4)


def _turned(strips: np.ndarray, form: int) -> np.ndarray:
    """(K, y, x) upright strips in one of FORMS."""
    strips = strips[:, ::-1, ::-1] if form % 4 else strips
    return strips[:, :, ::-1] if form >= 4 else strips


def _walls_alike(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(K,) how well walls (K, y, x) agree at the best shift; negative if inverted.

    A flaw that stands out agrees with any other, so the parts along the walls count as much.
    """
    rows = one.shape[1] - 2 * ENDS
    parts = rows // BLOCK
    first = one[:, ENDS : ENDS + rows]
    best = np.zeros(len(one), np.float32)
    for at in range(ENDS - SHIFT, ENDS + SHIFT + 1):
        second = two[:, at : at + rows]
        value = _correlations(first, second, 1)
        value += _correlations(first[:, : parts * BLOCK], second[:, : parts * BLOCK], parts)
        best = np.where(np.abs(value) > np.abs(best), value, best)
    return best / 2


def _correlations(one: np.ndarray, two: np.ndarray, parts: int) -> np.ndarray:
    """(K,) correlation of strips (K, y, x) without their columns' means; the mean over parts."""
    k, rows, columns = one.shape
    p, q = (x.reshape(k, parts, rows // parts, columns) for x in (one, two))
    axis = 2 if parts == 1 else (2, 3)
    p, q = p - p.mean(axis, keepdims=True), q - q.mean(axis, keepdims=True)
    both, first, second = (np.einsum("kpyx,kpyx->kp", a, b) for a, b in ((p, q), (p, p), (q, q)))
    return (both / np.maximum(np.sqrt(first * second), 1e-3)).mean(1)


def _proposed(walls: np.ndarray, label: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Indices of first and second strips, and the form of the second, in batches: all pairs of two
    labels, or of very many strips those whose walls have a hash in common."""
    if len(walls) <= BRUTE:
        i, j = np.triu_indices(len(walls), 1)
        apart = label[i] != label[j]
        i, j, form = np.tile(i[apart], 4), np.tile(j[apart], 4), np.repeat(FORMS, apart.sum())
    else:
        rough = walls[:, ENDS : ROWS - ENDS].reshape(len(walls), -1, 2, 2 * SIDE).mean(2)
        i, j, form = inplace.proposed(rough - rough.mean(0), label, 0)
    for kind in FORMS:
        of = np.flatnonzero(form == kind)
        for at in range(0, of.size, BATCH):
            part = of[at : at + BATCH]
            yield i[part], j[part], kind


def _slid(
    upright: list[tuple[np.ndarray, np.ndarray]], label: np.ndarray
) -> Iterator[tuple[int, int, float, np.ndarray, bool]]:
    """Like `_whole`, of strips that are crops of one: those that show the most alike along them."""
    if len(upright) > BRUTE:
        return
    bands = [detail(x.astype(np.float32), np.ones(x.shape, np.float32)) for x, _ in upright]
    size = 2 * max(len(band) for band in bands)
    along = np.zeros((2, 3, len(bands), size), np.float32)
    for k, band in enumerate(bands):
        profile = band.mean(1)
        for turned, line in enumerate((profile, profile[::-1])):
            along[turned, :, k, : len(line)] = line, line * line, np.ones_like(line)
    waves = np.fft.rfft(along).astype(np.complex64)
    for i, (line, energy, where) in enumerate(waves[0, :, :, :].transpose(1, 0, 2)):
        best = np.zeros((2, len(bands)), np.float32)
        lag = np.zeros((2, len(bands)), np.intp)
        for turned in (0, 1):
            lines, energies, wheres = waves[turned].conj()
            both, first, second, rows = (
                np.fft.irfft(x, size) for x in (line * lines, energy * wheres, where * energies,
                                                where * wheres)
            )  # fmt: skip
            value = np.abs(both) / np.sqrt(np.maximum(first * second, 1e-3))
            value[rows < OVERLAP] = 0
            lag[turned] = value.argmax(1)
            best[turned] = value.max(1) * (label != label[i])
        for k in np.argsort(-best, axis=None, kind="stable")[:SLID].tolist():
            turned, j = divmod(k, len(bands))
            if best[turned, j] > ALONG:
                down = int(lag[turned, j])
                down -= size if down > size // 2 else 0
                value, across, right = _beside(bands[i], bands[j], bool(turned), down)
                if abs(value) > WHOLE:
                    step = _step(bands[j].shape, across, bool(turned), (1, 1), (right, down))
                    if i > j:
                        step = np.linalg.inv(step)
                    yield min(i, j), max(i, j), value, step, False


def _beside(one: np.ndarray, two: np.ndarray, along: bool, down: int) -> tuple[float, bool, int]:
    """The correlation of two strips' detail at the best shift across, once the second is read
    backwards along it or not and moved down; whether it is mirrored then, and the shift."""
    best = 0.0, False, 0
    two = two[::-1] if along else two
    rows = min(len(one) - max(down, 0), len(two) - max(-down, 0))
    one, two = one[max(down, 0) :][:rows], two[max(-down, 0) :][:rows]
    for across in (False, True):
        other = two[:, ::-1] if across else two
        for right in range(WIDTH - two.shape[1], one.shape[1] - WIDTH + 1):
            columns = min(one.shape[1] - max(right, 0), two.shape[1] - max(-right, 0))
            p = one[:, max(right, 0) :][:, :columns]
            q = other[:, max(-right, 0) :][:, :columns]
            both, first, second = (float(np.vdot(a, b)) for a, b in ((p, q), (p, p), (q, q)))
            value = both / max(np.sqrt(first * second), 1e-3)
            if abs(value) > abs(best[0]):
                best = value, across, right
    return best
