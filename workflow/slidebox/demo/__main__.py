"""``python -m slidebox.demo FOLDER``: the whole workflow on the demo's inbox, then a summary."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from slidebox import config
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cores", default="2")
    parser.add_argument("--snakefile", type=Path, default=Path("Snakefile"))
    a = parser.parse_args()
    if not a.snakefile.is_file():
        parser.error(f"{a.snakefile}: no such file; run this in a checkout of Slidebox")
    begun = time.monotonic()
    say(f"The demo's inbox: {a.folder / 'inbox'}")
    inbox.make(a.folder / "inbox")
    challenges = os.path.relpath(a.snakefile.resolve().parent / "challenges", a.folder)
    settings = a.folder / "config" / "config.yaml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(CONFIG.format(challenges=challenges), encoding="utf-8")

    def snakemake(*targets: str) -> None:
        command = ["snakemake", "--cores", a.cores, "--directory", str(a.folder)]
        command += ["--snakefile", str(a.snakefile), *targets]
        say(" ".join(["", *command]).strip())
        subprocess.run(
            [sys.executable, "-m", *command, "--quiet", "rules", "host"], check=True
        )

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


def slidebox(*arguments: str) -> None:
    say("slidebox " + " ".join(arguments))
    subprocess.run([sys.executable, "-m", "slidebox.cli", *arguments], check=True)


def baseline(folder: Path) -> None:
    """Predict with the classical baseline, score on the released labels, enter the leaderboard."""


def summary(folder: Path, seconds: float) -> None:
    """What was accepted, what was rejected and why, and which page to open."""
    settings = config.load({})
    print(f"\n{'-' * 78}\nThe demo is done in {seconds:.0f} s.\n")
    for accession, key in sorted(queue.receipts(settings.model_copy(update=under(folder)))):
        receipt = read_json(Stages(settings.model_copy(update=under(folder)), accession, key).receipt)
        if receipt["status"] == "accepted":
            images = sum(image["status"] == "derived" for image in receipt["images"])
            print(
                f"  accepted  {accession}: version {receipt['version']}, {receipt['files']} files, "
                f"{images} images"
            )
        else:
            print(f"  rejected  {accession}:")
            for error in receipt["errors"]:
                print(f"              {error['code']}: {error['message']}")
            print(f"              report: {folder}/results/{accession}/{key}/validation.html")
    python = Path(sys.executable).parent
    print(f"""
Look at it:      {python.name and os.path.relpath(python)}/slidebox serve {folder}/public
                 then open http://127.0.0.1:8000/
Or, no viewer:   {folder}/public/index.html
Get one back:    {os.path.relpath(python)}/slidebox restore SB-LAPSE restored --directory {folder}
Run again:       {os.path.relpath(python)}/snakemake --cores 2 --directory {folder}
""")


def under(folder: Path) -> dict[str, Path]:
    """The demo's paths, seen from here."""
    return {name: folder / name for name in ("results", "public", "vault", "inbox", "private")}


if __name__ == "__main__":
    sys.exit(main())
