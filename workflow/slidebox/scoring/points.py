"""Points against points: the best one-to-one assignment within a distance."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


def match(
    truth: np.ndarray, pred: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs at a distance <= tolerance: as many as there can be, of those with the least sum of
    squared distances (so that RMSE is the smallest there is).

    truth, pred : (N, D), (M, D) coordinates in one unit. Returns indices into both and distances,
    sorted by the first. Independent of the order of points; solved in connected groups, so that the
    cost is that of the crowds.
    """
    if len(truth) == 0 or len(pred) == 0:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    # A hair more, then compared exactly: the tree's own rounding must not decide
    near = cKDTree(truth).sparse_distance_matrix(
        cKDTree(pred), tolerance * (1 + 1e-9), output_type="coo_matrix"
    )
    i, j = near.row.astype(int), near.col.astype(int)
    distance = np.sqrt(((truth[i] - pred[j]) ** 2).sum(1))
    ok = distance <= tolerance
    i, j, distance = i[ok], j[ok], distance[ok]
    if i.size == 0:
        return i, j, distance
    size = len(truth) + len(pred)
    from scipy.sparse import coo_matrix

    graph = coo_matrix((np.ones(i.size), (i, j + len(truth))), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    order = np.argsort(component[i], kind="stable")
    chosen = []
    for group in np.split(order, np.flatnonzero(np.diff(component[i][order])) + 1):
        if group.size == 1:
            chosen.append(group)
            continue
        rows, r = np.unique(i[group], return_inverse=True)
        cols, c = np.unique(j[group], return_inverse=True)
        # Leaving a pair out costs more than all that could be saved by it
        cost = np.zeros((rows.size, cols.size))
        most = max(tolerance, 1e-150) ** 2
        cost[r, c] = distance[group] ** 2 - (2 * min(rows.size, cols.size) + 1) * most
        at = np.full(cost.shape, -1)
        at[r, c] = group
        picked = at[linear_sum_assignment(cost)]
        chosen.append(picked[picked >= 0])
    pick = np.sort(np.concatenate(chosen))
    pick = pick[np.argsort(i[pick], kind="stable")]
    return i[pick], j[pick], distance[pick]


def precision(tp, fp):
    """TP / (TP + FP), in [0, 1], 1 is best; 0 without a predicted point.
    Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z.
    """
    return _share(tp, fp)


def recall(tp, fn):
    """TP / (TP + FN), in [0, 1], 1 is best; 0 without a true point.
    Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z.
    """
    return _share(tp, fn)


def _share(tp, rest):
    tp, total = np.asarray(tp, float), np.asarray(tp, float) + rest
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, tp / total, 0.0)


def f_beta(tp, fp, fn, beta: float):
    """(1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP), in [0, 1], 1 is best; nan without any point.
    Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z.
    """
    b = beta * beta
    tp, fp, fn = (np.asarray(v, float) for v in (tp, fp, fn))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(tp + fp + fn > 0, (1 + b) * tp / ((1 + b) * tp + b * fn + fp), np.nan)


def jaccard(tp, fp, fn):
    """TP / (TP + FP + FN), in [0, 1], 1 is best; nan without any point.
    Sage et al. 2019, doi:10.1038/s41592-019-0364-4."""
    tp, fp, fn = (np.asarray(v, float) for v in (tp, fp, fn))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(tp + fp + fn > 0, tp / (tp + fp + fn), np.nan)


def rmse(sum_of_squares, tp):
    """Root of the mean squared distance of the matches, in the challenge's unit, >= 0, 0 is best;
    nan without a match. Sage et al. 2019, doi:10.1038/s41592-019-0364-4."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(tp) > 0, np.sqrt(np.divide(sum_of_squares, tp)), np.nan)
