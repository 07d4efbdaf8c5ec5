"""What the queue will take before anything starts: hours, memory and disk, per submission.

Hours and memory come from the model that sizes the jobs (`ingest.sizes`). Disk is counted on each
file system once: the vault takes the submitted bytes, the public folder (or the embargoed one) the
derived images, the results reports and lists; each file system keeps `RESERVE` of itself free. Of
a study that is archived already, what it has grown by counts: what stays the same is not written
again.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from slidebox import deposit
from slidebox.catalogue.text import human_bytes
from slidebox.config import Config
from slidebox.ingest import queue, sizes, stages
from slidebox.ingest.paths import BrokenReceipt, Stages, read_receipt

RESERVE = 0.01
"""Part of a file system that is left free: many work badly when they are full."""
STORED = 1.4
"""Bytes of a derived pyramid per byte of decoded pixels, at most: lower levels are a third, noise
does not compress."""
PER_FILE = 8_000
"""Bytes of lists, pages and inventories for a file."""
BLOCK = 8_192
"""Bytes that a file takes beyond what it holds: its last block, and that of a folder."""
PER_STUDY = 2_000_000
"""Bytes of pages, reports and logs of a submission, whatever it holds."""


FOLDERS = ("vault", "public", "embargoed", "results")


def needs(config: Config, item: queue.Item, known: int = 0) -> dict[str, int]:
    """Bytes that a submission will take, by the folder that they go to; `known`: bytes of the study
    that are archived already.
    """
    load = _load(config, item)
    own = Stages(config, item.accession, item.key)
    lists = PER_FILE * item.files + PER_STUDY
    grown = max(0, item.bytes - known) / item.bytes if item.bytes else 1.0
    vault = int(item.bytes * grown) + BLOCK * item.files + lists // 4
    shown = int(load.decoded * STORED * grown) + lists // 2
    # What is there already needs no room.
    count = {"vault": 0 if own.archived.exists() else vault, "public": 0, "embargoed": 0}
    if not own.published.exists():
        count |= dict.fromkeys(_sites(config, item.accession), shown)
    return {**count, "results": lists // 2}


_RELEASE = re.compile(r"^\s*release_date\s*:(.*)$", re.MULTILINE)


def _sites(config: Config, accession: str) -> tuple[str, ...]:
    """Whether the study is shown or waits; both where its record does not say it in plain words."""
    curated, record = config.curation / f"{accession}.yaml", config.inbox / accession / "study.yaml"
    try:
        if curated.exists() and "release_date" in curated.read_text(encoding="utf-8"):
            return ("public", "embargoed")
        found = _RELEASE.search(record.read_text(encoding="utf-8"))
        words = found[1].partition("#")[0].strip(" \t'\"") if found else ""
        waits = bool(words) and date.fromisoformat(words) > datetime.now(UTC).date()
    except (OSError, ValueError):
        return ("public", "embargoed")
    return ("embargoed",) if waits else ("public",)


def archived(config: Config, items: Iterable[queue.Item]) -> dict[str, int]:
    """Bytes that the vault holds of each of these, by accession; as the last receipt says it."""
    wanted, found = {item.accession for item in items}, {}
    for accession, key in queue.receipts(config) if wanted else ():
        if accession not in wanted:
            continue
        try:
            receipt = read_receipt(Stages(config, accession, key).receipt)
        except (BrokenReceipt, OSError):  # named by the index
            continue
        if receipt["status"] == "accepted":
            found[accession] = max(found.get(accession, 0), receipt["bytes"] or 0)
    return found


# Decoded bytes a stored byte, by the end of a name, as long as no header has been read: what others
# hold is taken to be `sizes.EXPANSION` times as much (raw, or compressed without loss).
_EXPANSION = {
    **dict.fromkeys(("csv", "tsv", "txt", "json", "xml", "yaml", "yml", "md", "pdf", "html"), 0.0),
    **dict.fromkeys(("xlsx", "xls", "docx", "parquet", "py", "ipynb", "m", "mp4", "avi"), 0.0),
    **dict.fromkeys(("png", "gif", "jp2", "j2k", "gz", "zip", "bmp", "h5", "hdf5"), 4.0),
    **dict.fromkeys(("jpg", "jpeg", "webp", "svs", "ndpi", "scn", "mrxs", "vsi", "ets"), 20.0),
}
_LISTED = 200_000
"""Files of a submission up to which its list is read for a plan: a second or two."""


def _load(config: Config, item: queue.Item) -> sizes.Load:
    """All slices together; dimensions where validation has read them, else as names tell them."""
    whole = queue.Item(item.accession, item.key, item.bytes, item.files)
    load = sizes.Load.of_stages(config, whole, "study")
    if item.files > _LISTED or Stages(config, item.accession, item.key).load.exists():
        return load
    try:
        ready, decoded = deposit.read_ready(config.inbox / item.accession), 0.0
        for path, size, _ in ready.entries():
            decoded += size * _EXPANSION.get(path.rpartition(".")[2].lower(), sizes.EXPANSION)
    except (OSError, deposit.DepositError):  # validation will say so
        return load
    return replace(load, decoded=int(decoded), plane=min(int(decoded), sizes.PLANE))


class Room:
    """Free bytes of the file systems that the archive's folders are on; `take` counts down."""

    def __init__(self, config: Config, items: Iterable[queue.Item]):
        self.config = config
        self.known = archived(config, items)
        self.device: dict[str, int] = {}
        self.free: dict[int, int] = {}
        for name in FOLDERS:
            place = _standing(getattr(config, name))
            device = os.stat(place).st_dev
            usage = shutil.disk_usage(place)
            self.device[name] = device
            self.free.setdefault(device, usage.free - int(usage.total * RESERVE))

    def needs(self, item: queue.Item) -> dict[str, int]:
        """Bytes by folder. Where it isn't known whether a study will be shown or wait, on the same
        disk, it needs its room once.
        """
        told = needs(self.config, item, self.known.get(item.accession, 0))
        if self.device["public"] == self.device["embargoed"] and told["public"]:
            told["embargoed"] = 0
        return told

    def take(self, item: queue.Item) -> str | None:
        """Count a submission's bytes; in words what does not fit, or None."""
        wanted: dict[int, int] = {}
        places: dict[int, list[str]] = {}
        for name, count in self.needs(item).items():
            if not count:
                continue
            device = self.device[name]
            wanted[device] = wanted.get(device, 0) + count
            places.setdefault(device, []).append(str(getattr(self.config, name)))
        short = [d for d, count in wanted.items() if count > self.free[d]]
        if short:
            d = short[0]
            return (
                f"{item.accession} needs up to {human_bytes(wanted[d])} on the disk of "
                f"{', '.join(places[d])}, where {human_bytes(max(0, self.free[d]))} are free"
            )
        for device, count in wanted.items():
            self.free[device] -= count
        return None


def _standing(path: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def fitting(config: Config, items: Iterable[queue.Item]) -> tuple[list[queue.Item], list[str]]:
    """The submissions that can begin, and in words why the others can't."""
    items = list(items)
    if not items:
        return [], []
    room, kept, said = Room(config, items), [], []
    for item in items:
        problem = room.take(item)
        if problem is None:
            kept.append(item)
        else:
            said.append(f"{problem}; it is not begun. Make room, and run again")
    return kept, said


def plan(config: Config, cores: int) -> dict[str, Any]:
    """Submissions with bytes, files, hours, memory and disk; sums, hours on `cores`, free disk."""
    items, rows = queue.scan(config), []
    room = Room(config, items)
    free = {name: max(0, room.free[device]) for name, device in room.device.items()}
    for item in items:
        load, slices = _load(config, item), queue.slices_of(item.key)
        jobs = ("ingest",) if queue.is_whole(item.key) else tuple(stages.LOGS)
        seconds = {stage: sizes.expected(stage, load, "cpu_seconds") for stage in jobs}
        part = sizes.Load.guess(config, item.files, item.bytes, slices)
        problem = room.take(item)
        rows.append(
            {
                "accession": item.accession,
                "files": item.files,
                "bytes": item.bytes,
                "slices": slices,
                "cpu_hours": round(sum(seconds.values()) / 3600, 4),
                "hours": round(_hours(seconds, slices, cores), 4),
                "memory_mb": max(sizes.memory_mb(stage, part) for stage in seconds),
                "disk": room.needs(item),
                "fits": problem is None,
                "problem": problem,
            }
        )
    cpu = sum(row["cpu_hours"] for row in rows)
    return {
        "cores": cores,
        "submissions": rows,
        "files": sum(row["files"] for row in rows),
        "bytes": sum(row["bytes"] for row in rows),
        "cpu_hours": round(cpu, 4),
        # All cores busy, but no shorter than the longest submission.
        "hours": round(max([cpu / cores, *(row["hours"] for row in rows)]), 4),
        "memory_mb": _memory(rows, cores),
        "disk": {name: sum(row["disk"][name] for row in rows) for name in free},
        "free": free,
    }


def _hours(seconds: dict[str, float], slices: int, cores: int) -> float:
    """From begin to end of one submission: only its slices run side by side."""
    beside = min(slices, cores)
    return sum(s / (beside if stage == "images" else 1) for stage, s in seconds.items()) / 3600


def _memory(rows: list[dict[str, Any]], cores: int) -> int:
    """MB when every core has a job, the largest ones."""
    jobs = [row["memory_mb"] for row in rows for _ in range(min(row["slices"], cores))]
    return sum(sorted(jobs, reverse=True)[:cores])


def _duration(hours: float) -> str:
    """Hours in words: minutes below one, days above a hundred."""
    if hours < 1:
        return f"{max(0.1, hours * 60) if hours else 0:.1f} minutes"
    return f"{hours:.1f} hours" if hours < 100 else f"{hours / 24:.1f} days"


def print_terminal(found: dict[str, Any]) -> None:
    """The plan on standard output."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table(box=None, pad_edge=False)
    for name in ("Accession", "Files", "Size", "Slices", "CPU", "Memory", "Disk", "Fits"):
        table.add_column(name, justify="left" if name in ("Accession", "Fits") else "right")
    for row in found["submissions"]:
        table.add_row(
            row["accession"],
            str(row["files"]),
            human_bytes(row["bytes"]),
            str(row["slices"]),
            _duration(row["cpu_hours"]),
            f"{row['memory_mb']} MB",
            human_bytes(sum(row["disk"].values())),
            "yes" if row["fits"] else "no",
        )
    console.print(table)
    cores = found["cores"]
    print(
        f"\n{len(found['submissions'])} submissions, {found['files']} files, "
        f"{human_bytes(found['bytes'])}: about {_duration(found['hours'])} on {cores} cores "
        f"({_duration(found['cpu_hours'])} of CPU), up to {found['memory_mb']} MB of memory"
    )
    for name, count in found["disk"].items():
        if count:
            free = human_bytes(found["free"][name])
            print(f"{name}: up to {human_bytes(count)} more, {free} free")
    for row in found["submissions"]:
        if row["problem"]:
            print(f"does not fit: {row['problem']}")
