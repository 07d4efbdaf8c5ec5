"""Tracking metrics against the Cell Tracking Challenge's own implementation."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import pytest
from releases import perturbed_lineage, random_lineage, write_tracking

from slidebox.scoring import task_tracking, tracking
from slidebox.scoring.predictions import Refused
from slidebox.scoring.release import Item
from slidebox.scoring.settings import Settings

NAMES = ("SEG", "DET", "TRA", "LNK", "CT", "TF", "CCA", "OP_CSB", "OP_CTB")


def official(result, truth):
    evaluate = pytest.importorskip("ctc_metrics.scripts.evaluate").evaluate_sequence
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evaluate(str(result), str(truth), threads=1)


def ours(result, truth, frames, tolerance=0):
    settings = Settings(division_tolerance=tolerance)
    item = Item("s", "t", "g", result, truth, "tyx", frames.shape)
    rows, problems = task_tracking.read_tracks(result / "res_track.txt", "r", len(frames))
    assert not problems
    pred = task_tracking.Result(sorted(result.glob("mask*.tif")), rows, "r")
    row = task_tracking.measure(item, task_tracking.read_truth(item), pred, settings)
    counts = {k: np.array([v], float) for k, v in row.items()}
    return {k: float(v[0]) for k, v in task_tracking.values(counts, settings).items()}


def compare(mine, theirs, tolerance):
    for name in NAMES:
        value = theirs[name]
        if value is None:
            assert np.isnan(mine[name]), name
        else:
            assert mine[name] == pytest.approx(value, abs=1e-12), name
    for name, key in (("BC", f"BC({tolerance})"), ("division_F1", "BC(0)"), ("BIO", None)):
        value = theirs[key or f"BIO({tolerance})"]
        if value is None:
            assert np.isnan(mine[name]), name
        else:
            assert mine[name] == pytest.approx(value, abs=1e-9), name


def test_agrees_with_py_ctcmetrics_over_random_lineages(tmp_path):
    rng = np.random.default_rng(11)
    compared = 0
    for k in range(14):
        masks, tracks = random_lineage(rng, frames=6, size=40)
        found, found_tracks = perturbed_lineage(rng, masks, tracks)
        if not tracks or not found_tracks:
            continue
        truth, result = tmp_path / f"{k}_GT", tmp_path / f"{k}_RES"
        write_tracking(truth / "TRA", masks, tracks, "man_track")
        write_tracking(truth / "SEG", masks, None, "man_seg")
        write_tracking(result, found, found_tracks, "mask")
        theirs = official(result, truth)
        if theirs.get("Valid") == 0:
            continue
        compare(ours(result, truth, masks, k % 3), theirs, k % 3)
        compared += 1
    assert compared >= 10


def test_agrees_on_real_sequences(shared_data, tmp_path):
    """The mother machine's chambers against themselves, one shifted, one with tracks cut."""
    folder = shared_data / "tracking" / "delta_ecoli_mothermachine"
    sequences = sorted({p.parent.parent for p in folder.rglob("man_track.txt")})
    if not sequences:
        pytest.skip("the tracking data has no man_track.txt")
    import tifffile

    compared = 0
    for truth in sequences[:3]:
        paths = sorted((truth / "TRA").glob("man_track*.tif"))
        masks = np.stack([tifffile.imread(p) for p in paths])
        rows = [tuple(map(int, line.split())) for line in
                (truth / "TRA" / "man_track.txt").read_text().splitlines()]  # fmt: skip
        reference = tmp_path / f"{truth.name}_ref"
        write_tracking(reference / "TRA", masks, rows, "man_track")
        write_tracking(reference / "SEG", masks, None, "man_seg")
        result = write_tracking(tmp_path / f"{truth.name}_res", np.roll(masks, 2, 1), rows, "mask")
        theirs = official(result, reference)
        if theirs.get("Valid") == 0:
            continue
        compare(ours(result, reference, masks), theirs, 0)
        compared += 1
    assert compared


def simple():
    masks = np.zeros((3, 12, 24), np.uint16)
    masks[0, 2:9, 2:20] = 1
    masks[1:, 2:9, 2:9], masks[1:, 2:9, 14:20] = 2, 3
    return masks, [(1, 0, 0, 0), (2, 1, 2, 1), (3, 1, 2, 1)]


def test_labels_above_32767_are_like_any_other(tmp_path):
    # py-ctcmetrics overflows uint16 and says 0 and "Valid" for this
    masks, tracks = simple()
    masks[masks > 0] += 40000
    tracks = [(a + 40000, b, c, p + 40000 * (p > 0)) for a, b, c, p in tracks]
    truth, result = tmp_path / "GT", tmp_path / "RES"
    write_tracking(truth / "TRA", masks, tracks, "man_track")
    write_tracking(result, masks, tracks, "mask")
    found = ours(result, truth, masks)
    assert {found[n] for n in ("SEG", "DET", "TRA", "LNK", "CT", "TF", "BC")} == {1.0}


def test_no_background_is_fine(tmp_path):
    masks = np.ones((2, 6, 6), np.uint16)
    masks[:, :, 3:] = 2
    tracks = [(1, 0, 1, 0), (2, 0, 1, 0)]
    write_tracking(tmp_path / "GT/TRA", masks, tracks, "man_track")
    result = write_tracking(tmp_path / "RES", masks, tracks, "mask")
    assert ours(result, tmp_path / "GT", masks)["TRA"] == 1.0


def test_empty_result_is_the_worst_and_no_error(tmp_path):
    masks, tracks = simple()
    write_tracking(tmp_path / "GT/TRA", masks, tracks, "man_track")
    result = write_tracking(tmp_path / "RES", np.zeros_like(masks), [], "mask")
    found = ours(result, tmp_path / "GT", masks)
    assert all(found[n] == 0.0 for n in ("SEG", "DET", "TRA", "LNK", "CT", "TF", "BC"))


def test_empty_reference_frame_is_counted_as_empty(tmp_path):
    masks, tracks = simple()
    masks[2] = 0
    tracks = [(1, 0, 0, 0), (2, 1, 1, 1), (3, 1, 1, 1)]
    write_tracking(tmp_path / "GT/TRA", masks, tracks, "man_track")
    result = write_tracking(tmp_path / "RES", masks, tracks, "mask")
    assert ours(result, tmp_path / "GT", masks)["TRA"] == 1.0


def test_track_fractions_do_not_depend_on_the_order_of_labels():
    # py-ctcmetrics stops at the first reference that a result track follows whole
    frames = tracking.Frames()
    a = np.zeros((2, 8), np.uint16)
    frames.add(np.array([[1, 1, 0, 0]]).astype(np.uint16), np.array([[5, 5, 0, 0]], np.uint16))
    frames.add(np.array([[2, 2, 0, 0]]).astype(np.uint16), np.array([[5, 5, 0, 0]], np.uint16))
    tracks = [tracking.Track(1, 0, 0, 0), tracking.Track(2, 1, 1, 0)]
    assert a is not None
    assert tracking.track_fractions(tracking.assignments(frames), tracks) == (2.0, 2)


def test_sparse_slices_of_a_volume_count_an_object_once(tmp_path):
    masks = np.zeros((1, 3, 6, 6), np.uint16)
    masks[0, :, 1:4, 1:4] = 1
    write_tracking(tmp_path / "GT/TRA", masks, [(1, 0, 0, 0)], "man_track")
    for z in (0, 2):
        folder = tmp_path / "GT/SEG"
        folder.mkdir(exist_ok=True, parents=True)
        import tifffile

        tifffile.imwrite(folder / f"man_seg_000_{z:03d}.tif", masks[0, z], metadata=None)
    result = write_tracking(tmp_path / "RES", masks, [(1, 0, 0, 0)], "mask")
    item = Item("s", "t", "g", result, tmp_path / "GT", "tzyx", masks.shape)
    pred = task_tracking.Result(sorted(result.glob("mask*")), [tracking.Track(1, 0, 0, 0)], "r")
    row = task_tracking.measure(item, task_tracking.read_truth(item), pred, Settings())
    assert (row["seg_sum"], row["seg_n"]) == (1.0, 1)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ("1 0 9 0\n", "TRACK_RANGE"),
        ("1 2 1 0\n", "TRACK_RANGE"),
        ("1 0 2\n", "TRACK_LINE"),
        ("1 0 2 x\n", "TRACK_LINE"),
        ("1 0 1 0\n1 2 2 0\n", "TRACK_TWICE"),
        ("1 0 2 7\n", "TRACK_PARENT"),
        ("1 0 1 0\n2 1 2 1\n", "TRACK_PARENT_LATE"),
        ("1 0 2 2\n2 0 2 1\n", "TRACK_CYCLE"),
        ("1 0 2 1\n", "TRACK_CYCLE"),
        ("-3 0 2 0\n", "TRACK_LABEL"),
    ],
)
def test_wrong_tracks_are_said_with_their_line(tmp_path, rows, code):
    path = tmp_path / "res_track.txt"
    path.write_text(rows)
    _, problems = task_tracking.read_tracks(path, "01_RES/res_track.txt", 3)
    assert code in {p.code for p in problems}
    assert all(p.file == "01_RES/res_track.txt" and p.line for p in problems)


def test_labels_and_tracks_must_agree_frame_by_frame(tmp_path):
    masks, tracks = simple()
    result = write_tracking(tmp_path / "RES", masks, tracks[:2], "mask")
    item = Item("s", "t", "g", result, None, "tyx", masks.shape)
    rows, _ = task_tracking.read_tracks(result / "res_track.txt", "r", 3)
    pred = task_tracking.Result(sorted(result.glob("mask*")), rows, "r")
    with pytest.raises(Refused) as refused:
        task_tracking.verify(item, pred, Settings())
    assert [f.code for f in refused.value.findings] == ["LABEL_WITHOUT_TRACK"] * 2
    assert "frame 1: labels 3" in refused.value.findings[0].message
