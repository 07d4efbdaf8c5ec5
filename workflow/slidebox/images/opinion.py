"""A second opinion: the same planes by another library, compared. Two readers rarely err alike.

micro-reader shares no code with tifffile, czifile, nd2, liffile and the others that read for us.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..findings import Finding
from .model import Series, UnreadableImage
from .registry import open_image

# Formats whose pixels both libraries give exactly: not those whose rows they count differently (DV,
# MRC), nor whose lossy compression they round differently.
COMPARABLE = (
    "ome-tiff",
    "tiff",
    "lsm",
    "stk",
    "svs",
    "ndpi",
    "scn",
    "qptiff",
    "czi",
    "nd2",
    "lif",
    "oib",
    "oif",
    "oir",
    "ims",
    "png",
)
_ROWS = 256


def second_opinion(path: Path | str, planes: int = 3) -> list[Finding]:
    """Compare rows of a few planes of each series with another library's reading.

    At most ``planes`` planes a series (the first, the last and some between), 256 rows of each. An
    empty list means agreement, or that no second reader knows the file. Code: READERS_DISAGREE.
    """
    from .readers import micro

    findings: list[Finding] = []
    try:
        with open_image(path) as ours:
            if ours.format not in COMPARABLE:
                return []
            with micro.open_file(Path(path), ours.format) as theirs:
                others = list(theirs.series)
                mine = [s for s in ours.series if s.role != "thumbnail"]
                if len(mine) != len(others):
                    return []
                for one, other in zip(mine, others, strict=True):
                    if one.axes == other.axes and one.shape == other.shape:
                        findings += _compare(one, other, str(path), planes)
    except ImportError:
        return []
    except UnreadableImage:
        return findings  # what can't be read is said elsewhere; the other may not know the variant
    except Exception:
        return findings
    return findings


def _compare(one: Series, other: Series, path: str, planes: int) -> list[Finding]:
    count = int(np.prod(one.shape[:-2], dtype=object))
    picks = sorted({round(n * (count - 1) / max(1, planes - 1)) for n in range(planes)})
    y0 = max(0, (one.size("y") - _ROWS) // 2)
    y1 = min(one.size("y"), y0 + _ROWS)
    for pick in picks:
        index = tuple(int(i) for i in np.unravel_index(pick, one.shape[:-2])) if count > 1 else ()
        index = index or (0,) * (len(one.shape) - 2)
        a, b = one.read(index, y0, y1), other.read(index, y0, y1)
        if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            where = " ".join(f"{k}={v}" for k, v in zip(one.axes, index, strict=False))
            return [
                Finding(
                    "READERS_DISAGREE",
                    "warning",
                    f"two libraries read series {one.index}, plane {where or 'yx'} differently "
                    f"({int(np.count_nonzero(a != b))} of {a.size} pixels)",
                    file=path,
                    mend="Look at the derived image beside the vendor's own software.",
                )
            ]
    return []
