"""Distances between the surfaces of matched objects, in physical units."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from .arrays import Array, slabs


def surface(mask: np.ndarray) -> np.ndarray:
    """Coordinates (N, D) of the pixels of an object that have a face neighbour outside it.

    The image's border counts as outside.
    """
    inner = ndimage.binary_erosion(mask, border_value=0)
    return np.argwhere(mask & ~inner)


def surface_distances(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Distances from every surface pixel of `a` to the nearest of `b`, and back; float64.

    `spacing` is the pixel size along each axis; distances are in its unit. Both masks need a pixel.
    """
    scale = np.asarray(spacing, float)
    pa, pb = surface(a) * scale, surface(b) * scale
    return np.concatenate([cKDTree(pb).query(pa)[0], cKDTree(pa).query(pb)[0]])


def hausdorff95(distances: np.ndarray) -> float:
    """95th percentile of the surface distances of both directions together, >= 0, 0 is best.

    Linear interpolation between ranks; in the unit of the spacing. Undefined (nan) without
    matched objects. Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z.
    """
    return float(np.percentile(distances, 95)) if distances.size else np.nan


def average_surface_distance(distances: np.ndarray) -> float:
    """ASSD: mean of the surface distances of both directions together, >= 0, 0 is best.

    In the unit of the spacing; undefined (nan) without matched objects.
    Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z.
    """
    return float(distances.mean()) if distances.size else np.nan


def matched_distances(
    truth: Array,
    pred: Array,
    truth_ids: np.ndarray,
    pred_ids: np.ndarray,
    spacing: tuple[float, ...],
) -> np.ndarray:
    """(N, 2) array of HD95 and ASSD of each matched pair; memory is that of a pair's box."""
    boxes_t, boxes_p = _boxes(truth, truth_ids), _boxes(pred, pred_ids)
    out = np.zeros((len(truth_ids), 2))
    for k, (t, p) in enumerate(zip(truth_ids, pred_ids, strict=True)):
        box = tuple(
            slice(min(a.start, b.start), max(a.stop, b.stop))
            for a, b in zip(boxes_t[int(t)], boxes_p[int(p)], strict=True)
        )
        found = surface_distances(truth[box] == t, pred[box] == p, spacing)
        out[k] = hausdorff95(found), average_surface_distance(found)
    return out


def _boxes(labels: Array, ids: np.ndarray) -> dict[int, tuple[slice, ...]]:
    """The smallest box of each label, found slab by slab."""
    found: dict[int, tuple[slice, ...]] = {}
    wanted = np.sort(ids)
    if not wanted.size:
        return found
    for axis, begin, _, part, _ in slabs(labels, labels):
        # Labels may be any numbers: those that are wanted are counted from 1
        at = np.searchsorted(wanted, part).clip(max=wanted.size - 1)
        compact = np.where(wanted[at] == part, at + 1, 0).astype(np.int32)
        for k, box in enumerate(ndimage.find_objects(compact, wanted.size)):
            if box is None:
                continue
            if begin:
                moved = slice(box[axis].start + begin, box[axis].stop + begin)
                box = (*box[:axis], moved, *box[axis + 1 :])
            label = int(wanted[k])
            before = found.get(label, box)
            found[label] = tuple(
                slice(min(a.start, b.start), max(a.stop, b.stop))
                for a, b in zip(before, box, strict=True)
            )
    return found
