"""Points, semantic segmentation and restoration."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from releases import write_labels, write_points, write_release

from slidebox.scoring import points, restoration, score
from slidebox.scoring.task_semantic import dice, iou


def best_by_brute_force(truth, pred, tolerance):
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    if len(truth) == 0 or len(pred) == 0:
        return 0, 0.0
    distance = cdist(truth, pred)
    cost = np.where(distance <= tolerance, distance**2, 1e6)
    rows, cols = linear_sum_assignment(cost)
    hits = distance[rows, cols] <= tolerance
    return int(hits.sum()), float((distance[rows, cols][hits] ** 2).sum())


@given(st.integers(0, 25), st.integers(0, 25), st.integers(0, 10**6), st.sampled_from([2, 3]))
@settings(max_examples=80, deadline=None)
def test_points_are_matched_as_well_as_can_be(n, k, seed, dim):
    rng = np.random.default_rng(seed)
    truth, pred = rng.uniform(0, 12, (n, dim)), rng.uniform(0, 12, (k, dim))
    i, j, distance = points.match(truth, pred, 3.0)
    pairs, total = best_by_brute_force(truth, pred, 3.0)
    assert len(i) == len(set(i)) == len(set(j)) == pairs
    assert (distance**2).sum() == pytest.approx(total, abs=1e-9)
    order = rng.permutation(k)
    assert len(points.match(truth, pred[order], 3.0)[0]) == pairs


def test_a_point_hits_one_reference_only():
    truth = np.array([[0.0, 0.0], [0.0, 1.0]])
    assert len(points.match(truth, np.array([[0.0, 0.5]]), 2.0)[0]) == 1


def test_distance_equal_to_the_tolerance_matches():
    assert len(points.match(np.array([[0.0, 0.0]]), np.array([[0.0, 0.3]]), 0.3)[0]) == 1
    assert len(points.match(np.array([[0.0, 0.0]]), np.array([[0.0, 0.3000001]]), 0.3)[0]) == 0


def spots(tmp_path, pred, unit="pixel", tolerance=3.0, truth=((10.0, 10.0), (30.0, 40.0)), **more):
    release = write_release(
        tmp_path / "release", "points",
        {"a": {"truth": list(truth), "shape": (50, 60), "axes": "yx",
               "pixel_size": "y=0.1 x=0.1"}},
        tolerance=tolerance, unit=unit, **more,
    )  # fmt: skip
    write_points(tmp_path / "pred" / "a.csv", pred, "yx")
    return score(release, tmp_path / "pred", "train")


def test_f_beta_weighs_recall(tmp_path):
    found = spots(tmp_path, [(10.5, 10.0)], beta=4.0).scores["metrics"]
    # tp 1, fn 1: (1 + 16) / ((1 + 16) + 16)
    assert found["F"]["value"] == pytest.approx(17 / 33)
    assert found["RMSE"]["value"] == pytest.approx(0.5)


def test_points_in_micrometers(tmp_path):
    result = spots(tmp_path, [(1.0, 1.0), (3.0, 4.0)], "micrometer", 0.2,
                   truth=[(1.0, 1.0), (3.0, 4.1)])  # fmt: skip
    assert result.scores["metrics"]["F"]["value"] == 1.0


def test_points_in_pixels_where_micrometers_are_due_are_refused_with_a_hint(tmp_path):
    result = spots(tmp_path, [(10.0, 10.0), (30.0, 40.0)], "micrometer", 0.2,
                   truth=[(1.0, 1.0)])  # fmt: skip
    assert result.scores is None
    assert {f.code for f in result.findings} == {"POINTS_OUTSIDE"}
    assert "look like pixels" in result.findings[0].mend
    assert result.findings[0].line == 2


def test_points_counted_from_the_corner_may_lie_on_the_far_edge(tmp_path):
    """The image's width and height are the largest coordinates then; truth may have them too."""
    edge = [(5.0, 6.0), (0.0, 1.0)]  # of 50 x 60 pixels of 0.1 um
    result = spots(tmp_path, edge, "micrometer", 0.2, truth=edge)
    assert result.scores["metrics"]["F"]["value"] == 1.0


def test_points_a_little_outside_arent_taken_for_pixels(tmp_path):
    result = spots(tmp_path, [(5.2, 1.0)], "micrometer", 0.2, truth=[(1.0, 1.0)])
    assert {f.code for f in result.findings} == {"POINTS_OUTSIDE"}
    assert "look like pixels" not in result.findings[0].mend


def test_nan_and_text_in_points_are_said_with_their_line(tmp_path):
    folder = tmp_path / "pred"
    folder.mkdir()
    release = write_release(
        tmp_path / "release", "points", {"a": {"truth": [], "shape": (9, 9), "axes": "yx"}},
        tolerance=1,
    )  # fmt: skip
    (folder / "a.csv").write_text("y,x\n1,nan\n2,two\n3,3\n")
    result = score(release, folder, "train")
    assert [(f.code, f.line) for f in result.findings] == [("POINTS_NAN", 2), ("POINTS_NUMBER", 3)]


def test_points_of_all_images_in_one_table(tmp_path):
    release = write_release(
        tmp_path / "release", "points",
        {k: {"truth": [(1.0, 2.0)], "shape": (9, 9), "axes": "yx"} for k in "ab"}, tolerance=1,
    )  # fmt: skip
    table = tmp_path / "points.csv"
    table.write_text("image,axis-0,axis-1\na,1,2\nb.tif,1,7\n")
    assert score(release, table, "train").scores["metrics"]["F"]["value"] == 0.5


def test_semantic_dice_and_iou_by_class(tmp_path):
    truth = np.array([[1, 1, 2, 2], [0, 0, 2, 2]], np.uint8)
    pred = np.array([[1, 0, 2, 2], [0, 0, 2, 1]], np.uint8)
    release = write_release(
        tmp_path / "r", "semantic-segmentation", {"a": {"truth": truth}},
        classes={1: "nucleus", 2: "cytoplasm"}, metrics=["Dice", "IoU", "Dice:nucleus"],
    )  # fmt: skip
    write_labels(tmp_path / "p" / "a.tif", pred)
    found = score(release, tmp_path / "p", "train").scores["metrics"]
    assert found["Dice:nucleus"]["value"] == pytest.approx(0.5)
    assert found["Dice"]["value"] == pytest.approx((0.5 + 6 / 7) / 2)
    assert found["IoU"]["value"] == pytest.approx((1 / 3 + 3 / 4) / 2)
    write_labels(tmp_path / "q" / "a.tif", pred + 5)
    assert score(release, tmp_path / "q", "train").findings[0].code == "CLASS_UNKNOWN"


def test_semantic_agrees_with_the_definition():
    assert dice(0, 0, 0, 1.0) == 1.0
    assert iou(3, 5, 4, 0.0) == 0.5


def test_ssim_and_psnr_agree_with_skimage():
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4000, (60, 70)).astype(np.uint16)
    pred = np.clip(truth + rng.normal(0, 200, truth.shape), 0, 65535).astype(np.uint16)
    theirs = metrics.structural_similarity(
        truth.astype(float), pred.astype(float), data_range=65535, gaussian_weights=True,
        sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    assert restoration.ssim(truth, pred, 65535) == pytest.approx(theirs, abs=1e-12)
    psnr = metrics.peak_signal_noise_ratio(truth, pred, data_range=65535)
    assert restoration.psnr(truth, pred, 65535) == pytest.approx(psnr, abs=1e-9)


def test_scale_invariant_psnr_ignores_gain_and_offset():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 100, (32, 32))
    assert restoration.si_psnr(truth, truth * 3 - 20, 255) == 100.0
    assert restoration.si_psnr(truth, np.zeros_like(truth), 255) == pytest.approx(
        restoration.psnr(truth, np.full_like(truth, truth.mean()), 255)
    )


def test_ms_ssim_is_one_for_the_truth_and_falls_with_noise():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 1, (180, 180)).repeat(1, 0)
    values = [
        restoration.ms_ssim(truth, truth + rng.normal(0, s, truth.shape), 1.0)
        for s in (0, 0.05, 0.2, 0.6)
    ]
    assert values[0] == pytest.approx(1.0)
    assert values == sorted(values, reverse=True)
    small = truth[:12, :12]
    assert restoration.ms_ssim(small, small * 0.9, 1.0) == pytest.approx(
        restoration.ssim(small, small * 0.9, 1.0)
    )


def test_the_data_range_is_pinned_not_taken_from_the_prediction(tmp_path):
    truth = np.zeros((20, 20), np.uint16)
    with pytest.raises(ValueError, match="data_range"):
        release = write_release(tmp_path / "r", "restoration", {"a": {"truth": truth}})
        score(release, tmp_path, "train")
    release = write_release(tmp_path / "r2", "restoration", {"a": {"truth": truth}},
                            data_range=1000)  # fmt: skip
    write_labels(tmp_path / "p" / "a.tif", truth + 10)
    found = score(release, tmp_path / "p", "train").scores["metrics"]
    assert found["PSNR"]["value"] == pytest.approx(40.0)


def test_of_classes_each_has_its_values_and_wrong_pixels_are_shown(tmp_path):
    truth = np.zeros((20, 20), np.uint8)
    truth[2:8, 2:8], truth[10:16, 2:8] = 1, 2
    pred = truth.copy()
    pred[2:8, 2:4], pred[0, 18] = 0, 2
    release = write_release(
        tmp_path / "r", "semantic-segmentation", {"a": {"truth": truth}},
        classes={1: "nucleus", 2: "cell"},
    )  # fmt: skip
    write_labels(tmp_path / "p" / "a.tif", pred)
    found = score(release, tmp_path / "p", out=tmp_path / "o").scores["metrics"]
    assert found["Dice:nucleus"]["value"] == pytest.approx(2 * 24 / (24 + 36))
    assert found["IoU:cell"]["value"] == pytest.approx(36 / 37)
    picture = imagecodecs.png_decode((tmp_path / "o/overlays/a.png").read_bytes()).astype(int)
    missed, false, right = picture[3, 2], picture[0, 18], picture[4, 7]
    assert missed[2] > missed[1] and false[0] > false[2] and right[1] > right[0]
