"""Predictions that fit the truth far better with y and x exchanged.

A square image's shape doesn't show that its axes were exchanged, its objects do. It is said, never
mended.
"""

from __future__ import annotations

import numpy as np

from ..findings import Finding
from .release import Item

POOR, FITS = 0.5, 0.5  # Dice of the foregrounds as they are, and at least with axes exchanged
TWICE = 2.0


def looks_transposed(item: Item, truth: object, pred: object, file: str) -> list[Finding]:
    """A warning where the foregrounds' Dice is poor, and over 1/2 and twice as large transposed.

    `truth` and `pred` are label arrays of the item's shape; what stays in its file isn't looked at,
    nor are images that aren't square in y and x.
    """
    if not (isinstance(truth, np.ndarray) and isinstance(pred, np.ndarray)):
        return []
    if truth.shape != pred.shape or not {"y", "x"} <= set(item.axes):
        return []
    y, x = item.axes.index("y"), item.axes.index("x")
    if truth.shape[y] != truth.shape[x]:
        return []
    a, b = truth != 0, pred != 0
    total = np.count_nonzero(a) + np.count_nonzero(b)
    if not total or (as_is := 2 * np.count_nonzero(a & b) / total) >= POOR:
        return []
    turned = 2 * np.count_nonzero(a & b.swapaxes(y, x)) / total
    if turned < FITS or turned < TWICE * as_is:
        return []
    return [
        Finding("TRANSPOSED_LOOKS_BETTER", "warning",
                f"overlaps the truth far better with y and x exchanged (Dice {turned:.2f} instead "
                f"of {as_is:.2f}); it is scored as it is", file,
                mend=f"write the axes in the order {item.axes}, if they are exchanged")
    ]  # fmt: skip
