"""A classical start for tracking: segment each frame, link by overlap; two heirs are a division."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from ..atomic import write_text
from ..scoring.overlap import overlap
from ..scoring.release import Item
from .baseline import segment


def link(frames: list[np.ndarray]) -> tuple[list[np.ndarray], list[tuple[int, int, int, int]]]:
    """Number label images through time; returns masks and tracks (label, begin, end, parent).

    An object continues the one of the frame before that it overlaps most. Two or more that continue
    the same one are its children.
    """
    tracks: dict[int, list[int]] = {}
    masks: list[np.ndarray] = []
    count = 0
    before = None
    for t, labels in enumerate(frames):
        ids = np.unique(labels)
        ids = ids[ids > 0]
        mother: dict[int, int] = {}
        if before is not None:
            table = overlap(before, labels).objects()
            for k in np.argsort(table.n, kind="stable"):  # the largest overlap stays
                mother[int(table.pred[table.j[k]])] = int(table.truth[table.i[k]])
        heirs: dict[int, int] = {}
        for m in mother.values():
            heirs[m] = heirs.get(m, 0) + 1
        lut = np.zeros(int(ids.max(initial=0)) + 1, np.uint16)
        for label in ids.tolist():
            m = mother.get(label, 0)
            if m and heirs[m] == 1:
                lut[label] = m
                tracks[m][1] = t
            else:
                count += 1
                lut[label] = count
                tracks[count] = [t, t, m]
        before = lut[labels]
        masks.append(before)
    return masks, [(k, b, e, p) for k, (b, e, p) in tracks.items()]


def track_item(item: Item, out: Path) -> Path:
    """Write ``<id>_RES`` for a sequence of a release."""
    images = sorted(item.image.glob("t*.tif"))
    masks, tracks = link([segment(tifffile.imread(p)) for p in images])
    folder = out / f"{item.id}_RES"
    folder.mkdir(parents=True, exist_ok=True)
    for path, mask in zip(images, masks, strict=True):
        name = f"mask{path.stem[1:]}.tif"
        tifffile.imwrite(folder / name, mask, compression="zlib", metadata=None)
    write_text(folder / "res_track.txt", "".join(" ".join(map(str, t)) + "\n" for t in tracks))
    return folder
