"""Metrics of the Cell Tracking Challenge, from what was counted frame by frame.

A reference object R is matched by the result object S of the same frame with |R and S| > |R| / 2;
several R may have the same S (an under-segmentation), an R has one S at most. Measures follow
http://celltrackingchallenge.net/evaluation-methodology and the papers named below. Labels may be
any unsigned integers, images may lack background, the order of labels doesn't matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .overlap import overlap

NS, FN, FP, ED, EA, EC = 5.0, 10.0, 1.0, 1.0, 1.5, 1.0  # weights of AOGM


@dataclass(frozen=True, slots=True)
class Track:
    """A row of man_track.txt or res_track.txt: label, first and last frame, parent (0: none)."""

    label: int
    begin: int
    end: int
    parent: int


@dataclass
class Frames:
    """Objects and matches of all frames, added one frame after the other.

    Attributes
    ----------
    ref, res : labels of each frame's objects, ascending.
    match : for each frame, for each object of `ref` the index into `res` that matches it, or -1.
    """

    ref: list[np.ndarray] = field(default_factory=list)
    res: list[np.ndarray] = field(default_factory=list)
    match: list[np.ndarray] = field(default_factory=list)

    def add(self, truth: np.ndarray, pred: np.ndarray) -> tuple[float, int]:
        """Add a frame's label images (one shape); returns SEG's sum of IoU and object count."""
        table = overlap(truth, pred).objects()
        hit = 2 * table.n > table.truth_area[table.i]
        match = np.full(table.truth.size, -1, np.int64)
        match[table.i[hit]] = table.j[hit]
        self.ref.append(table.truth.astype(np.int64))
        self.res.append(table.pred.astype(np.int64))
        self.match.append(match)
        return float(table.iou[hit].sum()), int(table.truth.size)


@dataclass
class Graph:
    """Nodes (objects in frames) of reference and result as one numbering each."""

    ref_label: np.ndarray
    ref_start: np.ndarray
    res_start: np.ndarray
    match: np.ndarray  # for each reference node its result node, or -1
    shared: np.ndarray  # for each result node, how many reference nodes it matches

    @classmethod
    def of(cls, frames: Frames) -> Graph:
        ref_start = np.cumsum([0, *map(len, frames.ref)])
        res_start = np.cumsum([0, *map(len, frames.res)])
        match = np.concatenate(
            [np.where(m >= 0, m + s, -1) for m, s in zip(frames.match, res_start, strict=False)]
            or [np.zeros(0, np.int64)]
        ).astype(np.int64)
        shared = np.bincount(match[match >= 0], minlength=int(res_start[-1]))
        labels = np.concatenate([*frames.ref, np.zeros(0, np.int64)])
        return cls(labels, ref_start, res_start, match, shared)


def edges(labels: list[np.ndarray], start: np.ndarray, tracks: list[Track]) -> np.ndarray:
    """(N, 3): node, later node, and 0 for a step along a track or 1 for parent to child.

    A step joins objects of one label in consecutive frames. A parent link joins the parent in its
    last frame to the child in its first; one whose ends are in no frame makes no edge.
    """
    found = []
    for t in range(len(labels) - 1):
        _, a, b = np.intersect1d(labels[t], labels[t + 1], assume_unique=True, return_indices=True)
        found.append(np.stack([a + start[t], b + start[t + 1], np.zeros_like(a)], 1))
    by_label = {track.label: track for track in tracks}
    links = []
    for child in tracks:
        parent = by_label.get(child.parent)
        if child.parent and parent is not None:
            a, b = (
                _node(labels, start, parent.end, parent.label),
                _node(labels, start, child.begin, child.label),
            )
            if a is not None and b is not None:
                links.append((a, b, 1))
    if links:
        found.append(np.array(links, np.int64))
    return np.concatenate(found) if found else np.zeros((0, 3), np.int64)


def _node(labels: list[np.ndarray], start: np.ndarray, t: int, label: int) -> int | None:
    if not 0 <= t < len(labels):
        return None
    at = int(np.searchsorted(labels[t], label))
    if at < labels[t].size and labels[t][at] == label:
        return int(start[t]) + at
    return None


def graph_errors(
    frames: Frames, ref_tracks: list[Track], res_tracks: list[Track]
) -> dict[str, int]:
    """Operations that turn the result's graph into the reference's, and the reference's size.

    Keys ns, fn, fp (nodes), ed, ea, ec (edges), vertices, edges. Edges of the result are compared
    where both ends match one reference node each.
    Matula et al. 2015, doi:10.1371/journal.pone.0144959.
    """
    graph = Graph.of(frames)
    tp = int((graph.match >= 0).sum())
    ref_edges = edges(frames.ref, graph.ref_start, ref_tracks)
    res_edges = edges(frames.res, graph.res_start, res_tracks)
    to_ref = np.full(graph.shared.size, -1, np.int64)
    matched = np.flatnonzero(graph.match >= 0)
    alone = graph.shared[graph.match[matched]] == 1
    to_ref[graph.match[matched[alone]]] = matched[alone]
    a, b = to_ref[res_edges[:, 0]], to_ref[res_edges[:, 1]]
    kept = (a >= 0) & (b >= 0)
    size = graph.ref_label.size
    ref_key = ref_edges[:, 0] * size + ref_edges[:, 1]
    res_key = a[kept] * size + b[kept]
    _, r, c = np.intersect1d(ref_key, res_key, return_indices=True)
    wrong = int((ref_edges[r, 2] != res_edges[kept][c, 2]).sum())
    return {
        "ns": int(np.maximum(graph.shared - 1, 0).sum()),
        "fn": int(size - tp),
        "fp": int((graph.shared == 0).sum()),
        "ed": int(kept.sum() - r.size),
        "ea": int(ref_key.size - r.size),
        "ec": wrong,
        "vertices": int(size),
        "edges": int(ref_key.size),
    }


def det(ns, fn, fp, vertices):
    """DET = 1 - min(A, A0) / A0 with A = 5 NS + 10 FN + FP, A0 = 10 vertices; [0, 1], 1 is best.

    nan where the reference has no object. Matula et al. 2015, doi:10.1371/journal.pone.0144959.
    """
    return _measure(NS * ns + FN * fn + FP * fp, FN * vertices)


def lnk(ed, ea, ec, edges):
    """LNK = 1 - min(A, A0) / A0 with A = ED + 1.5 EA + EC, A0 = 1.5 edges; [0, 1], 1 is best.

    nan where the reference has no edge. Maška et al. 2023, doi:10.1038/s41592-023-01879-y.
    """
    return _measure(ED * ed + EA * ea + EC * ec, EA * edges)


def tra(ns, fn, fp, ed, ea, ec, vertices, edges):
    """TRA = 1 - min(A, A0) / A0 over nodes and edges (A0 = 10 vertices + 1.5 edges); [0, 1].

    nan where the reference is empty. Matula et al. 2015, doi:10.1371/journal.pone.0144959.
    """
    a = NS * ns + FN * fn + FP * fp + ED * ed + EA * ea + EC * ec
    return _measure(a, FN * vertices + EA * edges)


def _measure(a, a0):
    a, a0 = np.asarray(a, float), np.asarray(a0, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(a0 > 0, 1 - np.minimum(a, a0) / a0, np.nan)


def assignments(frames: Frames) -> dict[int, dict[int, int]]:
    """For each reference label the result label in each frame that it is in; 0 where it isn't
    matched or shares its match with others."""
    out: dict[int, dict[int, int]] = {}
    for t, (ref, res, match) in enumerate(zip(frames.ref, frames.res, frames.match, strict=True)):
        shared = np.bincount(match[match >= 0], minlength=res.size)
        for label, m in zip(ref.tolist(), match.tolist(), strict=True):
            out.setdefault(label, {})[t] = int(res[m]) if m >= 0 and shared[m] == 1 else 0
    return out


def complete_tracks(
    assigned: dict[int, dict[int, int]], ref_tracks: list[Track], res_tracks: list[Track]
) -> tuple[int, int]:
    """2 * reconstructed tracks, and the number of tracks of both: CT is the first over the second.

    A reference track is reconstructed when one result track matches it in every frame and both
    begin and end in the same frames. Ulman et al. 2017, doi:10.1038/nmeth.4473.
    """
    result = {t.label: t for t in res_tracks}
    complete = 0
    for track in ref_tracks:
        found = set(assigned.get(track.label, {}).values())
        if len(found) == 1 and (label := found.pop()) in result:
            other = result[label]
            complete += (other.begin, other.end) == (track.begin, track.end)
    return 2 * complete, len(ref_tracks) + len(res_tracks)


def track_fractions(
    assigned: dict[int, dict[int, int]], ref_tracks: list[Track]
) -> tuple[float, int]:
    """Sum over detected reference tracks of the longest fraction that one result track follows
    without a break, and their number: TF is the first over the second.

    Every result track counts for every reference track (the original software stops at the first
    that is followed whole, which makes its TF depend on the order of labels).
    Ulman et al. 2017, doi:10.1038/nmeth.4473.
    """
    total, detected = 0.0, 0
    for track in ref_tracks:
        seen = assigned.get(track.label, {})
        best = run = last = 0
        for t in range(track.begin, track.end + 1):
            now = seen.get(t, 0)
            run = 0 if now == 0 else run + 1 if now == last else 1
            best, last = max(best, run), now
        if best:
            detected += 1
            total += best / (track.end - track.begin + 1)
    return total, detected


def divisions(tracks: list[Track]) -> dict[int, list[Track]]:
    """Children of each track that has two or more, by parent."""
    children: dict[int, list[Track]] = {}
    for track in tracks:
        if track.parent > 0:
            children.setdefault(track.parent, []).append(track)
    known = {t.label for t in tracks}
    return {p: c for p, c in children.items() if len(c) > 1 and p in known}


def division_counts(
    frames: Frames, ref_tracks: list[Track], res_tracks: list[Track], tolerance: int
) -> tuple[int, int, int]:
    """(TP, FP, FN) of divisions; BC = F1 of them.

    A division of the result is right when the number of children agrees, parents end and children
    begin at most `tolerance` frames apart, and in the last frame both parents are in, and the first
    both children of a pair are in, they match one to one.
    Ulman et al. 2017, doi:10.1038/nmeth.4473 (BC(i) with i the tolerance).
    """
    ref_ends = {t.label: t.end for t in ref_tracks}
    res_ends = {t.label: t.end for t in res_tracks}
    ref_div, res_div = divisions(ref_tracks), divisions(res_tracks)
    by_time: dict[int, list[int]] = {}
    for parent in sorted(res_div):
        by_time.setdefault(res_ends[parent], []).append(parent)
    unique = [_unique(f) for f in zip(frames.ref, frames.res, frames.match, strict=True)]
    used: set[int] = set()
    tp = 0
    for parent in sorted(ref_div):
        end = ref_ends[parent]
        candidates = [
            p for d in range(tolerance + 1) for t in sorted({end - d, end + d})
            for p in by_time.get(t, [])
        ]  # fmt: skip
        for other in candidates:
            if other in used or len(res_div[other]) != len(ref_div[parent]):
                continue
            t = min(end, res_ends[other])
            if not 0 <= t < len(unique) or unique[t].get(parent) != other:
                continue
            if _children_match(ref_div[parent], res_div[other], unique, tolerance):
                used.add(other)
                tp += 1
                break
    return tp, len(res_div) - tp, len(ref_div) - tp


def _unique(frame: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[int, int]:
    ref, res, match = frame
    shared = np.bincount(match[match >= 0], minlength=res.size)
    ok = (match >= 0) & (shared[np.maximum(match, 0)] == 1 if res.size else False)
    return dict(zip(ref[ok].tolist(), res[match[ok]].tolist(), strict=True))


def _children_match(
    ref: list[Track], res: list[Track], unique: list[dict[int, int]], tolerance: int
) -> bool:
    taken: set[int] = set()
    for child in ref:
        for other in res:
            t = max(child.begin, other.begin)
            if (
                other.label not in taken
                and abs(child.begin - other.begin) <= tolerance
                and 0 <= t < len(unique)
                and unique[t].get(child.label) == other.label
            ):
                taken.add(other.label)
                break
        else:
            return False
    return True


def f1_of_counts(tp, fp, fn):
    """2 TP / (2 TP + FP + FN), in [0, 1]; nan where there is nothing to find (TP + FN = 0).
    Ulman et al. 2017, doi:10.1038/nmeth.4473 (for divisions, BC).
    """
    tp, fp, fn = (np.asarray(v, float) for v in (tp, fp, fn))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(tp + fn > 0, 2 * tp / (2 * tp + fp + fn), np.nan)


def cell_cycle_accuracy(ref_tracks: list[Track], res_tracks: list[Track]) -> float:
    """CCA = 1 - largest difference of the distributions of lengths of whole cell cycles, [0, 1].

    Whole are tracks that begin and end with a division. nan where the reference has none, 0 where
    the result has none. Ulman et al. 2017, doi:10.1038/nmeth.4473.
    """
    ref, res = _whole_cycles(ref_tracks), _whole_cycles(res_tracks)
    if ref.size == 0:
        return np.nan
    if res.size == 0:
        return 0.0
    at = np.union1d(ref, res)
    a = np.searchsorted(np.sort(ref), at, side="right") / ref.size
    b = np.searchsorted(np.sort(res), at, side="right") / res.size
    return float(1 - np.abs(a - b).max())


def _whole_cycles(tracks: list[Track]) -> np.ndarray:
    parents = divisions(tracks)
    return np.array(
        [t.end - t.begin for t in tracks if t.label in parents and t.parent in parents], int
    )


def mean_of_defined(*values):
    """BIO: mean of those of CT, TF, BC and CCA that are defined; nan if none is.
    Maška et al. 2023, doi:10.1038/s41592-023-01879-y.
    """
    stacked = np.stack([np.asarray(v, float) for v in values])
    defined = ~np.isnan(stacked)
    count = defined.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(count > 0, np.where(defined, stacked, 0).sum(0) / count, np.nan)


def overall(a, b):
    """(a + b) / 2, in [0, 1], 1 is best; nan where either isn't defined. OP_CSB is that of SEG and
    DET, OP_CTB of SEG and TRA, OP_CLB of LNK and BIO.
    Maška et al. 2023, doi:10.1038/s41592-023-01879-y.
    """
    return (a + b) / 2
