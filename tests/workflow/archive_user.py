"""An archive in a folder, worked as a user does: snakemake and slidebox as commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from slidebox import deposit
from slidebox.demo import inbox as demo_inbox

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass
class Archive:
    """An archive in a folder, and what a user does with it."""

    folder: Path

    def snakemake(self, *arguments: str, check: bool = True, cores: int = 2):
        """Run snakemake in this archive; the completed process has its output and `seconds`."""
        command = [sys.executable, "-m", "snakemake", "--cores", str(cores)]
        command += ["--snakefile", str(CHECKOUT / "Snakefile"), "--directory", str(self.folder)]
        begun = time.monotonic()
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, timeout=1800, check=False
        )
        done.seconds = time.monotonic() - begun
        if check and done.returncode:
            raise AssertionError(f"snakemake failed:\n{done.stdout}\n{done.stderr}")
        return done

    @contextmanager
    def started(self, *arguments: str, cores: int = 2):
        """Snakemake at work in this archive while the block lasts; its Popen object."""
        command = [sys.executable, "-m", "snakemake", "--cores", str(cores)]
        command += ["--snakefile", str(CHECKOUT / "Snakefile"), "--directory", str(self.folder)]
        output = subprocess.DEVNULL
        with subprocess.Popen([*command, *arguments], stdout=output, stderr=output) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()

    def slidebox(self, *arguments: str, check: bool = True):
        command = [sys.executable, "-m", "slidebox.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if check and done.returncode:
            raise AssertionError(f"slidebox failed:\n{done.stdout}\n{done.stderr}")
        return done

    def receipts(self) -> dict[str, dict]:
        """The receipt sealed last, of each accession."""
        found = {}
        paths = (self.folder / "results" / "receipts").glob("*.json")
        for path in sorted(paths, key=lambda p: p.stat().st_mtime_ns):
            receipt = json.loads(path.read_text(encoding="utf-8"))
            found[receipt["accession"]] = receipt
        return found

    def study(self, accession: str) -> dict:
        path = self.folder / "public" / accession / "study.json"
        return json.loads(path.read_text(encoding="utf-8"))

    def stores(self) -> dict[str, int]:
        """Every derived image (path below public/) and when it was made."""
        public = self.folder / "public"
        return {
            str(path.relative_to(public)): (path / "zarr.json").stat().st_mtime_ns
            for path in public.glob("*/images/*.ome.zarr")
        }

    def deposit(self, accession: str, files: dict[str, Path], record: str | None = None) -> Path:
        """Put a submission with these files (path -> source) into the inbox, ready."""
        folder = self.folder / "inbox" / accession
        folder.mkdir(parents=True, exist_ok=True)
        rows = ["path\tpart"]
        for path, source in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copyfile(source, target)
            rows.append(f"{path}\tImages")
        (folder / "files.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        (folder / "study.yaml").write_text(record or minimal(accession), encoding="utf-8")
        deposit.write_ready(folder, accession)
        return folder


def minimal(accession: str) -> str:
    """A complete study.yaml with one study component, ``Images``."""
    record = yaml.safe_load((demo_inbox.RECORDS / "SB-LAPSE.yaml").read_text(encoding="utf-8"))
    del record["annotation_sets"]
    record["accession"] = accession
    record["study_components"][0]["name"] = "Images"
    return yaml.safe_dump(record, sort_keys=False, allow_unicode=True)


def configure(folder: Path) -> Archive:
    """An empty archive with the challenges that Slidebox ships."""
    (folder / "config").mkdir(parents=True)
    challenges = os.path.relpath(CHECKOUT / "challenges", folder)
    (folder / "config/config.yaml").write_text(f"challenges: {challenges}\n", encoding="utf-8")
    return Archive(folder)
