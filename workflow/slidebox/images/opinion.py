"""A second opinion: the same planes by another library, compared. Two readers rarely err alike.

micro-reader shares no code with tifffile, czifile, nd2, liffile and the others that read for us.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..findings import Finding
from .model import ImageFile, Series, UnreadableImage
from .opening import open_image

# Formats that both libraries read, each in its own way.
_TIFFS = ("ome-tiff", "tiff", "lsm", "stk", "svs", "ndpi", "scn", "qptiff")
_OTHERS = ("czi", "nd2", "lif", "oib", "oif", "oir", "ims", "png", "dv", "mrc")
COMPARABLE = frozenset((*_TIFFS, *_OTHERS))
# Files of these count rows from the bottom; who turns them around isn't wrong.
TURNED = frozenset(("dv", "mrc"))
# Slides are compressed with loss, and decoders may round differently: so many grey values in the
# mean are no disagreement.
LOSSY = frozenset(("svs", "ndpi", "scn", "qptiff"))
ROUNDING = 1.0
_ROWS = 256
_WHOLE = 64 << 20  # larger planes that can't be read in part aren't read again
_SERIES = 32  # of a file with more, so many are looked at


def second_opinion(
    source: Path | str | ImageFile, planes: int = 3, series: int | None = None
) -> list[Finding]:
    """Compare rows of a few planes of each series (or of one) with another library's reading.

    At most ``planes`` planes a series (the first, the last and some between), 256 rows of each; of
    a file with many series, 32 of them. An empty list means agreement, or that no second reader
    knows the file. Code: READERS_DISAGREE, with ``field`` the series (``series 3``).
    """
    if isinstance(source, ImageFile):
        return _opinion(source, planes, series)
    try:
        with open_image(source) as file:
            return _opinion(file, planes, series)
    except UnreadableImage:
        return []  # what can't be read is said elsewhere


def _opinion(file: ImageFile, planes: int, series: int | None) -> list[Finding]:
    if file.format not in COMPARABLE or file.reader == "micro-reader":
        return []
    findings: list[Finding] = []
    try:
        from .readers import micro

        with micro.open_file(Path(file.path), file.format) as theirs:
            mine = [s for s in file.series if s.role != "thumbnail"]
            if len(mine) != len(theirs.series):
                return []
            pairs = [
                (one, other)
                for one, other in zip(mine, theirs.series, strict=True)
                if series in (None, one.index) and one.axes == other.axes
            ]
            for one, other in pairs[:: -(-len(pairs) // _SERIES) or 1]:
                found = _compare(one, other, file, planes)
                findings += [found] if found else []
    except Exception:  # the other library may know less of the variant than the first
        return findings
    return findings


def _compare(one: Series, other: Series, file: ImageFile, planes: int) -> Finding | None:
    whole = one.size("y") * one.size("x") * one.dtype.itemsize * one.samples
    if one.shape != other.shape or (one.rows is None and whole > _WHOLE):
        return None
    count = int(np.prod(one.shape[:-2], dtype=object))
    picks = sorted({round(n * (count - 1) / max(1, planes - 1)) for n in range(planes)})
    height = one.size("y")
    y0 = max(0, (height - _ROWS) // 2)
    y1 = min(height, y0 + _ROWS)
    for pick in picks:
        index = tuple(int(i) for i in np.unravel_index(pick, one.shape[:-2])) if count > 1 else ()
        index = index or (0,) * (len(one.shape) - 2)
        a, b = one.read(index, y0, y1), other.read(index, y0, y1)
        if _same(a, b, file.format in LOSSY):
            continue
        if file.format in TURNED and _same(a, other.read(index, height - y1, height - y0)[::-1]):
            continue
        where = " ".join(f"{k}={v}" for k, v in zip(one.axes, index, strict=False))
        return Finding(
            "READERS_DISAGREE",
            "warning",
            f"two libraries ({file.reader}, micro-reader) read series {one.index}, plane "
            f"{where or 'yx'} differently ({int(np.count_nonzero(a != b))} of {a.size} pixels "
            f"of rows {y0} to {y1 - 1})",
            file=str(file.path),
            field=f"series {one.index}",
            mend="Look at the derived image beside the vendor's own software.",
        )
    return None


def _same(a: np.ndarray, b: np.ndarray, lossy: bool = False) -> bool:
    if np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        return True
    if not lossy or a.dtype != np.uint8 or b.dtype != np.uint8:
        return False
    return bool(np.abs(a.astype(np.int16) - b).mean() <= ROUNDING)
