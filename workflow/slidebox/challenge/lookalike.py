"""Hidden labels that were edited: rescaled, cropped, thickened, drawn as outlines, one by one.

Three views of a plane. Its objects, each by its exact shape, wherever it lies: those of a crop, of
a montage, of a slice or of one mask an object are the same. Pieces of its outlines (`fragments`),
for crops without whole objects. And the plane reduced to a small picture of its foreground or of
its outlines, which scale and small edits leave nearly the same.

What has gray levels (blurred masks, probabilities, distances, JPEG, the image where the labels are)
is compared with the hidden mask blurred as much, and must be nearer to it than the image itself.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .fragments import Fragments

SIDE = 48  # pixels of the small picture's sides
FEWEST = 5  # objects of a plane that is compared by its small picture
SMALLEST = 50  # pixels of an object whose shape is its own
SHARE = 0.5  # of a plane's objects that are hidden ones
ONE_BY_ONE = 3  # objects by whose shapes alone a hidden image is known
SAME = 0.95  # correlation of small pictures
NARROW = 64  # pixels: what is narrower has no picture
FLAT = 0.6  # of neighbours in the foreground of labels that are equal
MOST = 100_000  # objects of a plane
LARGEST = 1 << 26  # pixels of a plane
SOFT, SOFT_SIDE = 0.98, 160  # correlation of gray levels with a blurred mask; sides they have then
BLURS = (0.0, 0.7, 1.5, 3.0, 5.0)  # pixels of those sides
NEARER = 0.003  # than the hidden truth's own image
STAIN = 0.01  # by which a drawing must be nearer than the stain of that image
GRAY = 4  # difference of the colours of most pixels of a picture without colours


@dataclass(frozen=True)
class Alike:
    """Whose hidden truth a plane looks like, and how."""

    id: str
    what: str


class Lookalikes:
    """Hidden labels by their objects' shapes, pieces of outlines and small pictures."""

    def __init__(self) -> None:
        self.shapes: dict[bytes, set[str]] = {}
        self.sizes: set[tuple[int, int, int]] = set()
        self.fragments = Fragments()
        self.ids: list[str] = []
        self.pictures: list[np.ndarray] = []
        self.aspects: list[float] = []
        self.masks: list[np.ndarray] = []
        self.own: list[float] = []
        self.stains: list[float] = []
        self._matrix: np.ndarray | None = None

    def add(
        self, which: str, planes: Iterable[np.ndarray], images: Iterable[np.ndarray] = (),
        stains: Iterable[np.ndarray] = (),
    ) -> None:  # fmt: skip
        """Hidden labels of one image, as (y, x) planes, some planes of that image, and as masks
        what is coloured in it."""
        images, stains = list(images), [_small(stain) for stain in stains]
        for plane in planes:
            for mask in (plane, plane > 0):
                for size, shape in _shapes(mask):
                    self.sizes.add(size)
                    self.shapes.setdefault(shape, set()).add(which)
            # Where there is no background the outlines are all there is
            full = (plane > 0).mean() > 0.95
            self.fragments.add(which, _edges(plane) if full else plane > 0)
            if min(plane.shape) >= NARROW and len(_boxes(plane)) >= FEWEST:
                for picture in [_edges(plane)] if full else [plane > 0, _edges(plane)]:
                    self.ids.append(which)
                    self.pictures.append(_small(picture))
                    self.stains.append(max(
                        (float(stain @ self.pictures[-1]) for stain in stains), default=0.0
                    ))  # fmt: skip
                    self.aspects.append(plane.shape[1] / plane.shape[0])
                    mask = _reduced(picture, SOFT_SIDE)
                    self.masks.append(np.round(mask * 255).astype(np.uint8))
                    self.own.append(max(
                        (_level(soft, mask) for image in images for soft in _softs(image)),
                        default=0.0,
                    ))  # fmt: skip
        self._matrix = None

    def __bool__(self) -> bool:
        return bool(self.shapes or self.pictures)

    def may_show(self, planes: Iterable[np.ndarray]) -> bool:
        """Whether planes are worth a look: like labels, or like a mask in gray levels."""
        for plane in planes:
            if is_flat(plane):
                return True
            if plane.size <= LARGEST and any(self._soft(s) for s in _softs(plane)):
                return True
        return False

    def find(
        self, planes: Iterable[np.ndarray], beside: Counter[str] | None = None,
        coloured: bool = False,
    ) -> Alike | None:  # fmt: skip
        """The hidden truth that (y, x) planes show; None for images that aren't like labels.

        Shapes are counted over all planes, so that a mask an object or a slice each is found too;
        `beside` counts them over the files of a folder that have nothing else. `coloured`: the
        planes are what `drawn` gave, which may be the stain of the image itself.
        """
        hits: Counter[str] = Counter()
        seen = 0
        for plane in planes:
            if plane.size > LARGEST:
                continue
            for number, form in enumerate(_forms(plane)):
                mine, count = self._count(form)
                hits += mine
                seen += count
                if found := self._picture(form, coloured) or self._fragment(form):
                    return found
                for which in mine if beside is not None and number == 0 else ():
                    beside[which] += count if mine[which] >= count else 0
                    if beside[which] >= ONE_BY_ONE:
                        return Alike(which, "and others beside it have the objects one by one of")
            if not is_flat(plane):
                for soft in _softs(plane):
                    if found := self._soft(soft):
                        return found
        for which, count in hits.most_common(1):
            if count >= ONE_BY_ONE and count >= SHARE * seen:
                return Alike(which, f"has {count} of the objects of")
        return None

    def _count(self, form: np.ndarray) -> tuple[Counter[str], int]:
        """Objects of a plane of labels that are a hidden truth's, and how many it has."""
        alone = {shape or size for size, shape in _shapes(form, self.sizes)}
        listed = alone
        if form.max() > 1:
            listed = alone | {shape or size for size, shape in _shapes(form > 0, self.sizes)}
        mine = Counter(w for shape in listed for w in self.shapes.get(shape, ()))
        return mine, min(len(alone), len(listed))

    def _fragment(self, form: np.ndarray) -> Alike | None:
        full = (form > 0).mean() > 0.95
        found = self.fragments.find(_edges(form) if full else form > 0)
        return found and Alike(found[0], f"shows a part ({found[1]} pieces of outlines) of")

    def _picture(self, plane: np.ndarray, coloured: bool) -> Alike | None:
        if not self.pictures or min(plane.shape) < NARROW // 4:
            return None
        if len(_boxes(plane)) < FEWEST and ndimage.label(plane > 0)[1] < FEWEST:
            return None
        top, at, _ = max(self._best(plane > 0), self._best(_edges(plane)))
        if top < (max(SAME, self.stains[at] + STAIN) if coloured else SAME):
            return None
        return Alike(self.ids[at], f"shows nearly the same (correlation {top:.2f}) as")

    def _best(self, mask: np.ndarray) -> tuple[float, int, int]:
        """(correlation, which, turn) of the small picture that a mask is most like."""
        if self._matrix is None:
            self._matrix = np.stack(self.pictures)
            self._aspects = np.array(self.aspects)
        aspect = mask.shape[1] / mask.shape[0]
        small = _small(mask)
        top = (0.0, -1, 0)
        for turn in range(8):
            fits = np.flatnonzero(
                np.abs((1 / aspect if turn % 2 else aspect) / self._aspects - 1) < 0.03
            )
            if fits.size:
                turned = _turn(small.reshape(SIDE, SIDE), turn)
                found = self._matrix[fits] @ turned.ravel()
                at = int(found.argmax())
                top = max(top, (float(found[at]), int(fits[at]), turn))
        return top

    def _soft(self, soft: np.ndarray) -> Alike | None:
        """A hidden mask that gray levels from 0 to 1 are like, more than those of its image."""
        if not self.pictures or min(soft.shape) < NARROW:
            return None
        mask = soft > 0.5
        top, at, turn = max(self._best(mask), self._best(~mask))
        if top < SAME - 0.05:
            return None
        level = _level(_turn(_reduced(soft, SOFT_SIDE), turn), self.masks[at] / 255.0)
        if level < max(SOFT, self.own[at] + NEARER):
            return None
        return Alike(self.ids[at], f"shows in gray levels (correlation {level:.3f})")


def _turn(picture: np.ndarray, turn: int) -> np.ndarray:
    return np.rot90(picture[:, :: -1 if turn > 3 else 1], turn % 4)


def _softs(plane: np.ndarray) -> Iterator[np.ndarray]:
    """Gray levels as parts from 0 to 1: as they are; what isn't the ground; what is brightest."""
    if plane.ndim != 2 or min(plane.shape) < NARROW or plane.dtype.kind not in "uif":
        return
    plane = np.nan_to_num(plane.astype(np.float32))
    low, high = np.percentile(plane, [1, 99])
    if high <= low:
        low, high = float(plane.min()), float(plane.max())
    if high <= low:
        return
    yield np.clip((plane - low) / (high - low), 0, 1)
    border = np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])
    ground = float(np.median(border))
    if 0.05 <= (plane == ground).mean() <= 0.97:
        yield (plane != ground).astype(np.float32)
    near = np.abs(plane - ground) <= 0.1 * (high - low)
    if 0.05 <= near.mean() <= 0.97:
        yield (~near).astype(np.float32)
    top = plane == plane.max()
    if 0.002 <= top.mean() <= 0.5:
        yield top.astype(np.float32)


def _level(soft: np.ndarray, mask: np.ndarray) -> float:
    """Correlation of gray levels with a mask as blurred as fits best."""
    soft = soft if soft.shape == mask.shape else _reduced(soft, SOFT_SIDE)
    best = 0.0
    for blur in BLURS:
        blurred = ndimage.gaussian_filter(mask, blur) if blur else mask
        found = np.corrcoef(blurred.ravel(), soft.ravel())[0, 1] if np.ptp(blurred) else 0.0
        best = max(best, abs(float(found)))
    return best


def _forms(plane: np.ndarray) -> Iterator[np.ndarray]:
    """A plane that is like labels as numbers from 0; of a mask its negative too."""
    if is_flat(plane):
        plane = _integers(plane)
        yield plane
        if plane.max() == 1:
            yield 1 - plane


def is_flat(plane: np.ndarray) -> bool:
    """Whether a plane is made of areas of one value each, as labels and drawings are."""
    if plane.ndim != 2 or min(plane.shape) < 8:
        return False
    low = plane.min()
    if low == plane.max():
        return False
    values = np.unique(plane[:: max(1, plane.shape[0] // 64)])
    if values.size <= 3:
        return True  # a mask, a drawing
    inside = (plane[:, 1:] != low) & (plane[:, :-1] != low)
    count = int(inside.sum())
    same = int(((plane[:, 1:] == plane[:, :-1]) & inside).sum())
    return count > 0 and same >= FLAT * count


def _integers(plane: np.ndarray) -> np.ndarray:
    """The same areas as whole numbers from 0, 0 what there is most of at the image's border."""
    border = np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])
    values, counts = np.unique(border, return_counts=True)
    ground = plane.dtype.type(0) if (plane == 0).any() else values[counts.argmax()]
    numbers, at = np.unique(plane, return_inverse=True)
    where = int(np.searchsorted(numbers, ground))
    renumbered = np.arange(numbers.size, dtype=np.int32) + 1
    renumbered[where:] -= 1
    renumbered[where] = 0
    return renumbered[at.reshape(plane.shape)]


def centres(plane: np.ndarray) -> np.ndarray:
    """(N, 2) y, x of the middle of each object of a flat plane, or of each part of a mask."""
    plane = _integers(plane)
    plane = ndimage.label(plane, np.ones((3, 3)))[0] if plane.max(initial=0) == 1 else plane
    flat = plane.ravel()
    counts = np.bincount(flat)
    sums = [np.bincount(flat, np.broadcast_to(at, plane.shape).ravel()) for at in (
        np.arange(plane.shape[0])[:, None], np.arange(plane.shape[1])[None])]  # fmt: skip
    there = np.flatnonzero(counts)[1:][:MOST] if counts[0] else np.flatnonzero(counts)[:MOST]
    return np.stack([s[there] / counts[there] for s in sums], 1)


def _boxes(plane: np.ndarray) -> list[tuple[int, tuple[slice, slice]]]:
    """(number, box) of each object."""
    if plane.dtype == bool:
        plane = ndimage.label(plane)[0]
    elif int(plane.max(initial=0)) > MOST:
        plane = _integers(plane)
    found = ndimage.find_objects(plane.astype(np.int32, copy=False))
    return [(n, box) for n, box in enumerate(found, 1) if box is not None][:MOST]


def _shapes(
    plane: np.ndarray, known: set | None = None
) -> Iterator[tuple[tuple[int, int, int], bytes | None]]:
    """(size, digest) of each object's shape, the same for all turns; those at the border are cut.

    The digest is None when no `known` one has that size: sides of the box and pixels.
    """
    if plane.dtype == bool:
        plane = ndimage.label(plane)[0]
    elif int(plane.max(initial=0)) > MOST:
        plane = _integers(plane)
    height, width = plane.shape
    for number, (ys, xs) in _boxes(plane):
        if ys.start == 0 or xs.start == 0 or ys.stop == height or xs.stop == width:
            continue
        mask = plane[ys, xs] == number
        count = int(np.count_nonzero(mask))
        if count < SMALLEST or count == mask.size:
            continue
        size = (min(mask.shape), max(mask.shape), count)
        if known is not None and size not in known:
            yield size, None
            continue
        poses = [np.rot90(m, k) for m in (mask, mask[:, ::-1]) for k in range(4)]
        yield size, min(_digest(pose) for pose in poses)


def _digest(mask: np.ndarray) -> bytes:
    return hashlib.sha256(repr(mask.shape).encode() + np.packbits(mask).tobytes()).digest()[:16]


def _edges(plane: np.ndarray) -> np.ndarray:
    """Where an object's pixels have a neighbour that isn't of it."""
    out = np.zeros(plane.shape, bool)
    down, right = plane[1:] != plane[:-1], plane[:, 1:] != plane[:, :-1]
    out[1:] |= down
    out[:-1] |= down
    out[:, 1:] |= right
    out[:, :-1] |= right
    return out


def _small(mask: np.ndarray) -> np.ndarray:
    """A mask as a small square picture of length 1."""
    picture = ndimage.gaussian_filter(_reduced(mask, SIDE), 0.7)
    # Rows and columns without their means: what lies in a narrow strip lies alike in every strip
    picture = picture - picture.mean(0) - picture.mean(1)[:, None] + picture.mean()
    picture = picture.ravel()
    length = float(np.sqrt((picture**2).sum()))
    return (picture / length if length else picture).astype(np.float32)


def _reduced(picture: np.ndarray, side: int) -> np.ndarray:
    """Means over the boxes of a square grid."""
    import cv2

    kind = np.uint8 if picture.dtype == bool else np.float32
    picture = np.ascontiguousarray(picture, kind)
    if kind is np.uint8:
        picture = picture * np.uint8(255)
        return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) / np.float32(255)
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def drawn(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray | None:
    """What is drawn in colour over a picture without colours, as a mask; None if there is none.

    The coloured parts of stained tissue on a white ground are one too.
    """
    colours = np.stack([red, green, blue]).astype(np.int32)
    differ = np.ptp(colours, axis=0)
    for least in (0, 64):  # JPEG gives everything a little colour
        mask = differ > least
        if 0 < mask.mean() < 0.3:
            return mask if np.median(differ[~mask]) <= GRAY else None
    return None
