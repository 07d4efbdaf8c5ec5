"""Halving: the mean of 2 x 2 (x 2) pixels for images, the commonest value for labels.

Blocks are (samples, rows, columns). An odd last row, column or plane counts as it is: what stands
at
an edge is the mean of the pixels that exist there.
"""

from __future__ import annotations

import numpy as np

_WIDE = {
    "b1": "u1",
    "u1": "u2",
    "i1": "i2",
    "u2": "u4",
    "i2": "i4",
    "u4": "u8",
    "i4": "i8",
    "f2": "f4",
    "f4": "f4",
    "f8": "f8",
    "c8": "c8",
    "c16": "c16",
}
_BLOCK = 1 << 18  # bytes at a time, so that the wide sums stay in the cache


class Mean:
    """Mean of the pixels under one pixel of the next level; integers are rounded half up."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = np.dtype(dtype)
        self.wide = np.dtype(_WIDE.get(self.dtype.str[1:], "f8"))

    def plane(self, block: np.ndarray, halve_y: bool, halve_x: bool) -> np.ndarray:
        """Halve a block within its plane."""
        samples, rows, columns = block.shape
        out = np.empty(
            (samples, -(-rows // 2) if halve_y else rows, -(-columns // 2) if halve_x else columns),
            self.dtype,
        )
        step = max(1, _BLOCK // (2 * columns * self.dtype.itemsize)) * 2
        for s in range(samples):
            for row in range(0, rows, step):
                part = block[s, row : row + step]
                total, n = self._sum(part, halve_y, halve_x)
                at = row // 2 if halve_y else row
                out[s, at : at + total.shape[0]] = self._divide(total, n)
        return out

    def begin(self, block: np.ndarray, halve_y: bool, halve_x: bool) -> tuple[np.ndarray, int]:
        """The sums of the first of two planes, to be finished with ``end``."""
        sums = [self._sum(part, halve_y, halve_x) for part in block]
        return np.stack([s for s, _ in sums]), sums[0][1]

    def end(
        self, begun: tuple[np.ndarray, int], block: np.ndarray | None, halve_y: bool, halve_x: bool
    ) -> np.ndarray:
        """The mean over both planes; over the first alone when there is no second."""
        total, n = begun
        if block is not None:
            second, _ = self.begin(block, halve_y, halve_x)
            total = total + second
            n *= 2
        return self._divide(total, n)

    def _sum(self, part: np.ndarray, halve_y: bool, halve_x: bool) -> tuple[np.ndarray, int]:
        n = 1
        if halve_x and self._paired(part):
            return self._sum_pairs(part, halve_y)
        if self.dtype.itemsize == 8 and self.dtype.kind in "iu":
            part = part.astype("f8")  # no wider integer: 53 bits are kept
        if halve_y:
            if part.shape[0] % 2:
                part = np.concatenate([part, part[-1:]])
            part = np.add(part[0::2], part[1::2], dtype=self.wide)
            n *= 2
        else:
            part = part.astype(self.wide)
        if halve_x:
            if part.shape[1] % 2:
                part = np.concatenate([part, part[:, -1:]], axis=1)
            part = part[:, 0::2] + part[:, 1::2]
            n *= 2
        return part, n

    def _paired(self, part: np.ndarray) -> bool:
        """Whether two neighbours in x can be taken as one number of twice the width."""
        return (
            self.dtype.kind == "u"
            and self.dtype.itemsize <= 2
            and part.shape[1] % 2 == 0
            and part.strides[1] == self.dtype.itemsize
        )

    def _sum_pairs(self, part: np.ndarray, halve_y: bool) -> tuple[np.ndarray, int]:
        """The sums in x first: over whole numbers of twice the width, side by side in memory, they
        take a third of the time that steps of two do.
        """
        bits = 8 * self.dtype.itemsize
        pairs = part.view(self.wide)
        total = pairs >> bits
        total += pairs & ((1 << bits) - 1)
        if not halve_y:
            return total, 2
        if total.shape[0] % 2:
            total = np.concatenate([total, total[-1:]])
        return total[0::2] + total[1::2], 4

    def _divide(self, total: np.ndarray, n: int) -> np.ndarray:
        if n == 1:
            return total.astype(self.dtype)
        if self.dtype.kind in "iu" and self.dtype.itemsize < 8:
            # in place: the sums aren't used again
            total += n // 2
            total >>= n.bit_length() - 1
            return total.astype(self.dtype)
        if self.dtype.kind == "b":
            return total * 2 >= n
        if self.dtype.kind in "iu":
            return np.floor(total / n + 0.5).astype(self.dtype)
        total *= self.wide.type(1 / n)
        return total.astype(self.dtype)


class Mode:
    """The commonest value under one pixel of the next level; of equals the first in z, y, x
    order.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = np.dtype(dtype)

    def plane(self, block: np.ndarray, halve_y: bool, halve_x: bool) -> np.ndarray:
        return _commonest(self._corners(block, halve_y, halve_x))

    def begin(self, block, halve_y: bool, halve_x: bool):
        return [c.copy() for c in self._corners(block, halve_y, halve_x)]

    def end(self, begun, block, halve_y: bool, halve_x: bool) -> np.ndarray:
        more = [] if block is None else self._corners(block, halve_y, halve_x)
        return _commonest([*begun, *more])

    @staticmethod
    def _corners(block: np.ndarray, halve_y: bool, halve_x: bool) -> list[np.ndarray]:
        if halve_y and block.shape[1] % 2:
            block = np.concatenate([block, block[:, -1:]], axis=1)
        if halve_x and block.shape[2] % 2:
            block = np.concatenate([block, block[:, :, -1:]], axis=2)
        rows = [block[:, 0::2], block[:, 1::2]] if halve_y else [block]
        return [r[:, :, x::2] for r in rows for x in range(2)] if halve_x else rows


def _commonest(values: list[np.ndarray]) -> np.ndarray:
    best = values[0].copy()
    if len(values) < 3:
        return best
    votes = np.zeros(best.shape, np.uint8)
    for value in values:
        here = np.zeros(best.shape, np.uint8)
        for other in values:
            here += value == other
        better = here > votes
        best[better] = value[better]
        votes[better] = here[better]
    return best
