"""Metrics of objects against outside judges and by property."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from releases import perturbed, random_labels

from slidebox.scoring import instances as m
from slidebox.scoring.boundary import matched_distances, surface_distances
from slidebox.scoring.overlap import overlap, overlap_of_slabs
from slidebox.scoring.settings import Settings, exact
from slidebox.scoring.task_instances import near_border, split_pieces

LABELS = hnp.arrays(np.uint16, (9, 11), elements=st.integers(0, 6))


def naive(truth, pred):
    pairs = {}
    for t, p in zip(truth.ravel().tolist(), pred.ravel().tolist(), strict=True):
        pairs[t, p] = pairs.get((t, p), 0) + 1
    return pairs


@given(LABELS, LABELS)
@settings(max_examples=60, deadline=None)
def test_overlap_counts_every_pair(truth, pred):
    table = overlap(truth, pred)
    found = {
        (int(table.truth[i]), int(table.pred[j])): int(n)
        for i, j, n in zip(table.i, table.j, table.n, strict=True)
    }
    assert found == naive(truth, pred)
    slabs = overlap_of_slabs((truth[k : k + 2], pred[k : k + 2]) for k in range(0, 9, 2))
    assert slabs.n.tolist() == table.n.tolist() and slabs.pred.tolist() == table.pred.tolist()


def test_overlap_of_labels_up_to_32_bits():
    truth = np.array([[0, 4294967295, 4294967295], [70000, 70000, 0]], np.uint32)
    pred = np.array([[4000000000, 4000000000, 5], [70000, 0, 0]], np.uint32)
    table = overlap(truth, pred)
    assert table.truth.tolist() == [0, 70000, 4294967295]
    assert int(table.n.sum()) == 6
    assert table.objects().n.tolist() == [1, 1, 1]


def test_overlap_refuses_what_it_cannot_count():
    a = np.zeros((8, 16), np.uint16)
    with pytest.raises(ValueError, match="shapes differ"):
        overlap(a, a.T)
    with pytest.raises(ValueError, match="negative"):
        overlap(a, a.astype(np.int32) - 1)
    with pytest.raises(TypeError, match="not integers"):
        overlap(a, a.astype(np.float32))


def cases(count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    for k in range(count):
        shape = (40, 44) if k % 2 else (8, 20, 24)
        truth = random_labels(rng, shape, int(rng.integers(0, 16)))
        yield truth, perturbed(rng, truth)


THRESHOLDS = ("0.1", "0.25", "0.5", "0.55", "0.6", "0.65", "0.7", "0.75", "0.8", "0.85", "0.9")


def test_matching_agrees_with_stardist():
    matching = pytest.importorskip("stardist.matching").matching
    for truth, pred in cases(60):
        table = overlap(truth, pred).objects()
        for text in THRESHOLDS:
            ours, theirs = m.match(table, exact(text)), matching(truth, pred, thresh=float(text))
            assert (ours.tp, ours.fp, ours.fn) == (theirs.tp, theirs.fp, theirs.fn)
            # StarDist adds up IoU in float32
            if exact(text) >= Fraction(1, 2):
                pq = m.panoptic_quality(ours.iou.sum(), ours.tp, ours.fp, ours.fn, 0.0)
                assert pq == pytest.approx(theirs.panoptic_quality, abs=1e-6)
                assert m.average_precision(ours.tp, ours.fp, ours.fn, 0.0) == pytest.approx(
                    theirs.accuracy, abs=1e-12
                )


def brute_force(truth, pred, threshold: Fraction) -> tuple[int, float]:
    """Most pairs with IoU >= threshold, then the largest sum, over all assignments."""
    from scipy.optimize import linear_sum_assignment

    t_ids, p_ids = np.unique(truth[truth > 0]), np.unique(pred[pred > 0])
    value = np.zeros((len(t_ids), len(p_ids)))
    for i, t in enumerate(t_ids):
        for j, p in enumerate(p_ids):
            both = int(((truth == t) & (pred == p)).sum())
            union = int(((truth == t) | (pred == p)).sum())
            if both and Fraction(both, union) >= threshold:
                value[i, j] = 1000 + both / union
    rows, cols = linear_sum_assignment(value, maximize=True)
    total = value[rows, cols]
    hits = total > 0
    return int(hits.sum()), float((total[hits] - 1000).sum())


@given(LABELS, LABELS, st.sampled_from(["0.1", "1/4", "1/3", "0.5", "0.7", "1"]))
@settings(max_examples=60, deadline=None)
def test_matching_is_the_best_assignment(truth, pred, text):
    found = m.match(overlap(truth, pred).objects(), exact(text))
    pairs, total = brute_force(truth, pred, exact(text))
    assert found.tp == pairs
    assert found.iou.sum() == pytest.approx(total, abs=1e-9)
    assert np.unique(found.i).size == np.unique(found.j).size == pairs


@given(LABELS, LABELS)
@settings(max_examples=40, deadline=None)
def test_numbers_of_labels_do_not_matter(truth, pred):
    lut = np.array([0, 9, 3, 700, 21, 4, 65535], np.uint16)
    a, b = overlap(truth, pred), overlap(truth, lut[pred])
    for t in ("1/3", "0.5", "0.75"):
        x, y = m.match(a.objects(), exact(t)), m.match(b.objects(), exact(t))
        assert (x.tp, x.fp, x.fn) == (y.tp, y.fp, y.fn)
    assert m.seg(a.objects()) == pytest.approx(m.seg(b.objects()))
    assert m.variation_of_information(a) == pytest.approx(m.variation_of_information(b))


def block(*sizes_in_label):
    return np.repeat(np.arange(len(sizes_in_label)), sizes_in_label).astype(np.uint16)


def test_iou_of_seven_tenths_matches_at_seven_tenths():
    # 7 pixels of 10: np.arange's 0.7000000000000002 would miss it, float32 would let 0.69999998 in
    truth, pred = block(0, 10), np.array([1] * 7 + [0] * 3, np.uint16)
    table = overlap(truth, pred).objects()
    assert m.match(table, exact("0.7")).tp == 1
    assert m.match(table, exact(0.7)).tp == 1
    assert m.match(table, Fraction(7, 10) + Fraction(1, 10**9)).tp == 0


def test_best_assignment_where_greedy_loses_one():
    # t1 overlaps p1 best, but t2 has only p1: 2 matches at 1/4
    truth = np.array([1] * 10 + [2] * 6, np.uint16)
    pred = np.array([2] * 4 + [1] * 6 + [1] * 3 + [0] * 3, np.uint16)
    assert m.match(overlap(truth, pred).objects(), exact("0.25")).tp == 2


def test_no_background_at_all_is_a_perfect_match():
    truth = block(0, 30, 20)
    found = m.match(overlap(truth, truth).objects(), exact("0.95"))
    assert (found.tp, found.fp, found.fn) == (2, 0, 0)


def test_nothing_is_lost_beyond_100_objects():
    truth = np.kron(np.arange(1, 2026).reshape(45, 45), np.ones((2, 2))).astype(np.uint16)
    found = m.match(overlap(truth, truth).objects(), exact("0.95"))
    assert (found.tp, found.fp, found.fn) == (2025, 0, 0)


def test_voi_and_adapted_rand_agree_with_skimage():
    metrics = pytest.importorskip("skimage.metrics")
    for truth, pred in cases(30, 5):
        if not truth.any() or not pred.any():
            continue
        table = overlap(truth, pred)
        theirs = metrics.variation_of_information(truth, pred)
        # skimage orders them (under, over)-segmentation: H(truth|pred)... by its own names
        assert sorted(m.variation_of_information(table)) == pytest.approx(sorted(theirs), abs=1e-12)
        error, _, _ = metrics.adapted_rand_error(truth, pred, ignore_labels=(0,))
        assert m.adapted_rand_error(table, (0,)) == pytest.approx(error, abs=1e-6)


def test_voi_split_is_what_a_cut_costs():
    truth, cut = block(0, 8), block(0, 4, 4)
    assert m.variation_of_information(overlap(truth, cut)) == pytest.approx((1.0, 0.0))
    assert m.variation_of_information(overlap(cut, truth)) == pytest.approx((0.0, 1.0))


def test_all_background_is_no_perfect_partition():
    # skimage says 0.0 (perfect) for this with its defaults
    truth = block(8, 8)
    assert m.adapted_rand_error(overlap(truth, np.zeros_like(truth))) > 0.3


def test_seg_needs_more_than_half_of_the_truth():
    truth = block(0, 10)
    half = np.array([1] * 5 + [0] * 5, np.uint16)
    more = np.array([1] * 6 + [0] * 4, np.uint16)
    assert m.seg(overlap(truth, half).objects()) == (0.0, 1)
    assert m.seg(overlap(truth, more).objects()) == (pytest.approx(0.6), 1)


def test_splits_and_merges_count_surplus():
    truth, cut = block(2, 9, 9), block(2, 3, 3, 3, 9)
    assert m.splits_and_merges(overlap(truth, cut).objects()) == (2, 0)
    assert m.splits_and_merges(overlap(cut, truth).objects()) == (0, 2)


def test_surface_distances_are_physical():
    a = np.zeros((20, 20), bool)
    b = a.copy()
    a[5:10, 5:10], b[5:10, 8:13] = True, True
    flat = surface_distances(a, b, (1.0, 1.0))
    assert flat.max() == 3.0
    assert surface_distances(a, b, (1.0, 0.5)).max() == 1.5
    labels = a.astype(np.uint16) * 7
    found = matched_distances(labels, labels, np.array([7]), np.array([7]), (1.0, 1.0))
    assert found.tolist() == [[0.0, 0.0]]


def test_pieces_of_one_id_can_be_objects_of_their_own():
    labels = np.zeros((8, 8), np.uint16)
    labels[0:2, 0:2], labels[6:8, 6:8], labels[4, 4] = 3, 3, 5
    pieces = split_pieces(labels)
    assert np.unique(pieces).tolist() == [0, 1, 2, 3]
    assert len(np.unique(pieces[labels == 3])) == 2


def test_borders_ignored_by_cremi_are_within_sections():
    truth = np.zeros((2, 9, 9), np.uint16)
    truth[0, :, 4:], truth[1] = 1, 2
    near = near_border(truth, 1.0, (np.inf, 1.0, 1.0))
    assert near[0, 0].tolist() == [False, False, True, True, True, True, False, False, False]
    assert not near[1].any()


def test_thresholds_are_written_exactly():
    with pytest.raises(ValueError, match="more than six decimals"):
        Settings(thresholds=[0.1 + 0.2 + 0.4])
    with pytest.raises(ValueError, match="not in"):
        Settings(thresholds=["1.2"])
    assert exact("2/3") == Fraction(2, 3)
