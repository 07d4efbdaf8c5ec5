"""Faults at random changes of the disk, in the stages themselves, without Snakemake around them.

    python benchmarks/faults/stages.py [--faults 200] [--seed N] [--kind NAME]

Where run.py strikes at random moments of a whole run, this strikes at a random *operation*: the
stages run in a process of their own, and Python's audit hook, which sees every file that is opened,
renamed or removed below the archive, kills the process there, or lets the operation and all after
it fail as a full disk, a failing one or a folder without permission does. Then the stages whose
files are missing run again, as Snakemake would have it. What stands there afterwards must be what
a run without fault leaves. Prints what was survived badly and a summary; ends with 1 then.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import run

from slidebox import config as configuration
from slidebox.ingest import index, queue, stages

# Imported late by the stages; here before the processes are forked, or each would do it anew.
LATE = ["zarr", "ome_zarr", "ome_zarr_models", "ome_types", "pyarrow.parquet", "jinja2"]
LATE += [f"slidebox.ingest.{n}" for n in ("validation", "archive", "images", "study", "seal")]
for _name in LATE:
    importlib.import_module(_name)

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.utime")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


# ------------------------------------------------------------------------ the stages


def ingest(archive_folder: Path) -> None:
    """What a run does of a small submission, without Snakemake; then the index."""
    os.chdir(archive_folder)
    config = configuration.load({"challenges": "none"})
    for item in queue.scan(config):
        logs = config.results / "logs" / item.accession / item.key
        stages.ingest(config, item.accession, item.key, logs)
    state = queue.catalogue_key(queue.receipts(config))
    if not (config.results / "index" / f"{state}.json").exists():
        index.index(config, state)


# ------------------------------------------------------------------------ the faults


class Fault:
    """Strikes at the n-th operation that `counts`, in the process that installs it."""

    def __init__(self, folder: Path, kind: str, number: int):
        self.folder, self.kind, self.number = str(folder), kind, number
        self.seen = 0

    def install(self) -> None:
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if self.counts(event, arguments):
            self.seen += 1
            if self.seen >= self.number:
                KINDS[self.kind][1](self.seen == self.number)

    def counts(self, event: str, arguments: tuple) -> bool:
        """Whether this is one of the operations that the kind of fault meets."""
        if event != "open" and event not in CHANGES:
            return False
        path = arguments[0]
        if not isinstance(path, (str, os.PathLike)):
            return False
        if self.folder not in os.path.abspath(os.fspath(path)):
            return False
        changes = event != "open" or bool(arguments[2] & WRITES)
        return changes is (KINDS[self.kind][0] == "changes")


def _killed(first: bool) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fails(number: int, once: bool = False) -> Callable[[bool], None]:
    def strike(first: bool) -> None:
        if first or not once:
            raise OSError(number, os.strerror(number))

    return strike


# Name -> which operations are counted, and what happens at the chosen one (and, told so, after).
KINDS: dict[str, tuple[str, Callable[[bool], None]]] = {
    "killed at a change": ("changes", _killed),
    "killed at a read": ("reads", _killed),
    "no space from here on": ("changes", _fails(errno.ENOSPC)),
    "no space once": ("changes", _fails(errno.ENOSPC, once=True)),
    "over quota once": ("changes", _fails(errno.EDQUOT, once=True)),
    "write error once": ("changes", _fails(errno.EIO, once=True)),
    "read error once": ("reads", _fails(errno.EIO, once=True)),
    "permission taken away": ("changes", _fails(errno.EACCES)),
    "read-only from here on": ("changes", _fails(errno.EROFS)),
    "stale handle once": ("reads", _fails(errno.ESTALE, once=True)),
    "too many open files": ("reads", _fails(errno.EMFILE, once=True)),
}


# ------------------------------------------------------------------------ the campaign


def forked(log: Path, work: Callable[[], None]) -> int:
    """Run in a process of its own; its exit code, negative for a signal."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


class Campaign:
    """Trials below `folder`, each in an archive of its own."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed = folder, seed
        run.make_inbox(folder / "template")
        reference = self._archive("reference")
        if forked(folder / "log", lambda: ingest(reference)):
            raise RuntimeError((folder / "log").read_text())
        self.reference = run.snapshot(reference)
        self.most = {way: self._count(way) for way in ("changes", "reads")}

    def _archive(self, name: str) -> Path:
        made = self.folder / name
        shutil.copytree(self.folder / "template", made / "inbox")
        return made

    def _count(self, way: str) -> int:
        """How many operations of this kind a run without fault has."""
        kind = next(name for name, (counted, _) in KINDS.items() if counted == way)
        archive_folder, told = self._archive(f"count-{way}"), self.folder / way

        def work() -> None:
            fault = Fault(archive_folder, kind, sys.maxsize)
            fault.install()
            ingest(archive_folder)
            told.write_text(str(fault.seen))

        forked(self.folder / "log", work)
        shutil.rmtree(archive_folder)
        return int(told.read_text())

    def trial(self, number: int, kind: str) -> list[str]:
        """What is wrong after one fault and another run."""
        chance = random.Random(f"{self.seed}/{number}")
        at = chance.randint(1, self.most[KINDS[kind][0]])
        archive_folder, log = self._archive(f"trial{number}"), self.folder / f"log{number}"

        def struck() -> None:
            Fault(archive_folder, kind, at).install()
            ingest(archive_folder)

        forked(log, struck)
        problems = []
        if again := forked(log, lambda: ingest(archive_folder)):
            problems.append(f"the next run ended with {again}")
        problems += run.differences(self.reference, run.snapshot(archive_folder))
        if problems:
            problems.append(log.read_text(errors="replace")[-3000:])
        shutil.rmtree(archive_folder)
        log.unlink()
        return [f"at operation {at}", *problems] if problems else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=list(KINDS), help="only this kind")
    a = parser.parse_args()
    kinds = [a.kind] if a.kind else list(KINDS)
    tried, bad = Counter(), Counter()
    with tempfile.TemporaryDirectory(prefix="slidebox-faults-") as folder:
        campaign = Campaign(Path(folder), a.seed)
        print(f"seed {a.seed}; a run without fault has {campaign.most}", flush=True)
        # Ctrl-C ends a campaign with what it has found so far.
        with contextlib.suppress(KeyboardInterrupt):
            for number in range(a.faults):
                kind = kinds[number % len(kinds)]
                problems = campaign.trial(number, kind)
                tried[kind] += 1
                if problems:
                    bad[kind] += 1
                    print(f"{number:4} {kind}: " + "; ".join(problems), flush=True)
                elif number % 20 == 19:
                    print(f"{number + 1} tried, {bad.total()} survived badly", flush=True)
    for kind, count in tried.items():
        print(f"{kind:24} {count - bad[kind]} of {count} survived")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
