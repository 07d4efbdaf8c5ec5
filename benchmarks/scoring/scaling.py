"""How the cost of scoring grows: with pixels, beyond memory, over threads.

    python benchmarks/scoring/scaling.py [pixels] [slabs] [threads]

pixels: CPU seconds a megapixel must not grow with the image. slabs: the peak of a pair of volumes
that are several times larger than what scoring may keep. threads: CPU and wall seconds of a split.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from run import field_2d, high_water, ours

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "scoring"))
TILES = (1, 2, 4, 8)  # of 512 pixels
SLABS = (256, 1024, 1024)  # of uint32: 1 GB


def pixels() -> None:
    """The 2D case cut and tiled: the same objects a pixel at every size."""
    truth, pred = (a[:512, :512] for a in field_2d())
    print(f"{'pixels':>12} {'objects':>8} {'CPU s':>8} {'CPU s / Mpixel':>15}")
    for k in TILES:
        shift = np.arange(k * k, dtype=np.uint32).reshape(k, k) * 4096
        pair = [
            np.where(np.tile(a, (k, k)) > 0, np.tile(a, (k, k)) + np.kron(
                shift, np.ones((512, 512), np.uint32)), 0).astype(np.uint32)
            for a in (truth, pred)
        ]  # fmt: skip
        times = []
        for _ in range(3):
            begin = time.process_time()
            ours(*pair)
            times.append(time.process_time() - begin)
        size = pair[0].size
        print(f"{size:12} {np.unique(pair[0]).size - 1:8} {sorted(times)[1]:8.3f} "
              f"{sorted(times)[1] / size * 1e6:15.4f}", flush=True)  # fmt: skip


def volume_release(folder: Path) -> tuple[Path, Path]:
    """A release of one volume and a prediction of it, both too large to be read at once."""
    import tifffile
    import zarr
    from releases import write_release

    tile = np.kron(np.arange(1, 33 * 33, dtype=np.uint32)[:1024].reshape(32, 32),
                   np.ones((32, 32), np.uint32))  # fmt: skip
    tile[::32], tile[:, ::32] = 0, 0
    release = write_release(
        folder / "release", "instance-segmentation",
        {"a": {"truth": np.zeros((2, 8, 8), np.uint8), "shape": SLABS, "axes": "zyx",
               "image": np.zeros((8, 8), np.uint8)}},
    )  # fmt: skip

    def planes(moved: int):
        for z in range(SLABS[0]):
            plane = np.where(tile > 0, tile + 1024 * (z // 32), 0).astype(np.uint32)
            yield np.roll(plane, moved, 1) if z % 32 else np.zeros_like(plane)

    truth = release / "train" / "labels" / "a.tif"
    tifffile.imwrite(truth, planes(0), shape=SLABS, dtype=np.uint32, compression="zlib",
                     compressionargs={"level": 1}, rowsperstrip=1024, metadata=None)  # fmt: skip
    array = zarr.create_array(folder / "p" / "a.zarr", shape=SLABS, chunks=(16, 512, 512),
                              dtype=np.uint32)  # fmt: skip
    source = planes(3)
    for z in range(0, SLABS[0], 16):
        array[z : z + 16] = np.stack([next(source) for _ in range(16)])
    return release, folder / "p"


def one_slabs(release: str, predictions: str) -> dict[str, float]:
    from slidebox.scoring import score

    before = high_water()
    begin = time.process_time()
    found = score(release, predictions)
    return {"cpu": time.process_time() - begin, "peak": high_water(), "before": before,
            "AP": found.scores["metrics"]["AP"]["value"]}  # fmt: skip


def slabs() -> None:
    with tempfile.TemporaryDirectory() as folder:
        release, predictions = volume_release(Path(folder))
        made = subprocess.run(
            [sys.executable, __file__, "--slabs", str(release), str(predictions)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    found = json.loads(made.stdout.splitlines()[-1])
    size = 2 * int(np.prod(SLABS)) * 4 / 2**20
    volume = int(np.prod(SLABS))
    size = 2 * volume * 4 / 2**20
    print(f"pair of {size:.0f} MB: peak {found['peak']:.0f} MB ({found['before']:.0f} MB before), "
          f"{found['peak'] / size:.2f} of the pair; {found['cpu']:.1f} CPU s, "
          f"{found['cpu'] / volume * 1e6:.4f} CPU s / Mvoxel; AP {found['AP']:.4f}")  # fmt: skip


def threads() -> None:
    from releases import write_labels, write_release

    from slidebox.scoring import score

    truth, pred = field_2d()
    with tempfile.TemporaryDirectory() as folder:
        names = [f"i{k}" for k in range(12)]
        release = write_release(
            Path(folder, "r"), "instance-segmentation", {n: {"truth": truth} for n in names}
        )
        for name in names:
            write_labels(Path(folder, "p", f"{name}.tif"), pred)
        print(f"{'threads':>8} {'wall s':>8} {'CPU s':>8} {'speed-up':>9}")
        base = None
        for count in (1, 2, 4):
            wall, cpu = time.perf_counter(), time.process_time()
            score(release, Path(folder, "p"), threads=count)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            base = base or wall
            print(f"{count:8} {wall:8.2f} {cpu:8.2f} {base / wall:9.2f}", flush=True)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("which", nargs="*", help="pixels, slabs, threads (default: all)")
    args.add_argument("--slabs", nargs=2, help=argparse.SUPPRESS)
    given = args.parse_args()
    if given.slabs:
        print(json.dumps(one_slabs(*given.slabs)))
        return
    for name in given.which or ("pixels", "slabs", "threads"):
        print(f"\n{name}", flush=True)
        {"pixels": pixels, "slabs": slabs, "threads": threads}[name]()


if __name__ == "__main__":
    main()
