"""Pieces of hidden outlines, by which a crop is known that has no whole object.

Some pixels of an outline are chosen by what lies around them, so the same ones in a crop as in the
whole; a window around each is a key. Several keys of one plane that lie as they do in a hidden one,
and not all beside each other, are a piece of it.
"""

from __future__ import annotations

import numpy as np

CHOICE, WINDOW = 7, 17  # pixels of the sides by which a pixel is chosen and that are its key
ONE_OF = 2  # of how many pixels of an outline one is chosen
ENOUGH, SPAN = 8, 28  # keys that lie alike, and pixels between the outermost of them
COMMON = 20  # places of a key that says nothing
MOST = 1 << 22  # pixels of outlines in a plane

_random = np.random.default_rng(20240229)
_CHOOSE = _random.integers(1, 1 << 63, CHOICE**2, dtype=np.uint64) | np.uint64(1)
_KEY = _random.integers(1, 1 << 63, WINDOW**2, dtype=np.uint64) | np.uint64(1)


def keys(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(keys (N,), their places (N, 2) y, x) of a (y, x) mask."""
    none = np.zeros(0, np.uint64), np.zeros((0, 2), np.int64)
    half = WINDOW // 2
    if min(mask.shape) <= WINDOW:
        return none
    inner = mask[1:-1, 1:-1]
    edge = np.zeros_like(mask)
    edge[1:-1, 1:-1] = inner & ~(
        mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    )
    edge[:half] = edge[-half:] = False
    edge[:, :half] = edge[:, -half:] = False
    places = np.argwhere(edge)[:MOST]
    if not len(places):
        return none
    chosen, _ = _codes(mask, places, CHOICE, _CHOOSE)
    places = places[(chosen >> np.uint64(40)) % np.uint64(ONE_OF) == 0]
    if not len(places):
        return none
    found, bent = _codes(mask, places, WINDOW, _KEY)
    return found[bent], places[bent]


def _codes(
    mask: np.ndarray, places: np.ndarray, side: int, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A number for what a mask shows around each place, and whether that isn't a straight line
    along an axis, which is everywhere."""
    view = np.lib.stride_tricks.sliding_window_view(mask, (side, side))
    found, bent = [], []
    for part in np.array_split(places - side // 2, 1 + len(places) * side * side // (1 << 22)):
        windows = view[part[:, 0], part[:, 1]]
        found.append(windows.reshape(len(part), side * side) @ weights)
        bent.append((windows != windows[:, :1]).any((1, 2))
                    & (windows != windows[:, :, :1]).any((1, 2)))  # fmt: skip
    return np.concatenate(found), np.concatenate(bent)


class Fragments:
    """Keys of hidden planes in all right-angled poses."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._table: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def add(self, which: str, mask: np.ndarray) -> None:
        for turn in range(8):
            turned = np.rot90(mask[:, :: -1 if turn > 3 else 1], turn % 4)
            found, places = keys(np.ascontiguousarray(turned))
            owner = np.full(len(found), len(self._ids), np.int32)
            self._parts.append((found, owner, places.astype(np.int32)))
            self._ids.append(which)
        self._table = None

    def find(self, mask: np.ndarray) -> tuple[str, int] | None:
        """(whose, how many keys) of the hidden plane of which a mask shows a piece."""
        if not self._parts:
            return None
        if self._table is None:
            found, owner, places = (np.concatenate(p) for p in zip(*self._parts, strict=True))
            order = np.argsort(found, kind="stable")
            self._table = found[order], owner[order], places[order]
        known, owner, places = self._table
        mine, at = keys(mask)
        low, high = (np.searchsorted(known, mine, side) for side in ("left", "right"))
        counts = np.where(high - low <= COMMON, high - low, 0)
        if counts.sum() < ENOUGH:
            return None
        asked = np.repeat(np.arange(len(mine)), counts)
        # Ranges low..high, one after the other
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        hit = np.repeat(low, counts) + within
        lies = np.column_stack([owner[hit], places[hit] - at[asked]])
        _, where, number = np.unique(lies, axis=0, return_inverse=True, return_counts=True)
        for vote in np.argsort(-number)[:3]:
            if number[vote] < ENOUGH:
                break
            together = at[asked[where.ravel() == vote]]
            if np.hypot(*np.ptp(together, axis=0)) >= SPAN:
                return self._ids[int(lies[where.ravel() == vote][0, 0])], int(number[vote])
        return None
