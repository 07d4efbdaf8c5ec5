"""What each stage costs, and the model fitted to it that sizes the jobs.

    python benchmarks/resources/run.py [CASE ...] [--keep]

Makes submissions of several shapes, runs each stage of each in a process of its own, and fits
memory and CPU seconds to what the planner can know: files, bytes, images, decoded bytes and the
largest plane. Prints every point with what the model says of it. `--keep` writes points and
coefficients to workflow/slidebox/ingest/sizes.json, which the workflow reads, after each case; the
points of cases that are not measured now stay.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
import yaml
from scipy.optimize import linprog, nnls

from slidebox import atomic, deposit
from slidebox import config as configuration
from slidebox.demo import inbox as demo_inbox
from slidebox.ingest import queue, sizes, stages

STAGES = (*stages.LOGS, "ingest")
"""Each stage as a job of its own, and all of them in one, as small submissions have it."""
# Name -> (tables of 1 kB, images, shape of an image in z, y, x of uint16)
CASES = {
    "one small image": (0, 1, (1, 64, 64)),
    "eight small images": (0, 8, (1, 256, 256)),
    "sixty small images": (0, 60, (1, 256, 256)),
    "one plane of 32 MB": (0, 1, (1, 4096, 4096)),
    "one plane of 128 MB": (0, 1, (1, 8192, 8192)),
    "one stack of 32 MB": (0, 1, (16, 1024, 1024)),
    "one stack of 240 MB": (0, 1, (30, 2048, 2048)),
    "one plane of 50 MB in one piece": (0, 1, (1, 5000, 5000)),
    "three thousand tables": (3000, 1, (1, 64, 64)),
}
RUN = """
import json, resource, sys
from pathlib import Path
from slidebox import config
from slidebox.ingest import stages
loaded = config.load({})
stage, accession, key, threads = sys.argv[1:]
if stage == "ingest":
    stages.ingest(loaded, accession, key, Path("results/logs") / accession / key, int(threads))
else:
    stages.run(loaded, accession, key, stage, int(threads))
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
# Not ru_maxrss of this process: it begins with the memory of the process that started this one.
status = Path("/proc/self/status").read_text().splitlines()
mine = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({
    "mem_mb": round((mine + used[1].ru_maxrss) / 1024, 1),
    "cpu_seconds": round(sum(u.ru_utime + u.ru_stime for u in used), 2),
}))
"""


def submission(
    folder: Path, accession: str, tables: int, images: int, shape, whole: bool = False
) -> None:
    """A complete submission of noise over a gradient, which compresses as micrographs do."""
    record = yaml.safe_load((demo_inbox.RECORDS / "SB-LAPSE.yaml").read_text(encoding="utf-8"))
    del record["annotation_sets"]
    record["accession"] = accession
    record["study_components"][0]["name"] = "Images"
    folder.mkdir(parents=True)
    rows = ["path\tpart"]
    random = np.random.default_rng(1)
    for number in range(tables):
        path = folder / f"tables/{number // 1000}/{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"cell,area\n{number},1\n" + "1,2\n" * 250, encoding="utf-8")
        rows.append(f"{path.relative_to(folder)}\tImages")
    for number in range(images):
        path = folder / f"image{number}.tiff"
        with tifffile.TiffWriter(path, bigtiff=True) as writer:
            for _ in range(shape[0]):
                plane = random.poisson(np.linspace(50, 500, shape[2]), shape[1:]).astype("uint16")
                if whole:  # a reader has to decode all of it at once
                    writer.write(plane, metadata=None, rowsperstrip=shape[1], compression="zlib")
                else:
                    writer.write(plane, contiguous=True, metadata=None, rowsperstrip=64)
        rows.append(f"{path.name}\tImages")
    (folder / "study.yaml").write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    (folder / "files.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    deposit.write_ready(folder, accession)


def measure(name: str, tables: int, images: int, shape) -> list[dict]:
    """Run the stages of one submission, then all of them in one process; one point each."""
    points = []
    with tempfile.TemporaryDirectory(prefix="slidebox-resources-") as temporary:
        top = Path(temporary)
        whole = "in one piece" in name
        submission(top / "inbox" / "SB-1", "SB-1", tables, images, shape, whole)
        here = os.getcwd()
        os.chdir(top)
        try:
            (item,) = queue.scan(configuration.load({}))
            key = item.key.partition("-")[0]
            item = dataclasses.replace(item, key=key if queue.is_whole(item.key) else f"{key}-1")
            for stage in STAGES:
                # As the job's own resources are asked for: known dimensions once they are read.
                asked = sizes.Load.of_stages(configuration.load({}), item, stage)
                if stage == "ingest":
                    if not queue.is_whole(item.key):
                        break
                    for made in ("vault", "public", "results"):
                        shutil.rmtree(top / made)
                done = subprocess.run(
                    [sys.executable, "-c", RUN, stage, "SB-1", item.key, str(sizes.threads(asked))],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode:
                    sys.exit(done.stderr)
                points.append(
                    {"case": name, "stage": stage, "load": asked.to_json()}
                    | json.loads(done.stdout.splitlines()[-1])
                )
        finally:
            os.chdir(here)
    return points


def fit(points: list[dict]) -> dict[str, dict[str, list[float]]]:
    """Coefficients that are nowhere negative: of CPU seconds by least squares of the relative
    error; of memory the smallest that cover every point, since too little ends a job.
    """
    model: dict[str, dict[str, list[float]]] = {}
    for stage in STAGES:
        mine = [p for p in points if p["stage"] == stage]
        model[stage] = {}
        for what in ("mem_mb", "cpu_seconds"):
            rows = np.array([sizes.features(sizes.Load(**p["load"]), what) for p in mine])
            if what == "cpu_seconds":
                # Stored and decoded bytes go together in the cases: what reads which is known.
                rows[:, 4 if stage == "archive" else 2] = 0.0
            rows /= np.array([[p[what]] for p in mine])
            if what == "mem_mb":
                found = linprog(rows.sum(axis=0), A_ub=-rows, b_ub=-np.ones(len(mine))).x
            else:
                found, _ = nnls(rows, np.ones(len(mine)))
            model[stage][what] = [float(f"{x:.3g}") for x in found]
    return model


def keep(points: list[dict], model: dict) -> None:
    """Write the model that jobs are sized by, with the points that it was fitted to."""
    data = {
        "made_by": "benchmarks/resources/run.py",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}",
        "features": sizes.FEATURES,
        "model": model,
        "points": points,
    }
    atomic.write_json(sizes.MODEL, data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of: {', '.join(CASES)}")
    parser.add_argument(
        "--keep", action="store_true", help="write the model that jobs are sized by"
    )
    a = parser.parse_args()
    chosen = a.cases or list(CASES)
    if unknown := set(chosen) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    kept = json.loads(sizes.MODEL.read_text(encoding="utf-8"))["points"]
    points = [p for p in kept if p["case"] in CASES and p["case"] not in chosen]
    for name in chosen:
        points += measure(name, *CASES[name])
        print(name, "measured", flush=True)
        if a.keep:
            keep(points, fit(points))
    model = fit(points)
    for p in points:
        load = sizes.Load(**p["load"])
        said = [
            float(np.dot(model[p["stage"]][what], sizes.features(load, what)))
            for what in ("mem_mb", "cpu_seconds")
        ]
        print(
            f"{p['case']:24} {p['stage']:9} {p['mem_mb']:8.0f} MB (model {said[0]:6.0f}) "
            f"{p['cpu_seconds']:7.2f} CPU s (model {said[1]:6.2f})"
        )


if __name__ == "__main__":
    main()
