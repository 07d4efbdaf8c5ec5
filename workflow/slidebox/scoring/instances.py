"""Metrics of objects in 2D and 3D, all read from one overlap table.

A pair matches at threshold t when IoU >= t, compared in integers: I * den >= num * U, so 0.7 is
7/10 and not 0.7000000000000001. Above 1/2 pairs are unique; at or below it the assignment with the
most matches (then the largest sum of IoU) is solved in each connected group of overlapping objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .overlap import ObjectOverlap, Overlap


@dataclass(frozen=True, slots=True)
class Matching:
    """Objects matched at one threshold.

    Attributes
    ----------
    i, j : indices (into the table's `truth` and `pred`) of the matched pairs, one to one.
    iou : their IoU.
    tp, fp, fn : matched, false and missed objects (what is ignored is in none of them).
    """

    i: np.ndarray
    j: np.ndarray
    iou: np.ndarray
    tp: int
    fp: int
    fn: int


def match(
    table: ObjectOverlap,
    threshold: Fraction,
    ignore_truth: np.ndarray | None = None,
    ignore_pred: np.ndarray | None = None,
) -> Matching:
    """Match objects at an exact threshold.

    Parameters
    ----------
    ignore_truth : bool (T,), true objects that count neither as matched nor as missed; what
        matches them isn't false either.
    ignore_pred : bool (P,), predicted objects that are not false when nothing matches them.
    """
    union = table.union
    num, den = threshold.numerator, threshold.denominator
    if union.size and int(union.max()) * max(num, den) >= 1 << 62:
        # Python's integers where 64 bits would overflow (volumes beyond 10**12 voxels)
        ok = table.n.astype(object) * den >= union.astype(object) * num
        ok = ok.astype(bool)
    else:
        ok = table.n * den >= union * num
    i, j = table.i[ok], table.j[ok]
    iou = table.n[ok] / union[ok]
    if 2 * num <= den:
        pick = _assign(i, j, iou, table.truth.size, table.pred.size)
        i, j, iou = i[pick], j[pick], iou[pick]
    unmatched_truth = np.ones(table.truth.size, bool)
    unmatched_truth[i] = False
    unmatched_pred = np.ones(table.pred.size, bool)
    unmatched_pred[j] = False
    if ignore_truth is not None:
        unmatched_truth &= ~ignore_truth
        counted = ~ignore_truth[i]
        i, j, iou = i[counted], j[counted], iou[counted]
    if ignore_pred is not None:
        unmatched_pred &= ~ignore_pred
    return Matching(i, j, iou, i.size, int(unmatched_pred.sum()), int(unmatched_truth.sum()))


def _assign(i: np.ndarray, j: np.ndarray, iou: np.ndarray, nt: int, np_: int) -> np.ndarray:
    """Indices of the pairs of the best assignment: most pairs, then the largest sum of IoU."""
    single = (np.bincount(i, minlength=nt)[i] == 1) & (np.bincount(j, minlength=np_)[j] == 1)
    chosen = [np.flatnonzero(single)]
    rest = np.flatnonzero(~single)
    if rest.size:
        graph = coo_matrix((np.ones(rest.size), (i[rest], nt + j[rest])), shape=(nt + np_,) * 2)
        _, component = connected_components(graph, directed=False)
        of_pair = component[i[rest]]
        order = np.argsort(of_pair, kind="stable")
        for group in np.split(rest[order], np.flatnonzero(np.diff(of_pair[order])) + 1):
            rows, r = np.unique(i[group], return_inverse=True)
            cols, c = np.unique(j[group], return_inverse=True)
            # A match is worth more than all IoU together; a cell that is no match is worth 0.
            value = np.zeros((rows.size, cols.size))
            value[r, c] = 1 + iou[group] / (2 * min(rows.size, cols.size))
            at = np.full(value.shape, -1)
            at[r, c] = group
            picked = at[linear_sum_assignment(value, maximize=True)]
            chosen.append(picked[picked >= 0])
    return np.sort(np.concatenate(chosen))


def ratio(numerator: float, denominator: float, empty: float) -> float:
    """numerator / denominator, or `empty` where there is nothing to divide by."""
    return float(numerator / denominator) if denominator else empty


def average_precision(tp: int, fp: int, fn: int, empty: float = 1.0) -> float:
    """TP / (TP + FP + FN), in [0, 1], 1 is best: "average precision" as DSB 2018, StarDist and
    Cellpose use the word (a Jaccard index of objects). `empty` when there is no object at all.
    Caicedo et al. 2019, doi:10.1038/s41592-019-0612-7."""
    return ratio(tp, tp + fp + fn, empty)


def f1(tp: int, fp: int, fn: int, empty: float = 1.0) -> float:
    """2 TP / (2 TP + FP + FN), in [0, 1], 1 is best. `empty` when there is no object at all.
    Caicedo et al. 2019, doi:10.1038/s41592-019-0612-7.
    """
    return ratio(2 * tp, 2 * tp + fp + fn, empty)


def segmentation_quality(sum_iou: float, tp: int, empty: float) -> float:
    """SQ: mean IoU of the matched pairs, in [0, 1]; 0 when nothing matched though there are
    objects. Kirillov et al. 2019, doi:10.1109/CVPR.2019.00963."""
    return ratio(sum_iou, tp, empty)


def panoptic_quality(sum_iou: float, tp: int, fp: int, fn: int, empty: float = 1.0) -> float:
    """PQ = sum of matched IoU / (TP + FP/2 + FN/2) = SQ * RQ, in [0, 1], 1 is best.
    `empty` when there is no object at all. Kirillov et al. 2019, doi:10.1109/CVPR.2019.00963."""
    return ratio(2 * sum_iou, 2 * tp + fp + fn, empty)


def seg(table: ObjectOverlap, keep: np.ndarray | None = None) -> tuple[float, int]:
    """Sum of the Jaccard indices of SEG and the number of true objects it's averaged over.

    A true object R is matched by S when |R and S| > |R| / 2; an unmatched one contributes 0.
    Mean in [0, 1]. Maška et al. 2014, doi:10.1093/bioinformatics/btu080.
    """
    more_than_half = 2 * table.n > table.truth_area[table.i]
    if keep is not None:
        more_than_half &= keep[table.i]
        return float(table.iou[more_than_half].sum()), int(keep.sum())
    return float(table.iou[more_than_half].sum()), int(table.truth.size)


def splits_and_merges(table: ObjectOverlap) -> tuple[int, int]:
    """Splits: surplus pieces of true objects; merges: surplus true objects in predicted ones.

    A predicted object is a piece of a true one when more than half of it lies inside; a true object
    is merged into a predicted one when more than half of it lies inside. An object cut into k
    pieces is k - 1 splits; k objects under one prediction are k - 1 merges. Both >= 0, 0 is best.
    After Caicedo et al. 2019, doi:10.1038/s41592-019-0612-7.
    """
    piece = 2 * table.n > table.pred_area[table.j]
    part = 2 * table.n > table.truth_area[table.i]
    splits = np.bincount(table.i[piece], minlength=1)
    merges = np.bincount(table.j[part], minlength=1)
    return int(np.maximum(splits - 1, 0).sum()), int(np.maximum(merges - 1, 0).sum())


def foreground_dice(table: Overlap) -> tuple[int, int]:
    """2 |A and B| and |A| + |B| of the foregrounds, in pixels: Dice = the first over the second.

    In [0, 1], 1 is best; `both_empty` says what it is where neither has a pixel.
    Dice 1945, doi:10.2307/1932409.
    """
    inside = int(table.n[(table.truth[table.i] != 0) & (table.pred[table.j] != 0)].sum())
    a = int(table.truth_area[table.truth != 0].sum())
    b = int(table.pred_area[table.pred != 0].sum())
    return 2 * inside, a + b


def count_error(n_true, n_pred):
    """|predicted - true| number of objects (or points), >= 0, 0 is best, also where there are none.
    Lempitsky and Zisserman 2010, Advances in Neural Information Processing Systems 23, 1324-1332.
    """
    return np.abs(np.asarray(n_pred, float) - n_true)


def cremi_score(voi, are):
    """sqrt((VOI split + VOI merge) * ARE), >= 0, 0 is best; 0 where either is, without unit as the
    challenge has it. Funke et al. 2019, doi:10.1109/TPAMI.2018.2835450.
    """
    return np.sqrt(np.asarray(voi, float) * are)


def variation_of_information(
    table: Overlap, ignore_truth: tuple[int, ...] = ()
) -> tuple[float, float]:
    """(VOI split, VOI merge) = (H(pred | truth), H(truth | pred)) in bits, >= 0, 0 is best.

    `ignore_truth` are true labels whose pixels are left out ((0,) as in CREMI). Where background
    is, a prediction without any object has put nothing together: each pixel is a piece of its own.
    Without any pixel both are 0. Meilă 2007, doi:10.1016/j.jmva.2006.11.013;
    Nunez-Iglesias et al. 2013, doi:10.1371/journal.pone.0071715.
    """
    i, j, n = _without(table, ignore_truth)
    if n.size == 0:
        return 0.0, 0.0
    if 0 in ignore_truth and not table.pred[j].any():
        return float((n * np.log2(np.bincount(i, weights=n)[i])).sum() / n.sum()), 0.0
    p = n / n.sum()
    a = np.bincount(i, weights=p)[i]
    b = np.bincount(j, weights=p)[j]
    split = float(-(p * np.log2(p / a)).sum())
    merge = float(-(p * np.log2(p / b)).sum())
    return max(split, 0.0), max(merge, 0.0)


def adapted_rand_error(table: Overlap, ignore_truth: tuple[int, ...] = ()) -> float:
    """ARE = 1 - F of the pairs of pixels put together, in [0, 1], 0 is best.

    precision = sum n_ij (n_ij - 1) / sum b_j (b_j - 1), recall with a_i likewise. Where background
    is left out, a prediction without any object has put nothing together: 1. Without a pair of
    pixels 0. Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142.
    """
    i, j, n = _without(table, ignore_truth)
    if n.size == 0:
        return 0.0
    if 0 in ignore_truth and not table.pred[j].any():
        return 1.0
    n = n.astype(np.float64)
    a, b = np.bincount(i, weights=n), np.bincount(j, weights=n)
    both = (n * (n - 1)).sum()
    truth, pred = (a * (a - 1)).sum(), (b * (b - 1)).sum()
    if truth + pred == 0:
        return 0.0
    return float(1 - 2 * both / (truth + pred))


def _without(table: Overlap, ignore: tuple[int, ...]):
    keep = ~np.isin(table.truth[table.i], ignore) if ignore else slice(None)
    return table.i[keep], table.j[keep], table.n[keep]
