"""``python -m slidebox.demo FOLDER``: the whole workflow on the demo's inbox, then a summary."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from slidebox import atomic, config
from slidebox.demo import inbox
from slidebox.ingest import queue
from slidebox.ingest.paths import Stages, read_json

CONFIG = """\
# The demo's archive: everything stays in this folder, but for the challenges that Slidebox ships.
challenges: {challenges}
site:
  title: Slidebox demo
  contact: mailto:demo@example.org
"""
ENTRY = """\
method: Otsu's threshold and a watershed
authors: [The Slidebox developers]
description: The baseline that Slidebox ships; a start to improve on.
date: 2026-01-15
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cores", default="2")
    parser.add_argument("--snakefile", type=Path, default=Path("Snakefile"))
    a = parser.parse_args()
    if not a.snakefile.is_file():
        parser.error(f"{a.snakefile}: no such file; run this in a checkout of Slidebox")
    begun = time.monotonic()
    say(f"The inbox: {a.folder / 'inbox'} (real micrographs, simulated ones, and one mistake)")
    inbox.make(a.folder / "inbox")
    settings = a.folder / "config" / "config.yaml"
    challenges = os.path.relpath(a.snakefile.resolve().parent / "challenges", a.folder)
    atomic.write_text(settings, CONFIG.format(challenges=challenges))

    def snakemake(*targets: str) -> None:
        command = ["snakemake", *targets, "--cores", a.cores, "--directory", str(a.folder)]
        say(" ".join(command))
        follow("-m", *command, "--snakefile", str(a.snakefile))

    try:
        snakemake()
        snakemake("challenges")
        baseline(a.folder)
        snakemake("leaderboards")
    except subprocess.CalledProcessError as error:
        return error.returncode
    summary(a.folder, time.monotonic() - begun)
    return 0


def say(text: str) -> None:
    print(f"\n==> {text}", flush=True)


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True)


def follow(*arguments: str) -> None:
    """Run Snakemake; show what it is at and how far, and everything when it fails."""
    command = [sys.executable, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if re.match(r"\[ *\d+/\d+\] ", line):
                print(f"    {line.rstrip()}", flush=True)
            elif "Nothing to be done" in line:
                print("    nothing to be done", flush=True)
    if process.returncode:
        sys.stderr.writelines(lines)
        raise subprocess.CalledProcessError(process.returncode, command)


def baseline(folder: Path) -> None:
    """What a participant does: predict, score on the labels that are released, enter the board."""
    from slidebox.challenge import baseline

    release = folder / "public" / "challenges" / "nuclei" / "1.0.0"
    entry = folder / "entries" / "nuclei" / "slidebox" / "baseline"
    predictions = entry / "predictions"
    if not (entry / "entry.yaml").exists():
        say("A baseline predicts (Otsu's threshold and a watershed)")
        baseline.predict(release, predictions)
        atomic.write_text(entry / "entry.yaml", ENTRY)
    out = folder / "scores"
    command = [str(release), str(predictions), "--split", "validation", "--out", str(out)]
    if not (out / "scores.json").exists():
        say("slidebox score " + " ".join(command))
        run("-m", "slidebox.cli", "score", *command)


def summary(folder: Path, seconds: float) -> None:
    """What was accepted, what was rejected and why, and which page to open."""
    under = {name: folder / name for name in ("results", "public", "vault", "inbox")}
    settings = config.load({}).model_copy(update=under)
    print(f"\n{'-' * 78}\nDone in {seconds:.0f} s. {folder}/ now holds an archive:\n")
    for accession, key in sorted(queue.receipts(settings)):
        stages = Stages(settings, accession, key)
        for line in _told(read_json(stages.receipt), stages):
            print(f"  {line}")
    bin_ = os.path.relpath(Path(sys.executable).parent)
    print(f"""
Look at it:     {bin_}/slidebox serve {folder}/public
                and open http://127.0.0.1:8000/ (images, viewer, challenge, leaderboard)
Get one back:   {bin_}/slidebox restore SB-LAPSE restored --directory {folder}
Run it again:   {bin_}/snakemake --cores 2 --directory {folder}      (nothing is done twice)""")


def _told(receipt: dict[str, Any], stages: Stages) -> list[str]:
    accession = receipt["accession"]
    if receipt["status"] == "accepted":
        images = Counter(image["status"] for image in receipt["images"])
        what = ", ".join(f"{n} images {status}" for status, n in sorted(images.items()))
        return [f"accepted  {accession} version {receipt['version']}: {what}"]
    lines = [f"rejected  {accession}, as it should be:"]
    for error in receipt["errors"]:
        where = error["file"] or ""
        lines.append(f"            {error['code']}: {where}: {error['message']}")
    return [*lines, f"            report: {stages.validation_html}"]


if __name__ == "__main__":
    sys.exit(main())
