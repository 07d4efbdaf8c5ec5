"""Hidden labels that were edited: rescaled, cropped, thickened, drawn as outlines, one by one.

Two views of a plane. Its objects, each by its exact shape, wherever it lies: those of a crop, of a
montage, of a slice or of one mask an object are the same. And the plane reduced to a small picture
of its foreground or of its outlines, which scale and small edits leave nearly the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

SIDE = 48  # pixels of the small picture's sides
FEWEST = 5  # objects of a plane that is compared by its small picture
SMALLEST = 50  # pixels of an object whose shape is its own
SHARE = 0.5  # of a plane's objects that are hidden ones
SAME = 0.95  # correlation of small pictures
NARROW = 64  # pixels: what is narrower has no picture
FLAT = 0.6  # of neighbours in the foreground of labels that are equal
MOST = 100_000  # objects of a plane
LARGEST = 1 << 26  # pixels of a plane


@dataclass(frozen=True)
class Alike:
    """Whose hidden truth a plane looks like, and how."""

    id: str
    what: str


class Lookalikes:
    """Hidden labels by their objects' shapes and small pictures."""

    def __init__(self) -> None:
        self.shapes: dict[bytes, set[str]] = {}
        self.ids: list[str] = []
        self.pictures: list[np.ndarray] = []
        self.aspects: list[float] = []
        self._matrix: np.ndarray | None = None

    def add(self, which: str, planes: Iterable[np.ndarray]) -> None:
        """Hidden labels of one image, as (y, x) planes."""
        for plane in planes:
            for mask in (plane, plane > 0):
                for shape in set(_shapes(mask)):
                    self.shapes.setdefault(shape, set()).add(which)
            if min(plane.shape) >= NARROW and len(_boxes(plane)) >= FEWEST:
                # Where there is no background the outlines are all there is
                full = (plane > 0).mean() > 0.95
                for picture in [_edges(plane)] if full else [plane > 0, _edges(plane)]:
                    self.ids.append(which)
                    self.pictures.append(_small(picture))
                    self.aspects.append(plane.shape[1] / plane.shape[0])
        self._matrix = None

    def __bool__(self) -> bool:
        return bool(self.shapes or self.pictures)

    def find(self, planes: Iterable[np.ndarray]) -> Alike | None:
        """The hidden truth that (y, x) planes show; None for images that aren't like labels.

        Shapes are counted over all planes, so that a mask an object or a slice each is found too.
        """
        hits: Counter[str] = Counter()
        seen = 0
        for plane in _forms(planes):
            listed = set(_shapes(plane)) | set(_shapes(plane > 0))
            mine = Counter(w for shape in listed for w in self.shapes.get(shape, ()))
            hits += mine
            seen += min(len(set(_shapes(plane))), len(listed))
            if found := self._picture(plane):
                return found
        for which, count in hits.most_common(1):
            if count >= 3 and count >= SHARE * seen:
                return Alike(which, f"has {count} of the objects of")
        return None

    def _picture(self, plane: np.ndarray) -> Alike | None:
        if not self.pictures or min(plane.shape) < NARROW // 4:
            return None
        if len(_boxes(plane)) < FEWEST and ndimage.label(plane > 0)[1] < FEWEST:
            return None
        if self._matrix is None:
            self._matrix = np.stack(self.pictures)
        aspect = plane.shape[1] / plane.shape[0]
        known = np.array(self.aspects)
        top = (0.0, -1)
        for picture in (plane > 0, _edges(plane)):
            small = _small(picture)
            for turn in range(8):
                turned = np.rot90(small.reshape(SIDE, SIDE)[:, :: -1 if turn > 3 else 1], turn % 4)
                fits = np.abs((1 / aspect if turn % 2 else aspect) / known - 1) < 0.03
                if fits.any():
                    found = np.where(fits, self._matrix @ turned.ravel(), 0)
                    at = int(found.argmax())
                    top = max(top, (float(found[at]), at))
        if top[0] < SAME:
            return None
        return Alike(self.ids[top[1]], f"shows nearly the same (correlation {top[0]:.2f}) as")


def _forms(planes: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Planes that are like labels, as numbers from 0; of a mask its negative too."""
    for plane in planes:
        if plane.size > LARGEST or not is_flat(plane):
            continue
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


def _boxes(plane: np.ndarray) -> list[tuple[int, tuple[slice, slice]]]:
    """(number, box) of each object."""
    if plane.dtype == bool:
        plane = ndimage.label(plane)[0]
    elif int(plane.max(initial=0)) > MOST:
        plane = _integers(plane)
    found = ndimage.find_objects(plane.astype(np.int32, copy=False))
    return [(n, box) for n, box in enumerate(found, 1) if box is not None][:MOST]


def _shapes(plane: np.ndarray) -> Iterator[bytes]:
    """A digest of each object's shape, the same for all turns; those at the border are cut."""
    if plane.dtype == bool:
        plane = ndimage.label(plane)[0]
    elif int(plane.max(initial=0)) > MOST:
        plane = _integers(plane)
    height, width = plane.shape
    for number, (ys, xs) in _boxes(plane):
        if ys.start == 0 or xs.start == 0 or ys.stop == height or xs.stop == width:
            continue
        mask = plane[ys, xs] == number
        if np.count_nonzero(mask) >= SMALLEST and not mask.all():
            yield min(
                hashlib.sha256(repr(m.shape).encode() + np.packbits(m).tobytes()).digest()[:16]
                for turned in (mask, mask[:, ::-1])
                for m in (np.rot90(turned, k) for k in range(4))
            )


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
    table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    table[1:, 1:] = mask.astype(np.float64).cumsum(0).cumsum(1)
    ys, xs = (np.linspace(0, n, SIDE + 1) for n in mask.shape)
    # The sum over a fractional box, from the sums up to its corners
    rows = _between(table, ys)
    cells = _between(rows.T, xs).T
    picture = np.diff(np.diff(cells, axis=0), axis=1)
    picture = ndimage.gaussian_filter(picture, 0.7)
    # Rows and columns without their means: what lies in a narrow strip lies alike in every strip
    picture = picture - picture.mean(0) - picture.mean(1)[:, None] + picture.mean()
    picture = picture.ravel()
    length = float(np.sqrt((picture**2).sum()))
    return (picture / length if length else picture).astype(np.float32)


def _between(table: np.ndarray, at: np.ndarray) -> np.ndarray:
    low = np.minimum(at.astype(int), table.shape[0] - 2)
    part = (at - low)[:, None]
    return table[low] * (1 - part) + table[low + 1] * part


def drawn(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray | None:
    """What is drawn in colour over a picture without colours, as a mask; None if there is none."""
    coloured = (red != green) | (green != blue)
    return coloured if 0 < coloured.mean() < 0.3 else None
