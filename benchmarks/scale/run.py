"""What an archive costs as it grows: simulated archives, measured in CPU seconds and memory.

    python benchmarks/scale/run.py                  all of these, and what was allowed
    python benchmarks/scale/run.py sealed [N ...]   nothing to do; one new among N (10,000)
    python benchmarks/scale/run.py pending [N ...]  scheduling of N small submissions (2,000)
    python benchmarks/scale/run.py files [N ...]    one submission of N small files (100,000), over
                                                    the floor of reading and hashing them
    python benchmarks/scale/run.py images [N ...]   the same of N small images (3,000), over the
                                                    floor of hashing and converting them

Each prints a line of JSON for each size (a tenth and the whole of the number in brackets), and at
the end each cost as a part of what is allowed (below 1 is good), and how it grew from the smaller
size to the larger one: 1 is in proportion, 2 would be quadratic. `--report FILE` adds the lines to
a file. TMPDIR says where the archives are made.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import math
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile
import yaml

from slidebox import config as configuration
from slidebox import deposit
from slidebox.demo import inbox as demo_inbox
from slidebox.ingest import queue, stages

CHECKOUT = Path(__file__).resolve().parents[2]
# Runs a program and prints, last, what it alone took: its jobs are other processes.
ALONE = """
import json, resource, runpy, sys
sys.argv, code = sys.argv[1:], 0
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit as end:
    code = end.code or 0
used = resource.getrusage(resource.RUSAGE_SELF)
status = open("/proc/self/status").read()
peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
print(json.dumps({"cpu_seconds": round(used.ru_utime + used.ru_stime, 2), "peak_mb": peak >> 10}))
sys.exit(code)
"""
STAGE = """
import sys
from pathlib import Path
from slidebox import config, deposit
from slidebox.ingest import index, queue, stages
sys.argv, (stage, accession, key) = sys.argv[:1], sys.argv[1:]
loaded = config.load({})
if stage == "submit":
    deposit.write_ready(loaded.inbox / accession, accession)
elif stage == "index":
    index.index(loaded, queue.catalogue_key(queue.receipts(loaded)))
else:
    stages.run(loaded, accession, key, stage)
"""
# What is allowed: where it stands in a line of JSON, and how much.
ALLOWED = [
    ("sealed", ("nothing to do", "cpu_seconds"), 2.0),
    ("sealed", ("nothing to do", "peak_mb"), 120.0),
    ("sealed", ("one new, planned", "cpu_seconds"), 3.0),
    ("pending", ("ms_each",), 50.0),
    ("files", ("ms_a_file_over_floor",), 5.0),
    ("files", ("all stages", "peak_mb"), 2000.0),
    ("images", ("ms_a_file_over_floor",), None),
]


def alone(folder: Path, module: str, *arguments: str) -> dict:
    """CPU seconds and peak MB of ``python -m module`` without its children, and seconds by the
    clock with them.
    """
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", ALONE, module, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    told = json.loads(done.stdout.splitlines()[-1])
    return {**told, "seconds": round(time.monotonic() - begun, 2)}


def best(measure: Callable[[], dict]) -> dict:
    """The least of three: what else the machine does only adds to it."""
    told = [measure() for _ in range(3)]
    return {name: min(one[name] for one in told) for name in told[0]}


def archive(folder: Path) -> configuration.Config:
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "config.yaml").write_text("challenges: none\n", encoding="utf-8")
    os.chdir(folder)
    return configuration.load({})


def small(inbox: Path, number: int) -> None:
    """A submission of ten small files."""
    folder = inbox / f"SB-{number:06}"
    folder.mkdir(parents=True)
    for name in range(10):
        (folder / f"{name}.csv").write_text(f"cell,area\n{number},{name}\n", encoding="utf-8")
    keep, os.fsync = os.fsync, lambda fd: None  # it is the making that need not be durable
    deposit.write_ready(folder, folder.name)
    os.fsync = keep


def snakemake(folder: Path, *arguments: str, snakefile: Path = CHECKOUT / "Snakefile") -> dict:
    options = ["--cores", "2", "--snakefile", str(snakefile), "--directory", str(folder)]
    return alone(folder, "snakemake", *options, *arguments)


def sealed(top: Path, n: int) -> dict:
    """A run over `n` sealed submissions, and over one more that is new."""
    config = archive(top)
    for number in range(n):
        small(config.inbox, number)
    known = {(item.accession, item.key) for item in queue.scan(config)}
    (config.results / "receipts").mkdir(parents=True)
    for accession, key in known:
        receipt = {"accession": accession, "key": key, "status": "rejected", "where": None}
        path = config.results / "receipts" / f"{accession}~{key}.json"
        path.write_text(json.dumps(receipt), encoding="utf-8")
    index = config.results / "index" / f"{queue.catalogue_key(known)}.json"
    index.parent.mkdir()
    index.write_text("{}", encoding="utf-8")
    snakemake(top)  # warm
    told = {
        "snakemake --version": best(lambda: alone(top, "snakemake", "--version")),
        "nothing to do": best(lambda: snakemake(top)),
    }
    small(config.inbox, n)
    return {**told, "one new, planned": best(lambda: snakemake(top, "-n"))}


def pending(top: Path, n: int) -> dict:
    """The main process over `n` pending submissions whose stages cost nothing themselves."""
    config = archive(top)
    for number in range(n):
        small(config.inbox, number)
    house = top / "house"
    shutil.copytree(CHECKOUT / "rules", house / "rules")
    shutil.copytree(CHECKOUT / "profiles", house / "profiles")
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(CHECKOUT / name, house)
    for path in (house / "rules").glob("*.smk"):
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"script:\n.*", 'shell:\n        "touch {output}"', text)
        path.write_text(text, encoding="utf-8")
    used = snakemake(top, snakefile=house / "Snakefile")
    return {**used, "ms_each": round(1000 * used["cpu_seconds"] / n, 1)}


def files(top: Path, n: int, images: bool = False) -> dict:
    """Every stage of one submission of `n` small files, over the floor of reading, hashing and
    converting them.
    """
    config = archive(top)
    folder = config.inbox / "SB-1"
    folder.mkdir(parents=True)
    text = (demo_inbox.RECORDS / "SB-LAPSE.yaml").read_text(encoding="utf-8")
    record = yaml.safe_load(text) | {"accession": "SB-1"}
    del record["annotation_sets"]
    record["study_components"][0]["name"] = "Images"
    (folder / "study.yaml").write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    noise = np.random.default_rng(1)
    with (folder / "files.tsv").open("w", encoding="utf-8") as rows:
        rows.write("path\tpart\n")
        for number in range(n):
            path = folder / f"t{number // 1000:04}" / f"{number}{'.tiff' if images else '.csv'}"
            path.parent.mkdir(exist_ok=True)
            if images:
                tifffile.imwrite(path, noise.integers(0, 4000, (64, 64), dtype="uint16"))
            else:
                path.write_text(f"cell,area\n{number},1\n" * 20, encoding="utf-8")
            rows.write(f"{path.relative_to(folder)}\tImages\n")
    (top / "stage.py").write_text(STAGE, encoding="utf-8")
    told = {"submit": alone(top, "stage", "submit", "SB-1", "-")}
    floor = {"hashing": _hashing(folder)}
    if images:
        floor["converting"] = _converting(folder, n, top / "floor")
    (item,) = queue.scan(config)
    key = item.key if queue.is_whole(item.key) else item.key.partition("-")[0] + "-1"
    for stage in (*stages.LOGS, "index"):
        told[stage] = alone(top, "stage", stage, "SB-1", key)
    total = sum(told[stage]["cpu_seconds"] for stage in stages.LOGS)
    peak = max(told[stage]["peak_mb"] for stage in stages.LOGS)
    return {
        "all stages": {"cpu_seconds": round(total, 2), "peak_mb": peak},
        "floor": {name: round(seconds, 2) for name, seconds in floor.items()},
        "stages": told,
        "ms_a_file_over_floor": round(1000 * (total - sum(floor.values())) / n, 3),
    }


def _hashing(folder: Path) -> float:
    """CPU seconds of reading every file once with both digests."""
    begun = _cpu()
    for path, _ in deposit.walk(folder):
        data = (folder / path).read_bytes()
        hashlib.sha256(data), hashlib.sha512(data)
    return _cpu() - begun


def _converting(folder: Path, n: int, out: Path) -> float:
    """CPU seconds that `images.convert` takes for all, from a sample of them."""
    from slidebox import images

    paths = sorted(folder.rglob("*.tiff"))[: min(n, 200)]
    out.mkdir()
    images.convert(paths[0], out / "warm.ome.zarr")
    begun = _cpu()
    for number, path in enumerate(paths):
        images.convert(path, out / f"{number}.ome.zarr", thumbnail=out / f"{number}.png")
    return (_cpu() - begun) / len(paths) * n


def images(top: Path, n: int) -> dict:
    """As `files`, but each is an image."""
    return files(top, n, images=True)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["all", *MOST], nargs="?", default="all")
    parser.add_argument("n", nargs="*", type=int)
    parser.add_argument("--report", type=Path)
    a = parser.parse_args()
    report = a.report.absolute() if a.report else None
    lines = []
    for what in MOST if a.what == "all" else [a.what]:
        for n in a.n or (MOST[what] // 10, MOST[what]):
            begun = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="slidebox-scale-") as folder:
                made = MEASURES[what](Path(folder), n)
                os.chdir(CHECKOUT)
            lines.append({"what": what, "n": n, **made})
            print(json.dumps(lines[-1]), f"({time.monotonic() - begun:.0f} s)", flush=True)
            if report:
                with report.open("a", encoding="utf-8") as handle:
                    handle.write(json.dumps(lines[-1]) + "\n")
    print("\n".join(compared(lines)))


def compared(lines: list[dict]) -> Iterator[str]:
    """Each cost at the largest size, as a part of what is allowed, and how it grew up to there."""
    for what, where, allowed in ALLOWED:
        mine = sorted((line for line in lines if line["what"] == what), key=lambda line: line["n"])
        if not mine:
            continue
        costs = [functools.reduce(dict.__getitem__, where, line) for line in mine]
        words = f"{what} {mine[-1]['n']}: {', '.join(where)}: {costs[-1]}"
        if allowed:
            words += f", {costs[-1] / allowed:.2f} of {allowed:g}"
        if len(mine) > 1:
            (few, many), (less, more) = [line["n"] for line in mine[-2:]], costs[-2:]
            per_item = 1 if where[-1].startswith("ms_") else 0
            if few < many and less > 0 and more > 0:
                power = math.log(more / less) / math.log(many / few) + per_item
                words += f"; grows with N to the power of {power:.2f}"
        yield words


MOST = {"sealed": 10_000, "pending": 2_000, "files": 100_000, "images": 3_000}
MEASURES = {"sealed": sealed, "pending": pending, "files": files, "images": images}

if __name__ == "__main__":
    main()
