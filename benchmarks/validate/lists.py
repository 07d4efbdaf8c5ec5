"""Record and list checks of many files, without opening an image.

    python benchmarks/validate/lists.py [FILES] [FOLDER]

Makes a submission of FILES (100,000) small tables in folders of a thousand below FOLDER (a
temporary one, removed at the end), checks it in a process of its own, and prints CPU seconds and
peak memory against a floor: walking the same folder with lstat and reading the list's lines.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

STUDY = """\
title: A hundred thousand files for a benchmark of lists
description: Made by benchmarks/validate/lists.py to measure the checks of long lists.
keywords: [benchmark]
license: CC0-1.0
release_date: 2024-01-31
authors: [{name: Ada, email: ada@example.org, organisations: [Benchmarks]}]
reference_value: none at all
biosamples: [{name: B, organism: Mus musculus, biological_entity: none}]
specimens: [{name: S, sample_preparation: none}]
image_acquisitions:
  - name: A
    imaging_instrument: x
    acquisition_parameters: x
    imaging_methods: confocal microscopy
study_components:
  - name: Tables
    description: Tables
    associations: [{biosample: B, specimen: S, image_acquisition: A}]
"""


def make(folder: Path, n: int) -> None:
    """The submission: n files of two bytes, a list with size and free columns."""
    rows = ["path\tpart\tsize\twell\tplate"]
    for i in range(n):
        if i % 1000 == 0:
            (folder / f"plate{i // 1000:04d}").mkdir(parents=True)
        path = f"plate{i // 1000:04d}/well_{i % 1000:04d}.csv"
        (folder / path).write_text("a\n")
        rows.append(f"{path}\tTables\t2\tA{i % 24}\t{i // 1000}")
    (folder / "study.yaml").write_text(STUDY)
    (folder / "files.tsv").write_text("\n".join(rows) + "\n")


def floor(folder: str) -> dict:
    """lstat of all, lines of the list split."""
    n, stack = 0, [folder]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                n += 1
    with open(f"{folder}/files.tsv", encoding="utf-8") as handle:
        rows = [line.split("\t") for line in handle]
    return {"files": n, "rows": len(rows)}


def check(folder: str) -> dict:
    """The whole of validation; nothing here is an image."""
    from slidebox.validate import validate

    result = validate(Path(folder))
    return {"files": result.files, "status": result.status, "filesets": len(result.filesets)}


def measured(what: str, folder: Path) -> dict:
    """Run in a process of its own: what it said, CPU seconds of it and its children, peak MB."""
    out = subprocess.run(
        [sys.executable, __file__, "--run", what, str(folder)], capture_output=True, check=True
    )
    return json.loads(out.stdout)


def main() -> None:
    if sys.argv[1:2] == ["--run"]:
        told = {"floor": floor, "check": check}[sys.argv[2]](sys.argv[3])
        mine = resource.getrusage(resource.RUSAGE_SELF)
        below = resource.getrusage(resource.RUSAGE_CHILDREN)
        told["cpu"] = mine.ru_utime + mine.ru_stime + below.ru_utime + below.ru_stime
        told["mb"] = max(mine.ru_maxrss, below.ru_maxrss) / 1024
        print(json.dumps(told))
        return
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    base = Path(tempfile.mkdtemp(dir=sys.argv[2] if len(sys.argv) > 2 else None))
    try:
        folder = base / "S-BENCH1"
        make(folder, n)
        low = measured("floor", folder)
        got = measured("check", folder)
        assert got["status"] == "accepted" and got["files"] == n + 2, got
        print(f"{n:,} files: {got['cpu']:.1f} CPU s, peak {got['mb']:.0f} MB")
        ratio = got["cpu"] / low["cpu"]
        print(f"floor (lstat and split): {low['cpu']:.2f} CPU s; ratio {ratio:.1f}")
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
