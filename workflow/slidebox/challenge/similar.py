"""Images that show the same thing: turned, mirrored, rescaled, cropped, inverted, a frame later.

`proposals` says which pairs to look at; a pair counts only if its keypoints agree on one similarity
transform and the previews agree in fine detail once one is laid over the other, or are copies once
one is `moved`. Neighbouring planes and moments, which share few keypoints, are found by `inplace`,
strips by `channels` too.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from . import channels, inplace, moved, strips
from .keypoints import FORMS, INVERTED, MANY, MIRRORED, NARROW, Features, features
from .proposals import propose

__all__ = ["Features", "Match", "features", "find", "same"]

ALIKE = 0.82  # cosine of two descriptors
CANDIDATES = 60
LARGEST = 3.3  # scale between two previews; a few round cells fit any others at more
SLACK = 3.0  # pixels of the preview
NEEDED = {3: 0.95, 4: 0.92, 5: 0.91, 6: 0.8, 7: 0.55}  # detail, by places that agree
WORTH, SHARE = 0.25, 0.25  # detail from which on a closer fit is tried, and the least overlap
WORTH_MOVED = 0.6  # the same of pictures that are moved over each other
HOPELESS = 0.35  # correlation below which no closer fit helps
# Narrow images that are no strips (see `strips`) must lie on each other exactly
NARROW_NEEDS = 0.98
CELL = 6.0  # keypoints nearer than this are one place
PARALLEL = 20_000  # proposals, or images, from which on several processes pay


@dataclass(frozen=True, slots=True)
class Match:
    """Two images that show the same: indices, correlation, keypoints that agree, transform.

    inliers : 0 where it was not keypoints that agree: where `inplace` or `moved` found them.
    shifted : whether `moved` did.
    matrix : (2, 3) float32, from x and y in the preview of `a` to those in the preview of `b`.
    """

    a: int
    b: int
    correlation: float
    inliers: int
    matrix: np.ndarray
    scale: float
    mirrored: bool
    inverted: bool
    shifted: bool = False


def find(
    found: list[Features],
    between: Iterable[int] | None = None,
    processes: int = 1,
    *,
    many: bool | None = None,
) -> list[Match]:
    """All pairs that show the same; with `between` (a label an image) only pairs of two labels."""
    label = None if between is None else np.asarray(list(between))
    if processes > 1 and len(found) > PARALLEL:
        with _in_place_beside(found, label) as in_place:
            best = _by_keypoints(found, label, processes, many)
            still = in_place()
    else:
        best = _by_keypoints(found, label, processes, many)
        still = inplace.pairs(found, label, best)
    for pair in still:
        best.setdefault((pair.a, pair.b), _match(pair, found))
    for laid in channels.pairs(found, label, best):
        best[laid.a, laid.b] = _laid(laid)
    return [best[key] for key in sorted(best)]


def _by_keypoints(
    found: list[Features], label: np.ndarray | None, processes: int, many: bool | None
) -> dict[tuple[int, int], Match]:
    many = len(found) > MANY if many is None else many
    pairs = propose(found, label, many=many)
    if processes > 1 and len(pairs) > PARALLEL:
        made = _verify_apart(found, pairs, processes, not many)
    else:
        made = [same(found[a], found[b], how, (a, b), moving=not many) for a, b, how in pairs]
    best: dict[tuple[int, int], Match] = {}
    for match in made:
        if match is not None:
            known = best.get((match.a, match.b))
            if known is None or match.correlation > known.correlation:
                best[match.a, match.b] = match
    return best


def _match(still: inplace.InPlace, found: list[Features]) -> Match:
    matrix = inplace.matrix(still, found[still.a].preview, found[still.b].preview)
    scale = float(abs(np.linalg.det(matrix[:, :2])) ** 0.5)
    return Match(still.a, still.b, still.correlation, 0, matrix, scale,
                 still.mirrored, still.inverted)  # fmt: skip


def _laid(pair: channels.Laid) -> Match:
    growth = float(np.linalg.det(pair.matrix[:, :2]))
    return Match(pair.a, pair.b, pair.correlation, 0, pair.matrix, abs(growth) ** 0.5,
                 growth < 0, pair.inverted)  # fmt: skip


_SHARED: list[Features] = []


@contextmanager
def _in_place_beside(
    found: list[Features], label: np.ndarray | None
) -> Iterator[Callable[[], list[inplace.InPlace]]]:
    """`inplace.pairs` in a process beside this one; gives a function that waits for them."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)

    def work() -> None:
        there.send(inplace.pairs(found, label))

    def wait() -> list[inplace.InPlace]:
        try:
            return here.recv()
        except EOFError:  # it had an end, of memory for instance; what is wrong shows itself here
            return inplace.pairs(found, label)

    beside = fork.Process(target=work, daemon=True)
    beside.start()
    there.close()
    try:
        yield wait
    finally:
        here.close()
        beside.terminate()
        beside.join()


def _verify(pairs: list[tuple[int, int, int]], moving: bool) -> list[Match | None]:
    return [same(_SHARED[a], _SHARED[b], how, (a, b), moving=moving) for a, b, how in pairs]


def _verify_apart(
    found: list[Features], pairs: list, processes: int, moving: bool
) -> list[Match | None]:
    """The same in forked processes, which share the features without copying them."""
    _SHARED[:] = found
    chunks = [pairs[at : at + 2000] for at in range(0, len(pairs), 2000)]
    try:
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            work = partial(_verify, moving=moving)
            return [match for chunk in pool.imap(work, chunks) for match in chunk]
    finally:
        _SHARED.clear()


def same(
    a: Features, b: Features, form: int, names: tuple[int, int] = (0, 1), *, moving: bool = True
) -> Match | None:
    """Whether two images show the same, `b` read in a form (see `proposals.propose`).

    `moving`: also seek the shift, without keypoints.
    """
    inverted = bool(form & INVERTED)
    narrow = min(*a.preview.shape, *b.preview.shape) <= NARROW

    def match(correlation: float, places: int, matrix: np.ndarray) -> Match:
        scale = float(abs(np.linalg.det(matrix[:, :2])) ** 0.5)
        flags = bool(form & MIRRORED), inverted, not places
        return Match(*names, correlation, places, matrix, scale, *flags)

    near = []
    if (registered := register(a, b, form)) is not None:
        places, matrix = registered
        coarse, fine, share = agreement(a, b, matrix, inverted)
        if not narrow and enough(places, coarse, fine, share):
            return match(min(coarse, fine), places, matrix)
        if fine > WORTH and share > SHARE:
            # A few keypoints say roughly how one lies on the other
            matrix = aligned(a, b, matrix, inverted)
            coarse, fine, share = agreement(a, b, matrix, inverted)
            if strips.is_strip(a.preview) or strips.is_strip(b.preview):
                alike = strips.agreement(a, b, matrix, inverted) > strips.COPIES
            else:
                alike = enough(places, coarse, fine, share)
                alike &= not narrow or min(coarse, fine) > NARROW_NEEDS
            if alike:
                return match(min(coarse, fine), places, matrix)
            near.append(matrix)
    if narrow:
        return None
    for matrix in near:
        value, good = moved.copies(a, b, matrix, inverted)
        if good:
            return match(value, 0, matrix)
    if moving and not form & MIRRORED:
        for matrix in moved.shifts(a, b, inverted):
            value, good = moved.copies(a, b, matrix, inverted)
            if not good and value > WORTH_MOVED:
                matrix = aligned(a, b, matrix, inverted)
                value, good = moved.copies(a, b, matrix, inverted)
            if good:
                return match(value, 0, matrix)
    return None


def enough(places: int, coarse: float, fine: float, share: float) -> bool:
    """Whether the evidence is that of one specimen; set on real images, benchmarks/leakage.

    The fewer keypoints agree, the better must the pictures: a handful of blobs on an empty ground
    fits another handful somewhere.
    """
    if share < SHARE or coarse < 0.55:
        return False
    return fine > NEEDED.get(places, 0.45)


def register(a: Features, b: Features, form: int) -> tuple[int, np.ndarray] | None:
    """Places that agree, and the transform from x, y of `a` to `b`; None when there is none.

    Each pair of like keypoints proposes a transform by its two frames; the one that most pairs
    agree on is refined by least squares.
    """
    if len(a.points) < 3 or len(b.points) < 3:
        return None
    one, two = _unit(a.descriptors)[:, FORMS[form]], _unit(b.descriptors)
    # Not `@`: its threads cost ten times as much when cores are busy
    likeness = cv2.gemm(np.ascontiguousarray(one), two, 1, None, 0, flags=cv2.GEMM_2_T)
    rows, best = np.arange(len(likeness)), []
    for _ in range(2):
        like = likeness.argmax(1)
        best.append((like, likeness[rows, like]))
        likeness[rows, like] = -1
    i = np.repeat(rows, 2)
    j, value = (np.stack(pair, 1).ravel() for pair in zip(*best, strict=True))
    order = np.argsort(-value, kind="stable")[:CANDIDATES]
    order = order[value[order] > ALIKE]
    if order.size < 3:
        return None
    i, j, value = i[order], j[order], value[order]
    mirrored = form & MIRRORED
    p, f = a.points[i], a.frames[i]
    if mirrored:
        p, f = p.conj(), f.conj()
    q = b.points[j]
    turn = b.frames[j] / f * (-1 if form & INVERTED else 1)  # q = turn p + move
    move = q - turn * p
    log, angle = np.log2(np.abs(turn)), np.angle(turn)

    def agreeing(m, c, tolerance):
        near = np.abs(m * p + c - q) < tolerance * SLACK * np.maximum(1, np.abs(m))
        near &= np.abs(log - np.log2(np.abs(m))) < 0.6
        return near & (np.cos(angle - np.angle(m)) > 0.88)

    votes = agreeing(turn[:, None], move[:, None], 2.0)
    inside = votes[int((votes @ value).argmax())]
    m = c = 0j
    for tolerance in (1.5, 1.0):
        source, target = p[inside], q[inside]
        if source.size < 2:
            return None
        spread = source - source.mean()
        energy = float((spread.conj() @ spread).real)
        if energy < 30:
            return None
        m = complex(spread.conj() @ (target - target.mean())) / energy
        c = complex(target.mean()) - m * complex(source.mean())
        if not 1 / LARGEST < abs(m) < LARGEST:
            return None
        inside = agreeing(m, c, tolerance)
    places = len({(round(z.real / CELL), round(z.imag / CELL)) for z in p[inside].tolist()})
    if places < 3:
        return None
    sign = -1 if mirrored else 1
    matrix = [[m.real, -sign * m.imag, c.real], [m.imag, sign * m.real, c.imag]]
    return places, np.array(matrix, np.float32)


def aligned(a: Features, b: Features, matrix: np.ndarray, inverted: bool) -> np.ndarray:
    """The affine transform near `matrix` under which evened previews correlate best (Evangelidis
    and Psarakis 2008, doi:10.1109/TPAMI.2008.113); `matrix` where none is found."""
    other = 255 - b.evened if inverted else b.evened
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-4)
    try:
        # OpenCV writes into the matrix that it is given
        return cv2.findTransformECC(
            a.evened, other, matrix.copy(), cv2.MOTION_AFFINE, stop, None, 3
        )[1]
    except cv2.error:
        return matrix


def _unit(descriptors: np.ndarray) -> np.ndarray:
    floats = descriptors.astype(np.float32)
    return floats / np.maximum(np.sqrt(np.einsum("ij,ij->i", floats, floats)), 1e-6)[:, None]


def agreement(
    a: Features, b: Features, matrix: np.ndarray, inverted: bool
) -> tuple[float, float, float]:
    """Correlation of two evened previews and of their detail where they overlap (0 where that can't
    matter any more), and the share of the smaller one that does."""
    shape = a.evened.shape
    warp = {"dsize": shape[::-1], "flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP}
    y = cv2.warpAffine(b.evened, matrix, **warp).astype(np.float32)
    mask = cv2.warpAffine(np.full(b.evened.shape, 255, np.uint8), matrix, **warp) > 253
    area = int(mask.sum())
    growth = abs(float(np.linalg.det(matrix[:, :2])))
    share = area / max(1.0, min(a.evened.size, b.evened.size / max(growth, 1e-6)))
    if area < 400 or share < SHARE:
        return 0.0, 0.0, share
    # What the coarser of the two can show
    sigma = max(1.0, growth**-0.5) if growth < 1 else 1.0
    weight = mask.astype(np.float32)
    fill = max(1, round(sigma))
    inner = cv2.erode(mask.astype(np.uint8), np.ones((2 * fill + 1,) * 2, np.uint8)).astype(bool)
    inner = inner if inner.sum() > 300 else mask
    pair = [image * weight for image in (a.evened.astype(np.float32), y)]

    def smooth(width: float) -> list[np.ndarray]:
        under = np.maximum(cv2.GaussianBlur(weight, (0, 0), width), 1e-3)
        return [cv2.GaussianBlur(image, (0, 0), width) / under for image in pair]

    def correlation(one: np.ndarray, two: np.ndarray) -> float:
        p, q = one[inner], two[inner]
        p, q = p - p.mean(), q - q.mean()
        norm = float(np.sqrt((p @ p) * (q @ q)))
        return (-1 if inverted else 1) * float(p @ q) / norm if norm > 1e-3 else 0.0

    near = smooth(sigma)
    coarse = correlation(*near)
    if coarse < HOPELESS:
        return coarse, 0.0, share
    detail = [f - g for f, g in zip(near, smooth(3 * sigma), strict=True)]
    return coarse, correlation(*detail), share
