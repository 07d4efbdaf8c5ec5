"""What the queue will take before anything starts: hours, memory and disk, per submission.

Hours and memory come from the model that sizes the jobs (`ingest.sizes`). Disk is counted on each
file system once: the vault takes the submitted bytes, the public folder the derived images, the
results reports and lists; each file system keeps `RESERVE` of itself free.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slidebox.catalogue.text import human_bytes
from slidebox.config import Config
from slidebox.ingest import queue, sizes, stages
from slidebox.ingest.paths import Stages

RESERVE = 0.01
"""Part of a file system that is left free: many work badly when they are full."""
STORED = 1.4
"""Bytes of a derived pyramid per byte of decoded pixels, at most: lower levels are a third, noise
does not compress."""
PER_FILE = 8_000
"""Bytes of lists, pages and inventories for a file."""
PER_STUDY = 2_000_000
"""Bytes of pages, reports and logs of a submission, whatever it holds."""


def needs(config: Config, item: queue.Item) -> dict[str, int]:
    """Bytes that a submission will take, by the folder that they go to."""
    load = _load(config, item)
    own = Stages(config, item.accession, item.key)
    lists = PER_FILE * item.files + PER_STUDY
    vault, public = item.bytes + lists // 4, int(load.decoded * STORED) + lists // 2
    return {  # what is there already needs no room
        "vault": 0 if own.archived.exists() else vault,
        "public": 0 if own.published.exists() else public,
        "results": lists // 4,
    }


def _load(config: Config, item: queue.Item) -> sizes.Load:
    """All slices together; dimensions where validation has read them."""
    whole = queue.Item(item.accession, item.key, item.bytes, item.files)
    return sizes.Load.of_stages(config, whole, "study")


class Room:
    """Free bytes of the file systems that the archive's folders are on; `take` counts down."""

    def __init__(self, config: Config):
        self.config = config
        self.device: dict[str, int] = {}
        self.free: dict[int, int] = {}
        for name in ("vault", "public", "results"):
            place = _standing(getattr(config, name))
            device = os.stat(place).st_dev
            usage = shutil.disk_usage(place)
            self.device[name] = device
            self.free.setdefault(device, usage.free - int(usage.total * RESERVE))

    def take(self, item: queue.Item) -> str | None:
        """Count a submission's bytes; in words what does not fit, or None."""
        wanted: dict[int, int] = {}
        places: dict[int, list[str]] = {}
        for name, count in needs(self.config, item).items():
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
    room, kept, said = Room(config), [], []
    for item in items:
        problem = room.take(item)
        if problem is None:
            kept.append(item)
        else:
            said.append(f"{problem}; it is not begun. Make room, and run again")
    return kept, said


def plan(config: Config, cores: int) -> dict[str, Any]:
    """Submissions with bytes, files, hours, memory and disk; sums, hours on `cores`, free disk."""
    room, rows = Room(config), []
    free = {name: max(0, room.free[device]) for name, device in room.device.items()}
    for item in queue.scan(config):
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
                "disk": needs(config, item),
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
        print(f"{name}: up to {human_bytes(count)} more, {human_bytes(found['free'][name])} free")
    for row in found["submissions"]:
        if row["problem"]:
            print(f"does not fit: {row['problem']}")
