"""Metrics beside those of other packages over random cases, and the table of disagreements.

The packages are installed once, from their own hashed locks, into ``.venv-judges/``: nothing of
them is a dependency of Slidebox.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slidebox.scoring import disagreements

ROOT = Path(__file__).resolve().parents[2]
LOCKS = [ROOT / "requirements" / "judges.txt", ROOT / "requirements" / "judges-bare.txt"]
VENV = ROOT / ".venv-judges"
CASES = 60
# Distances are sums of many terms
TOLERANCE = {"medpy": 1e-11}


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python of ``.venv-judges``, made from the locks when it isn't yet."""
    uv = next((p for p in (Path(sys.executable).with_name("uv"), shutil.which("uv"))
               if p and Path(p).exists()), None)  # fmt: skip
    if uv is None:
        pytest.skip("uv, which installs the judges, is not there (make setup-dev brings it)")
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in LOCKS)).hexdigest()[:16]
    stamp = VENV / f"{digest}-{sys.version_info.major}.{sys.version_info.minor}.stamp"
    found = VENV / "bin" / "python"
    with LOCKS[0].open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once make it once
        if not (stamp.exists() and found.exists()):
            install(uv, "venv", "--clear", "--python", sys.executable, str(VENV))
            for path, more in zip(LOCKS, ([], ["--no-deps"]), strict=True):
                install(uv, "pip", "install", "--python", str(found), "--require-hashes", *more,
                        "-r", str(path))  # fmt: skip
            stamp.touch()
    return found


def install(uv: Path | str, *arguments: str) -> None:
    done = subprocess.run([uv, "--quiet", *arguments], capture_output=True, text=True, timeout=900)
    if done.returncode:
        said = " ".join(done.stderr.split())
        assert "Hash mismatch" not in said, said
        pytest.skip(f"the judges could not be installed: {said[:300]}")


def ask(python: Path, *arguments: str) -> list[dict]:
    script = Path(__file__).with_name("judges.py")
    done = subprocess.run([python, "-W", "ignore", script, *arguments], capture_output=True,
                          text=True, timeout=1200,
                          env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")})  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "judge",
    ["stardist", "cellpose", "panoptica", "skimage", "pycocotools", "medpy", "spotiflow",
     "py_ctcmetrics", "traccuracy"],
)  # fmt: skip
def test_equal_to(python, judge):
    (found,) = ask(python, "--cases", str(CASES), judge)
    assert found["values"] > 10
    off = {k: v for k, v in found["worst"].items() if v > TOLERANCE.get(judge, 1e-12)}
    assert not off, (judge, off)


ALIKE = "DET=1 TRA=1 LNK=1"
ONE, ZERO = "SEG=1 DET=1 TRA=1 TF=1 LNK=1", "SEG=0 DET=0 TRA=0 TF=0 LNK=0"
MERGED = "SEG=0.3333 DET=0.6667 TRA=0.6202 TF=0 LNK=0"
ONLY = "SEG=1 DET=1 TRA=0.9535 TF=1 LNK=0.3333"
EXPECTED = {
    "both_empty": {"stardist": 0.0, "cellpose": "nan", "spotiflow": 1.0, "ours": [1.0, 0.0]},
    "iou_half": {"stardist": 1, "cellpose": 1, "panoptica": 1, "ours": 1},
    "seven_tenths": {"level": 0.7000000000000002, "stardist": 1, "cellpose": 0, "panoptica": 0,
                     "ours": 1},
    "no_background": {"cellpose": ["inf", -1], "ours": 1.0},
    "greedy": {"stardist": 2, "cellpose": 2, "panoptica": 1, "ours": 2},
    "transposed": {"stardist": "ValueError", "cellpose": "0", "ours": "Refused"},
    "negative": {"stardist": "ValueError", "cellpose": "ValueError", "ours": "Refused"},
    "pieces": {"stardist": 1, "cellpose": 1, "panoptica": 1, "ours": 1, "split": 2},
    "sums_of_iou": {"stardist": True, "ours": True},
    "many_objects": {"pycocotools": 0.0495, "ours": 1.0, "limited": 0.0495},
    "first_id": {"pycocotools": 0.0, "ours": 1.0},
    "all_background": {"skimage": 0.0, "ours": [1.0, 3.0]},
    "empty_reference": {"skimage": "nan", "ours": 0.0},
    "no_pairs": {"skimage": "nan", "ours": 0.0},
    "label_40000": {"py-ctcmetrics": f"Valid=1 {ZERO}", "traccuracy": ALIKE, "ours": ONE},
    "no_background_tracking": {"py-ctcmetrics": "Valid=0", "traccuracy": ALIKE,
                               "ours": ONE},
    "empty_result": {"py-ctcmetrics": "ValueError", "traccuracy": "TypeError", "ours": ZERO},
    "empty_frame": {"py-ctcmetrics": "IndexError", "traccuracy": "DET=1 TRA=1 LNK=nan",
                    "ours": "SEG=1 DET=1 TRA=1 TF=1 LNK=nan"},
    "past_the_end": {"py-ctcmetrics": f"Valid=1 {ONE}", "traccuracy": "ValueError",
                     "ours": "Refused"},
    "transposed_mask": {"py-ctcmetrics": f"Valid=1 {ZERO}", "traccuracy": "ValueError",
                        "ours": "Refused"},
    "unknown_parent": {"py-ctcmetrics": "AssertionError", "traccuracy": "ValueError",
                       "ours": "Refused"},
    "tf_order": {"py-ctcmetrics": ["0.6667", "0.8333"], "ours": ["0.8333", "0.8333"]},
    "three_merged": {"py-ctcmetrics": f"Valid=1 {MERGED}", "ours": MERGED,
                     "traccuracy": "DET=0.8333 TRA=0.7752 LNK=0"},
    "only_child": {"py-ctcmetrics": f"Valid=1 {ONLY}", "traccuracy": ALIKE, "ours": ONLY},
    "slices": {"py-ctcmetrics": "Valid=1 SEG=0.875 DET=1 TRA=1 TF=1 LNK=1", "traccuracy": ALIKE,
               "ours": "SEG=0.9167 DET=1 TRA=1 TF=1 LNK=1"},
    "order_of_points": {"greedy": [2, 1], "ours": [2, 2]},
    "one_for_several": {"formula": 2, "ours": 1},
    "one_voxel": {"formula": 1, "ours": 0},
    "epsilon": {"spotiflow": True, "ours": 0.0},
    "directed": {"medpy": True, "surface-distance": True},
    "ms_ssim": {"sewar": True, "ours": True},
    "perfect_psnr": {"skimage": "inf", "ours": 100.0},
    "data_range": {"sewar": 0.0, "ours": 35.9868},
}  # fmt: skip


def test_every_row_of_the_table_is_expected_to_be_reproduced():
    assert [row.key for row in disagreements.ROWS] == list(EXPECTED)


@pytest.mark.slow
def test_the_table_of_disagreements_row_by_row(python):
    (found,) = ask(python, "rows")
    wrong = {k: (v, EXPECTED[k]) for k, v in found["rows"].items() if v != EXPECTED[k]}
    assert not wrong
