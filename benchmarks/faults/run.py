"""Random faults while a small inbox is taken in, and what the next run makes of it.

    python benchmarks/faults/run.py [--faults 200] [--seed N] [--kind NAME ...]
                                    [--report FILE] [--part 1/3] [--hang SECONDS]

For each fault: an archive with a fresh inbox, `snakemake`, a fault at a random moment, then one
more `snakemake`. What stands there afterwards (vault, public folder, receipts, and every file name)
must be what a run without fault leaves: nothing lost, nothing else, no debris. Prints a line a
fault and a summary; ends with 1 when any was survived badly. Full disks and read-only ones are real
(tmpfs, remounted), which needs root; elsewhere they are left out and said so.

`--report` gets a line of JSON for each fault as it is done, and a campaign that is begun again with
the same seed and report goes on where it was ended; `--part 2/3` does every third fault, so that
several processes share a campaign. A run that hangs is looked at (py-spy, where it is installed)
before it is killed.
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
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import tifffile
import yaml

from slidebox import deposit
from slidebox.demo import inbox as demo_inbox

CHECKOUT = Path(__file__).resolve().parents[2]
HANGS = 600.0
"""Seconds after which a run that was told to end, or has lost a job, counts as hanging."""
MARK = "SLIDEBOX_FAULTS_ARCHIVE"
# Kept by every process of a run that is to lose its power: what it made durable.
DURABLE = """
import os
told = os.environ["SLIDEBOX_DURABLE"]
def keeping(call):
    def durable(fd):
        call(fd)
        at = os.fstat(fd if isinstance(fd, int) else fd.fileno())
        line = f"{at.st_ino} {at.st_size}\\n".encode()
        out = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(out, line)
        os.close(out)
    return durable
os.fsync, os.fdatasync = keeping(os.fsync), keeping(os.fdatasync)
"""


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


def start(folder: Path, before: tuple[str, ...] = (), **environment: str) -> subprocess.Popen:
    """Snakemake at work in an archive, as a session of its own; `before`: what starts it."""
    command = [*before, sys.executable, "-m", "snakemake", "--cores", "2"]
    command += ["--directory", str(folder), "--snakefile", str(CHECKOUT / "Snakefile")]
    return _started(folder, command, environment)


def slidebox(folder: Path, *arguments: str) -> subprocess.Popen:
    """A command of the archive's staff beside the run."""
    command = [sys.executable, "-m", "slidebox.cli", *arguments, "--directory", str(folder)]
    return _started(folder, command, {})


def _started(folder: Path, command: list[str], environment: dict[str, str]) -> subprocess.Popen:
    with (folder.parent / "output.log").open("ab") as output:
        return subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, MARK: str(folder), **environment},
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


def at_work(folder: Path) -> list[int]:
    """The processes that were started in an archive, whoever their parents are now."""
    mark = f"{MARK}={folder}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def stacks(top: int) -> str:
    """Where the processes of a run stand, as far as py-spy is here to say it."""
    told = []
    for pid in [top, *below(top)]:
        with contextlib.suppress(OSError):
            told.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
            told.append(Path(f"/proc/{pid}/wchan").read_text())
        if looker := shutil.which("py-spy"):
            done = subprocess.run(
                [looker, "dump", "--pid", str(pid)], capture_output=True, text=True, check=False
            )
            told.append(done.stdout + done.stderr)
    return "\n".join(told)


class Trial:
    """One archive, one run, one fault."""

    def __init__(self, folder: Path, chance: random.Random, seconds: float):
        self.folder, self.chance, self.seconds = folder, chance, seconds
        self.said: list[str] = []
        self.mounts: list[Path] = []
        self.passing = False  # whether files of the stages, which a receipt outlives, may be gone

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
        self.end_all(number)
        self.wait(run)

    def end_all(self, number: int) -> None:
        """Signal every process, those too that are just being started."""
        told: set[int] = set()
        while new := set(at_work(self.folder)) - told:
            for pid in new:
                _kill(pid, number)
            told |= new

    def signal_group(self, number: int) -> None:
        """The run's process group, which the children that open images are not of."""
        run = start(self.folder)
        self.moment()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, number)
        self.wait(run)

    def signal_opener(self, number: int) -> None:
        """Only a child that opens images for the validation."""
        run = start(self.folder)
        while run.poll() is None:
            openers = [pid for pid in below(run.pid) if "worker.py" in _command(pid)]
            if openers:
                time.sleep(self.chance.uniform(0, 1))
                _kill(self.chance.choice(openers), number)
                break
            time.sleep(0.02)
        self.wait(run)

    def paused(self) -> None:
        """Stopped and continued, some of its processes or all, several times."""
        run = start(self.folder)
        for _ in range(3):
            self.moment(0.1)
            pids = [run.pid, *below(run.pid)]
            pids = self.chance.sample(pids, self.chance.randint(1, len(pids)))
            for number in (signal.SIGSTOP, signal.SIGCONT):
                for pid in pids:
                    _kill(pid, number)
                time.sleep(self.chance.uniform(0, 1))
        self.wait(run)

    def told_twice(self) -> None:
        """SIGTERM, and again while it ends: an impatient operator, a service manager."""
        run = start(self.folder)
        self.moment()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            _kill(run.pid, number)
            time.sleep(self.chance.uniform(0, 1))
        self.wait(run)

    def second_operator(self) -> None:
        first = start(self.folder)
        self.moment()
        second = start(self.folder)
        self.wait(first)
        self.wait(second)

    def staff_beside(self) -> None:
        """Two runs, and what the staff's commands do at the same time."""
        runs = [start(self.folder), start(self.folder)]
        commands = [
            ("retry", "SB-GOOD"),
            ("cancel", "SB-GOOD"),
            ("status",),
            ("plan",),
            ("rebuild", "SB-GOOD"),
        ]
        for words in self.chance.sample(commands, 3):
            self.moment(0.05)
            self.wait(slidebox(self.folder, *words))
        for run in runs:
            self.wait(run)
        self.wait(slidebox(self.folder, "retry", "SB-GOOD"))

    def forgotten(self) -> None:
        """Snakemake's own folder goes while it runs."""
        run = start(self.folder)
        self.moment()
        shutil.rmtree(self.folder / ".snakemake", ignore_errors=True)
        self.wait(run)

    def results_lost(self) -> None:
        """Somebody deletes part of results/, after the run or in it. What the stages of a sealed
        study left there is not made again: the receipt says what became of them.
        """
        self.passing = True
        run = start(self.folder)
        self.moment(0.5)
        if self.chance.random() < 0.5:
            self.wait(run)
        for path in sorted((self.folder / "results").rglob("*")):
            if self.chance.random() < 0.4:
                with contextlib.suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.wait(run)

    def clock_jump(self) -> None:
        """The clock was wrong, by up to ten days, while the first part was made."""
        run = start(self.folder)
        self.moment(0.3)
        self.end_all(signal.SIGKILL)
        self.wait(run)
        jump = self.chance.uniform(-10, 10) * 86400
        for name in ("results", "vault", "public", ".snakemake"):
            for path in (self.folder / name).rglob("*"):
                with contextlib.suppress(OSError):
                    at = path.lstat()
                    times = (at.st_atime + jump, at.st_mtime + jump)
                    os.utime(path, times, follow_symlinks=False)

    def power_cut(self) -> None:
        """All is killed, and of files that were not made durable only a part is left."""
        house, told = self.folder.parent / "site", self.folder.parent / "durable"
        house.mkdir()
        (house / "sitecustomize.py").write_text(DURABLE, encoding="utf-8")
        found = str(house) + os.pathsep + os.environ.get("PYTHONPATH", "")
        before = {p.stat().st_ino for p in self.folder.rglob("*") if p.is_file()}
        run = start(self.folder, PYTHONPATH=found, SLIDEBOX_DURABLE=str(told))
        self.moment(0.3)
        self.end_all(signal.SIGKILL)
        self.wait(run)
        lines = told.read_text().splitlines() if told.exists() else []
        durable = {int(i): int(size) for i, size in (line.split() for line in lines)}
        for path in self.folder.rglob("*"):
            at = path.lstat()
            if path.is_symlink() or not path.is_file() or at.st_ino in before:
                continue
            least = durable.get(at.st_ino, 0)
            if at.st_size > least:
                path.chmod(0o644)
                os.truncate(
                    path, self.chance.choice([least, self.chance.randint(least, at.st_size)])
                )

    def full_folder(self) -> None:
        """One of the archive's folders, or the one for temporary files, is on a small disk."""
        name = self.chance.choice(["vault", "results", "public", "temporary"])
        folder = self.folder.parent / name if name == "temporary" else self.folder / name
        folder.mkdir()
        size = int(4096 * 2 ** self.chance.uniform(0, 7))
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True
        )
        self.mounts.append(folder)
        run = start(self.folder, **({"TMPDIR": str(folder)} if name == "temporary" else {}))
        self.wait(run)
        subprocess.run(["mount", "-o", "remount,size=50m", str(folder)], check=True)

    def file_size_limit(self) -> None:
        """No file may be longer than a limit (EFBIG), as under a quota."""
        limit = int(512 * 2 ** self.chance.uniform(0, 10))
        self.wait(start(self.folder, ("prlimit", f"--fsize={limit}")))

    def few_descriptors(self) -> None:
        self.wait(start(self.folder, ("prlimit", f"--nofile={self.chance.randint(14, 60)}")))

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

    def read_only(self, name: str) -> None:
        folder = self.folder / name
        run = start(self.folder)
        self.moment()
        folder.mkdir(exist_ok=True)
        for options in (["--bind", str(folder)], ["-o", "remount,ro,bind"]):
            subprocess.run(["mount", *options, str(folder)], check=True)
        self.wait(run)
        subprocess.run(["umount", "-l", str(folder)], check=True)

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
            self.said += [f"a process hung for {HANGS:.0f} s", stacks(run.pid)]
            for pid in [run.pid, *below(run.pid)]:
                _kill(pid, signal.SIGKILL)
            run.wait()

    def wait_for_orphans(self) -> None:
        end = time.monotonic() + HANGS
        while left := at_work(self.folder):
            if time.monotonic() > end:
                self.said += [f"orphans hung for {HANGS:.0f} s", *map(stacks, left)]
                for pid in left:
                    _kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def close(self) -> None:
        for folder in self.mounts:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    return ""


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
    "SIGKILL of the group": lambda t: t.signal_group(signal.SIGKILL),
    "SIGKILL of an opener": lambda t: t.signal_opener(signal.SIGKILL),
    "SIGTERM three times": Trial.told_twice,
    "paused": Trial.paused,
    "two operators": Trial.second_operator,
    "staff at work beside": Trial.staff_beside,
    "late files": Trial.late_files,
    ".snakemake deleted": Trial.forgotten,
    "part of results deleted": Trial.results_lost,
    "clock jumps": Trial.clock_jump,
    "power cut": Trial.power_cut,
    "file size limit": Trial.file_size_limit,
    "few descriptors": Trial.few_descriptors,
    "full disk": Trial.full_disk,
    "one full folder": Trial.full_folder,
    "read-only vault": lambda t: t.read_only("vault"),
    "read-only results": lambda t: t.read_only("results"),
    "read-only public": lambda t: t.read_only("public"),
}
MOUNTS = {name for name in FAULTS if "full" in name or name.startswith("read-only")}


# ------------------------------------------------------------------------ the campaign


@dataclass
class Outcome:
    """A fault and how it was survived; `problems` is empty when well."""

    number: int
    fault: str
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Campaign:
    """Trials below `folder`, which may be mounted as a small tmpfs."""

    def __init__(self, folder: Path, seed: int, kinds: list[str] | None = None):
        self.folder, self.seed, self.kinds = folder / "disk", seed, kinds or list(FAULTS)
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
        return [name for name in self.kinds if self.mounted or name not in MOUNTS]

    def trial(self, number: int) -> Outcome:
        chance = random.Random(f"{self.seed}/{number}")
        names = self.faults()
        one = Outcome(number, names[number % len(names)])
        archive = self._archive(f"trial{number}")
        begun = time.monotonic()
        trial = Trial(archive, chance, self.seconds)
        FAULTS[one.fault](trial)
        again = start(archive)
        trial.wait(again)
        if again.returncode:
            one.problems.append(f"the next run ended with {again.returncode}")
        # Orphans of a killed run may still be writing; the next run waits for what it needs only.
        trial.wait_for_orphans()
        found = differences(self.reference, snapshot(archive))
        if trial.passing:
            found = [line for line in found if not line.startswith("lost: results/SB-GOOD/")]
        one.problems += trial.said + found
        if one.problems:
            log = (archive.parent / "output.log").read_text(errors="replace")
            logs = [p.read_text(errors="replace") for p in archive.glob("results/logs/SB-*/*/*")]
            one.problems += ["\n".join([log[-4000:], *logs])]
        trial.close()
        shutil.rmtree(archive.parent, ignore_errors=True)
        one.seconds = round(time.monotonic() - begun, 1)
        return one


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=list(FAULTS), help="only these kinds")
    parser.add_argument("--report", type=Path, help="add every outcome; leave out what it has")
    parser.add_argument("--part", default="1/1", help="2/3: the second of three processes")
    parser.add_argument("--hang", type=float, default=HANGS, help="seconds that count as hanging")
    a = parser.parse_args()
    globals()["HANGS"] = a.hang
    part, parts = map(int, a.part.split("/"))
    outcomes = _done(a.report) if a.report else []
    left = set(range(part - 1, a.faults, parts)) - {one.number for one in outcomes}
    if left:
        strike(a, sorted(left), outcomes)
    bad = Counter(o.fault for o in outcomes if o.problems)
    for fault, count in sorted(Counter(o.fault for o in outcomes).items()):
        print(f"{fault:24} {count - bad[fault]} of {count} survived")
    return 1 if bad else 0


def strike(a: argparse.Namespace, left: list[int], outcomes: list[Outcome]) -> None:
    """Do the faults of these numbers, and keep what became of each."""
    with tempfile.TemporaryDirectory(prefix="slidebox-faults-") as folder:
        campaign = Campaign(Path(folder), a.seed, a.kind or list(FAULTS))
        try:
            print(f"seed {a.seed}; a run without fault takes {campaign.seconds:.1f} s", flush=True)
            if not campaign.mounted:
                print(f"left out (no mount allowed here): {', '.join(sorted(MOUNTS))}")
            for number in left:
                one = campaign.trial(number)
                outcomes.append(one)
                verdict = "; ".join(one.problems[:4]) or "survived"
                print(f"{number:4} {one.fault:24} {one.seconds:6.1f} s  {verdict}", flush=True)
                if a.report:
                    with a.report.open("a", encoding="utf-8") as handle:
                        handle.write(json.dumps(asdict(one)) + "\n")
        finally:
            campaign.close()


def _done(report: Path) -> list[Outcome]:
    """What a campaign that was ended has done already, all its parts."""
    if not report.exists():
        return []
    return [Outcome(**json.loads(line)) for line in report.read_text().splitlines()]


if __name__ == "__main__":
    sys.exit(main())
