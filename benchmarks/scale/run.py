"""What an archive costs as it grows: simulated archives, measured in CPU seconds and memory.

    python benchmarks/scale/run.py sealed [N]    nothing to do; one new among N (10,000)
    python benchmarks/scale/run.py pending [N]   scheduling of N small pending submissions (2,000)
    python benchmarks/scale/run.py files [N]     one submission of N small files (100,000) over the
                                                 floor of reading and hashing them

Each prints a line of JSON for sizes up to N (a tenth, a third, the whole), so that what grows
faster than its size shows; `--report FILE` adds the lines to a file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from slidebox import config as configuration
from slidebox import deposit
from slidebox.demo import inbox as demo_inbox
from slidebox.ingest import queue

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
from slidebox import config
from slidebox.ingest import archive, images, seal, study, validation
sys.argv, (stage, accession, key) = sys.argv[:1], sys.argv[1:]
loaded = config.load({})
{
    "validate": lambda: validation.validate(loaded, accession, key),
    "archive": lambda: archive.archive(loaded, accession, key),
    "images": lambda: images.derive(loaded, accession, key, 1),
    "study": lambda: study.publish(loaded, accession, key),
    "seal": lambda: seal.seal(loaded, accession, key),
}[stage]()
"""


def alone(folder: Path, module: str, *arguments: str) -> dict:
    """CPU seconds and peak MB of ``python -m module`` without its children."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, module, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


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
    nothing = snakemake(top)
    small(config.inbox, n)
    return {"nothing to do": nothing, "one new, planned": snakemake(top, "-n")}


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


def files(top: Path, n: int) -> dict:
    """Every stage of one submission of `n` small tables, over the floor of reading and hashing."""
    config = archive(top)
    folder = config.inbox / "SB-1"
    folder.mkdir(parents=True)
    text = (demo_inbox.RECORDS / "SB-LAPSE.yaml").read_text(encoding="utf-8")
    record = yaml.safe_load(text) | {"accession": "SB-1"}
    del record["annotation_sets"]
    record["study_components"][0]["name"] = "Images"
    (folder / "study.yaml").write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    rows = ["path\tpart"]
    for number in range(n):
        path = folder / f"t{number // 1000:04}" / f"{number}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"cell,area\n{number},1\n" * 20, encoding="utf-8")
        rows.append(f"{path.relative_to(folder)}\tImages")
    (folder / "files.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    deposit.write_ready(folder, "SB-1")
    begun = _cpu()
    for path, _ in deposit.walk(folder):
        data = (folder / path).read_bytes()
        hashlib.sha256(data), hashlib.sha512(data)
    floor = _cpu() - begun
    (item,) = queue.scan(config)
    (top / "stage.py").write_text(STAGE, encoding="utf-8")
    told, total = {}, 0.0
    for stage in ("validate", "archive", "images", "study", "seal"):
        told[stage] = alone(top, "stage", stage, item.accession, item.key)
        total += told[stage]["cpu_seconds"]
    over = 1000 * (total - floor) / n
    return {"floor": round(floor, 2), "stages": told, "ms_a_file_over_floor": round(over, 3)}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["sealed", "pending", "files"])
    parser.add_argument("n", nargs="?", type=int)
    parser.add_argument("--report", type=Path)
    a = parser.parse_args()
    report = a.report.absolute() if a.report else None
    most = a.n or {"sealed": 10_000, "pending": 2_000, "files": 100_000}[a.what]
    for n in (most // 10, most // 3, most):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="slidebox-scale-") as folder:
            made = {"sealed": sealed, "pending": pending, "files": files}[a.what](Path(folder), n)
            os.chdir(CHECKOUT)
        line = json.dumps({"what": a.what, "n": n, **made})
        print(line, f"({time.monotonic() - begun:.0f} s)", flush=True)
        if report:
            with report.open("a", encoding="utf-8") as handle:
                handle.write(line + "\n")


if __name__ == "__main__":
    main()
