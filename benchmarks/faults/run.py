"""Random faults while a small inbox is taken in, and what the next run makes of it.

    python benchmarks/faults/run.py [--faults 200] [--seed N] [--report FILE]

For each fault: an archive with a fresh inbox, `snakemake`, a fault at a random moment, then one
more `snakemake`. What stands there afterwards (vault, public folder, receipts, and every file name)
must be what a run without fault leaves: nothing lost, nothing else, no debris. Prints a line a
fault and a summary; ends with 1 when any was survived badly. The full disk and the read-only vault
are real
(tmpfs, remounted), which needs root; elsewhere these two are left out and said so.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tifffile
import yaml

from slidebox import deposit
from slidebox.demo import inbox as demo_inbox

CHECKOUT = Path(__file__).resolve().parents[2]
HANGS = 1800.0
"""Seconds after which a run that was told to end, or has lost a job, counts as hanging."""


# ------------------------------------------------------------------------ the archive


def make_inbox(folder: Path) -> None:
    """One submission with an image and a table: few seconds, and all that can be written."""
    text = (demo_inbox.RECORDS / "SB-LAPSE.yaml").read_text(encoding="utf-8")
    record = yaml.safe_load(text)
    del record["annotation_sets"]
    record["study_components"][0]["name"] = "Images"
    noise = np.random.default_rng(1)
    own = folder / "SB-GOOD"
    own.mkdir(parents=True)
    tifffile.imwrite(own / "image.tiff", noise.integers(0, 4000, (64, 80), dtype="uint16"))
    (own / "cells.csv").write_text("cell,area\n1,20\n", encoding="utf-8")
    rows = ["path\tpart", "image.tiff\tImages", "cells.csv\tImages"]
    (own / "files.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    text = yaml.safe_dump({**record, "accession": own.name}, sort_keys=False)
    (own / "study.yaml").write_text(text, encoding="utf-8")
    deposit.write_ready(own, own.name)


def start(folder: Path) -> subprocess.Popen:
    """Snakemake at work in an archive, as a session of its own."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder)]
    command += ["--snakefile", str(CHECKOUT / "Snakefile")]
    output = (folder.parent / "output.log").open("ab")
    with output:
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


def snapshot(folder: Path) -> dict[str, str]:
    """Every file that counts -> digest of its content (or of what of it does not tell the time)."""
    found = {}
    for top, _, names in os.walk(folder):
        where = Path(top).relative_to(folder)
        if where.parts[:1] in ((".snakemake",), ("inbox",)):
            continue
        if where.parts[:2] in (("results", "logs"), ("results", "benchmarks")):
            continue
        for name in names:
            found[str(where / name)] = _digest(Path(top) / name)
    for gone in ("results/running", ".snakemake_timestamp"):
        found.pop(gone, None)
    return found


def _digest(path: Path) -> str:
    """Digest of a file; of a receipt without its times; of pages with dates only that."""
    if path.parent.name == "receipts":
        receipt = json.loads(path.read_text(encoding="utf-8"))
        kept = {k: v for k, v in receipt.items() if k not in ("sealed", "stages", "new_version")}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    exact = ".ome.zarr" in str(path) or "/content/data/" in str(path)
    if exact or path.name in ("files.tsv", "manifest-sha256.txt"):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return "there"


def differences(reference: dict[str, str], made: dict[str, str]) -> list[str]:
    """What is lost, too much or other than in a run without fault."""
    lost = sorted(reference.keys() - made.keys())
    more = sorted(made.keys() - reference.keys())
    other = sorted(k for k in made.keys() & reference.keys() if made[k] != reference[k])
    return [
        *(f"lost: {name}" for name in lost),
        *(f"debris: {name}" for name in more),
        *(f"different: {name}" for name in other),
    ]


# ------------------------------------------------------------------------ faults


def below(top: int) -> list[int]:
    """The processes that one started, and those that these started."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            rest = path.read_text().rpartition(")")[2].split()
            if rest[0] != "Z":
                parents.setdefault(int(rest[1]), []).append(int(path.parent.name))
    found, waiting = [], [top]
    while waiting:
        own = parents.get(waiting.pop(), [])
        found += own
        waiting += own
    return found


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Trial:
    """One archive, one run, one fault."""

    def __init__(self, folder: Path, chance: random.Random, seconds: float):
        self.folder, self.chance, self.seconds = folder, chance, seconds
        self.said = ""

    def moment(self, begin: float = 0.0) -> None:
        """Wait until a random moment of the run."""
        time.sleep(self.chance.uniform(begin, 1.0) * self.seconds)

    def signal_run(self, number: int) -> None:
        run = start(self.folder)
        self.moment()
        _kill(run.pid, number)
        self.wait(run)

    def signal_job(self, number: int) -> None:
        run = start(self.folder)
        self.moment(0.3)
        end = time.monotonic() + 5
        while not (jobs := below(run.pid)) and run.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        if jobs:
            _kill(self.chance.choice(jobs), number)
        self.wait(run)

    def signal_all(self, number: int) -> None:
        """As when the machine goes, or a service manager ends a whole group."""
        run = start(self.folder)
        self.moment()
        for pid in [run.pid, *below(run.pid)]:
            _kill(pid, number)
        self.wait(run)

    def second_operator(self) -> None:
        first = start(self.folder)
        self.moment()
        second = start(self.folder)
        self.wait(first)
        self.wait(second)

    def full_disk(self) -> None:
        """Somebody else fills the disk, all of it or nearly."""
        ballast = self.folder / "inbox" / ".ballast"
        run = start(self.folder)
        self.moment()
        room = int(self.chance.uniform(0, 1) * 300_000)
        free = shutil.disk_usage(self.folder).free
        with contextlib.suppress(OSError):
            ballast.write_bytes(bytes(max(0, free - room)))
        self.wait(run)
        ballast.unlink()

    def read_only_vault(self) -> None:
        vault = self.folder / "vault"
        run = start(self.folder)
        self.moment()
        vault.mkdir(exist_ok=True)
        for options in (["--bind", str(vault)], ["-o", "remount,ro,bind"]):
            subprocess.run(["mount", *options, str(vault)], check=True)
        self.wait(run)
        subprocess.run(["umount", "-l", str(vault)], check=True)

    def late_files(self) -> None:
        """New files of the stages show up a while after they were written."""
        run = start(self.folder)
        seen: set[Path] = set()
        hidden: list[tuple[float, Path, Path]] = []
        aside = self.folder.parent / "aside"
        aside.mkdir(exist_ok=True)
        while run.poll() is None or hidden:
            for path in self.folder.glob("results/SB-*/*/*.json"):
                if path not in seen:
                    seen.add(path)
                    away = aside / str(len(seen))
                    with contextlib.suppress(FileNotFoundError):
                        os.rename(path, away)
                        hidden.append((time.monotonic() + self.chance.uniform(0, 3), away, path))
            for entry in [h for h in hidden if h[0] < time.monotonic()]:
                hidden.remove(entry)
                os.rename(entry[1], entry[2])
            time.sleep(0.002)
        self.wait(run)

    def wait(self, run: subprocess.Popen) -> None:
        try:
            run.wait(HANGS)
        except subprocess.TimeoutExpired:
            self.said = f"the run hung for {HANGS:.0f} s"
            for pid in [run.pid, *below(run.pid)]:
                _kill(pid, signal.SIGKILL)
            run.wait()


FAULTS: dict[str, Callable[[Trial], None]] = {
    "SIGKILL of Snakemake": lambda t: t.signal_run(signal.SIGKILL),
    "SIGTERM of Snakemake": lambda t: t.signal_run(signal.SIGTERM),
    "SIGINT of Snakemake": lambda t: t.signal_run(signal.SIGINT),
    "SIGHUP of Snakemake": lambda t: t.signal_run(signal.SIGHUP),
    "SIGKILL of a job": lambda t: t.signal_job(signal.SIGKILL),
    "SIGTERM of a job": lambda t: t.signal_job(signal.SIGTERM),
    "SIGINT of a job": lambda t: t.signal_job(signal.SIGINT),
    "SIGKILL of all": lambda t: t.signal_all(signal.SIGKILL),
    "SIGTERM of all": lambda t: t.signal_all(signal.SIGTERM),
    "two operators": Trial.second_operator,
    "late files": Trial.late_files,
    "full disk": Trial.full_disk,
    "read-only vault": Trial.read_only_vault,
}
MOUNTS = {"full disk", "read-only vault"}


# ------------------------------------------------------------------------ the campaign


@dataclass
class Outcome:
    """A fault and how it was survived; `problems` is empty when well."""

    number: int
    fault: str
    problems: list[str]
    seconds: float


class Campaign:
    """Trials below `folder`, which may be mounted as a small tmpfs."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed = folder / "disk", seed
        self.folder.mkdir()
        self.mounted = self._mount()
        self.inbox = self.folder / "template"
        make_inbox(self.inbox)
        archive = self._archive("reference")
        begun = time.monotonic()
        run = start(archive)
        if run.wait(3 * HANGS):
            raise RuntimeError((self.folder / "reference" / "output.log").read_text()[-3000:])
        self.seconds = time.monotonic() - begun
        self.reference = snapshot(archive)

    def _mount(self) -> bool:
        """A small file system of its own: a full disk must not be that of others."""
        command = ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(self.folder)]
        return os.getuid() == 0 and not subprocess.run(command, capture_output=True).returncode

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)

    def _archive(self, name: str) -> Path:
        archive = self.folder / name / "archive"
        (archive / "config").mkdir(parents=True)
        (archive / "config" / "config.yaml").write_text("challenges: none\n", encoding="utf-8")
        # Copied with their times: the state keys, and with them all names, stay the same.
        shutil.copytree(self.inbox, archive / "inbox")
        return archive

    def faults(self) -> list[str]:
        return [name for name in FAULTS if self.mounted or name not in MOUNTS]

    def trial(self, number: int) -> Outcome:
        chance = random.Random(f"{self.seed}/{number}")
        names = self.faults()
        fault = names[number % len(names)]
        archive = self._archive(f"trial{number}")
        begun = time.monotonic()
        trial = Trial(archive, chance, self.seconds)
        FAULTS[fault](trial)
        problems = [trial.said] if trial.said else []
        again = start(archive)
        try:
            if again.wait(HANGS):
                problems.append(f"the next run ended with {again.returncode}")
        except subprocess.TimeoutExpired:
            problems.append("the next run hung")
            for pid in [again.pid, *below(again.pid)]:
                _kill(pid, signal.SIGKILL)
            again.wait()
        # Orphans of a killed run may still be writing; the next run waits for what it needs.
        problems += differences(self.reference, snapshot(archive))
        if problems:
            log = (archive.parent / "output.log").read_text(errors="replace")
            problems.append(log[-4000:])
        shutil.rmtree(archive.parent, ignore_errors=True)
        return Outcome(number, fault, problems, round(time.monotonic() - begun, 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="write every outcome as JSON")
    a = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="slidebox-faults-") as folder:
        campaign = Campaign(Path(folder), a.seed)
        try:
            print(f"seed {a.seed}; a run without fault takes {campaign.seconds:.1f} s", flush=True)
            if not campaign.mounted:
                print(f"left out (no mount allowed here): {', '.join(sorted(MOUNTS))}")
            for number in range(a.faults):
                one = campaign.trial(number)
                outcomes.append(one)
                verdict = "survived" if not one.problems else "; ".join(one.problems[:4])
                print(f"{number:4} {one.fault:22} {one.seconds:6.1f} s  {verdict}", flush=True)
                if a.report:
                    report = {"seed": a.seed, "outcomes": [asdict(o) for o in outcomes]}
                    a.report.write_text(json.dumps(report, indent=1), encoding="utf-8")
        finally:
            campaign.close()
    bad = Counter(o.fault for o in outcomes if o.problems)
    for fault, count in sorted(Counter(o.fault for o in outcomes).items()):
        print(f"{fault:22} {count - bad[fault]} of {count} survived")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
