"""Cost of scoring beside its floor and the reference implementations, in one run.

    python benchmarks/scoring/run.py [2d] [3d] [tracking] [--references]

Each measure runs in a process of its own: CPU seconds (median of 3, of the slow references of 1;
cold: the first, with imports) and its peak memory. References are those of ``.venv-judges``, which
tests/scoring/test_judges.py makes (SLIDEBOX_SLOW=1); without it, those of this Python. How cost
grows is measured by scaling.py.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
JUDGES = ROOT / ".venv-judges" / "bin" / "python"


def field_2d() -> tuple[np.ndarray, np.ndarray]:
    """2048 x 2048 with 2,025 discs, and the same moved by 3 pixels with some lost and merged."""
    labels = np.zeros((2048, 2048), np.uint16)
    yy, xx = np.mgrid[:45, :45]
    disc = (yy - 22) ** 2 + (xx - 22) ** 2 < 19**2
    for k, (a, b) in enumerate(itertools.product(range(45), range(45)), 1):
        labels[a * 45 : a * 45 + 45, b * 45 : b * 45 + 45][disc] = k
    return labels, changed(np.roll(labels, 3, (0, 1)))


def volume_3d() -> tuple[np.ndarray, np.ndarray]:
    """128 x 512 x 512 with 1,008 ellipsoids, and the same moved by 2 voxels."""
    labels = np.zeros((128, 512, 512), np.uint16)
    zz, yy, xx = np.mgrid[:18, :42, :42]
    ball = ((zz - 9) / 8.5) ** 2 + ((yy - 21) / 20) ** 2 + ((xx - 21) / 20) ** 2 < 1
    cells = itertools.product(range(7), range(12), range(12))
    for k, (a, b, c) in enumerate(cells, 1):
        labels[a * 18 : a * 18 + 18, b * 42 : b * 42 + 42, c * 42 : c * 42 + 42][ball] = k
    return labels, changed(np.roll(labels, 2, (0, 1, 2)))


def changed(labels: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    lut = np.arange(int(labels.max()) + 1, dtype=np.uint16)
    lut[rng.integers(1, lut.size, 40)] = 0
    lut[rng.integers(1, lut.size, 40)] = rng.integers(1, lut.size, 40)
    return lut[labels]


def lapse(folder: Path, frames: int = 100, size: int = 1024, side: int = 15) -> None:
    """100 frames of 1024 x 1024 with 221 cells a frame at the end, 162 divisions, in CTC layout."""
    import tifffile

    rng = np.random.default_rng(1)
    for name in ("GT/TRA", "GT/SEG", "RES"):
        (folder / name).mkdir(parents=True)
    slots = [(y, x) for y in range(side) for x in range(side)]
    rng.shuffle(slots)
    step = size // side
    yy, xx = np.mgrid[:step, :step]
    disc = (yy - step // 2) ** 2 + (xx - step // 2) ** 2 < (step // 2 - 4) ** 2
    living: dict[int, tuple[int, int]] = {}
    tracks: dict[int, list[int]] = {}

    def born(t: int, parent: int, at: tuple[int, int]) -> None:
        label = len(tracks) + 1
        tracks[label] = [t, t, parent]
        living[label] = at

    for _ in range(59):
        born(0, 0, slots.pop())
    divide = set(rng.choice(np.arange(1, frames), 81, replace=False).tolist())
    for t in range(frames):
        for _ in range(2 if t in divide else 0):
            if slots:
                label = int(rng.choice([k for k in living if tracks[k][0] < t]))
                at = living.pop(label)
                born(t, label, at)
                born(t, label, slots.pop())
        truth = np.zeros((size, size), np.uint16)
        for label, (y, x) in living.items():
            tracks[label][1] = t
            truth[y * step : y * step + step, x * step : x * step + step][disc] = label
        found = np.roll(truth, 2, (0, 1))
        for path, array in (
            (f"GT/TRA/man_track{t:03d}.tif", truth), (f"GT/SEG/man_seg{t:03d}.tif", truth),
            (f"RES/mask{t:03d}.tif", found),
        ):  # fmt: skip
            tifffile.imwrite(folder / path, array, compression="zlib", metadata=None)
    rows = "".join(f"{k} {b} {e} {p}\n" for k, (b, e, p) in tracks.items())
    (folder / "GT/TRA/man_track.txt").write_text(rows)
    (folder / "RES/res_track.txt").write_text(rows)


THRESHOLDS = ["0.5", "0.55", "0.6", "0.65", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95"]


def ours(truth, pred):
    from slidebox.scoring.instances import match
    from slidebox.scoring.overlap import overlap
    from slidebox.scoring.settings import exact

    table = overlap(truth, pred).objects()
    return [match(table, exact(t)).tp for t in THRESHOLDS]


def floor(truth, pred):
    """One pass that any table needs: compare neighbours in both images."""
    n = 0
    for a in range(0, truth.size, 1 << 17):
        t, p = truth.reshape(-1)[a : a + (1 << 17)], pred.reshape(-1)[a : a + (1 << 17)]
        n += int(np.count_nonzero((t[1:] != t[:-1]) | (p[1:] != p[:-1])))
    return n


def stardist(truth, pred):
    from stardist.matching import matching

    return [matching(truth, pred, thresh=float(t)).tp for t in THRESHOLDS]


def judges():
    """tests/scoring/judges.py, which knows how to ask other people's packages."""
    sys.path.insert(0, str(ROOT / "tests" / "scoring"))
    import judges

    return judges


def cellpose(truth, pred):
    metrics = judges().cellpose()
    return metrics.average_precision(truth, pred, [float(t) for t in THRESHOLDS])


def panoptica(truth, pred):
    """One threshold, one run; its distances between surfaces are left out."""
    from panoptica import InputType, Metric, NaiveThresholdMatching, Panoptica_Evaluator

    evaluator = Panoptica_Evaluator(
        InputType.UNMATCHED_INSTANCE, instance_matcher=NaiveThresholdMatching(),
        instance_metrics=[Metric.IOU], global_metrics=[], verbose=False, log_times=False,
    )  # fmt: skip
    with judges().quiet():
        return evaluator.evaluate(pred, truth)["ungrouped"].pq


def skimage(truth, pred):
    from skimage.metrics import adapted_rand_error, variation_of_information

    return variation_of_information(truth, pred), adapted_rand_error(truth, pred)


def tracking_ours(folder):
    from slidebox.scoring import task_tracking as task
    from slidebox.scoring.release import Item
    from slidebox.scoring.settings import Settings

    item = Item("s", "t", "g", folder, folder / "GT", "tyx", (100, 1024, 1024))
    rows, _ = task.read_tracks(folder / "RES/res_track.txt", "r", 100)
    pred = task.Result(sorted((folder / "RES").glob("mask*")), rows, "r")
    row = task.measure(item, task.read_truth(item), pred, Settings())
    values = task.values({k: np.array([v], float) for k, v in row.items()}, Settings())
    return {k: float(v[0]) for k, v in values.items()}


def tracking_floor(folder):
    """Read both sequences once."""
    import tifffile

    total = 0
    for path in sorted((folder / "RES").glob("mask*")):
        total += int(tifffile.imread(path, maxworkers=1)[0, 0])
        truth = folder / "GT/TRA" / path.name.replace("mask", "man_track")
        total += int(tifffile.imread(truth, maxworkers=1)[0, 0])
    return total


def py_ctcmetrics(folder):
    return judges().py_ctcmetrics(folder / "RES", folder / "GT")


def traccuracy(folder):
    return judges().traccuracy(folder / "RES", folder / "GT")


OBJECTS = {
    "ours": ours, "floor": floor, "stardist": stardist, "cellpose": cellpose,
    "panoptica, one t": panoptica, "skimage VOI + ARE": skimage,
}  # fmt: skip
CASES = {
    "2d": OBJECTS,
    "3d": OBJECTS,
    "tracking": {
        "ours": tracking_ours, "floor": tracking_floor, "traccuracy": traccuracy,
        "py-ctcmetrics": py_ctcmetrics,
    },
}  # fmt: skip
ONCE = {"py-ctcmetrics", "traccuracy", "panoptica, one t"}  # these take minutes on a busy machine
LIMITS = {"2d": (0.1, None), "3d": (0.4, 500), "tracking": (3.0, 150)}


def high_water() -> float:
    """Peak of resident memory in MB; getrusage's would be the parent's at the fork."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def measure(case: str, name: str, data: Path, repeats: int) -> dict[str, float]:
    """CPU seconds and peak memory of one implementation, in this process."""
    function = CASES[case][name]
    if case == "tracking":
        arguments = (data,)
    else:
        arguments = tuple(np.load(data / f"{k}.npy") for k in ("truth", "pred"))
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        function(*arguments)
        times.append(time.process_time() - begin)
    peak = high_water()
    return {"cpu": statistics.median(times), "first": times[0], "peak": peak}


def apart(case: str, name: str, folder: str) -> dict[str, float] | str:
    """`measure` in a process of its own, or why not; references with the judges' Python."""
    mine = name in ("ours", "floor")
    python = sys.executable if mine or not JUDGES.exists() else JUDGES
    done = subprocess.run(
        [python, "-W", "ignore", __file__, "--one", case, name, folder], capture_output=True,
        text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")},
    )  # fmt: skip
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["ended without a word"])[-1]
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("cases", nargs="*", default=[], help="2d, 3d, tracking (default: all)")
    args.add_argument("--references", action="store_true", help="measure the references too")
    args.add_argument("--json", type=Path)
    args.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = args.parse_args()
    if given.one:
        case, name, data = given.one
        repeats = 1 if name in ONCE else 3
        print(json.dumps(measure(case, name, Path(data), repeats)))
        return
    results = {}
    for case in given.cases or CASES:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder)
            if case == "tracking":
                lapse(data)
            else:
                truth, pred = field_2d() if case == "2d" else volume_3d()
                np.save(data / "truth.npy", truth)
                np.save(data / "pred.npy", pred)
                del truth, pred
            limit, memory = LIMITS[case]
            print(f"\n{case}: at most {limit} CPU s" + (f", {memory} MB" if memory else ""))
            print(f"  {'':18} {'CPU s':>8} {'cold':>8} {'peak MB':>8} {'x floor':>8}")
            base = None
            for name in sorted(CASES[case], key=lambda n: n != "floor"):
                if name not in ("ours", "floor") and not given.references:
                    continue
                found = apart(case, name, folder)
                if isinstance(found, str):
                    print(f"  {name:18} not measured: {found}")
                    continue
                base = base or found["cpu"]
                results[f"{case}/{name}"] = found
                print(f"  {name:18} {found['cpu']:8.3f} {found['first']:8.3f} "
                      f"{found['peak']:8.0f} {found['cpu'] / base:8.1f}", flush=True)  # fmt: skip
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
