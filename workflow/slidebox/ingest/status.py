"""Where every submission stands, read from the inbox, the stages' files and the receipts."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from slidebox import deposit
from slidebox.config import Config
from slidebox.ingest import capacity, progress, queue, runlock, runlog, slurm
from slidebox.ingest.paths import BrokenReceipt, Stages, read_receipt

# Status of a receipt -> the state that people read, and what it waits for.
WORDS = {
    "rejected": ("returned", "the submitter: see the report"),
    "returned": ("returned", "the submitter: a curator sent it back"),
    "held": ("on hold", "a curator"),
    "awaiting": ("awaiting curator", "slidebox curate ACC --accept"),
    "withdrawn": ("withdrawn", None),
}


def rows(config: Config, accession: str | None = None) -> list[dict[str, Any]]:
    """One row a submission: accession, state, what it waits for, version, files, bytes, sealed."""
    found: dict[str, dict[str, Any]] = {}
    for name, key in sorted(queue.receipts(config)):
        if accession in (None, name):
            row = _sealed(Stages(config, name, key))
            if name not in found or _rank(row) >= _rank(found[name]):
                found[name] = row
    items = [i for i in queue.scan(config) if accession in (None, i.accession)]
    jobs = runlog.jobs(config) if items else {}
    at_work = runlock.holder(config) is not None
    for item in items:
        found[item.accession] = _pending(config, item, jobs.get(item.accession, []), at_work)
    for said in capacity.fitting(config, items)[1] if items else []:
        name = said.partition(" ")[0]
        if found[name]["state"] in ("pending", "interrupted"):
            found[name] |= {"state": "no room", "waits": said}
    _ask_slurm([found[item.accession] for item in items])
    for name, _ in queue.cancelled(config):
        if accession in (None, name) and name not in {item.accession for item in items}:
            found[name] = _row(name, "cancelled", waits=f"slidebox retry {name}")
    for name in _arriving(config, accession):
        found.setdefault(name, _row(name, "arriving", waits="slidebox submit"))
    return [found[name] for name in sorted(found)]


def _rank(row: dict[str, Any]) -> tuple[bool, str, int]:
    """What tells most: a withdrawal or damage, else what was sealed last."""
    return row["state"] in ("withdrawn", "damaged"), row["sealed"] or "", row["version"] or 0


def _row(accession: str, state: str, **more: Any) -> dict[str, Any]:
    row = {"accession": accession, "state": state, "waits": None, "version": None, "files": None}
    row |= {"bytes": None, "sealed": None, "stages": {}, "errors": [], "log": []}
    return {**row, "stage": None, "progress": None, "seconds": None, "jobs": [], **more}


def _arriving(config: Config, accession: str | None) -> list[str]:
    if not config.inbox.is_dir():
        return []
    return [
        entry.name
        for entry in config.inbox.iterdir()
        if accession in (None, entry.name)
        and entry.is_dir()
        and not (entry / deposit.READY).exists()
    ]


def _sealed(stages: Stages) -> dict[str, Any]:
    try:
        receipt = read_receipt(stages.receipt)
    except BrokenReceipt as error:
        return _row(stages.accession, "damaged", waits="a new receipt: see below", log=[str(error)])
    state, waits = WORDS.get(receipt["status"], ("public", None))
    if receipt["where"] == "embargoed":
        state, waits = "embargoed", f"its release on {receipt['embargoed_until']}"
    kept = ("version", "files", "bytes", "sealed", "stages", "errors")
    row = _row(receipt["accession"], state, waits=waits, **{k: receipt[k] for k in kept})
    away = [image["address"] for image in receipt.get("images") or [] if image.get("address")]
    return {**row, "evicted": away}


def _pending(
    config: Config, item: queue.Item, jobs: list[dict[str, Any]], at_work: bool
) -> dict[str, Any]:
    stages, slices = Stages(config, item.accession, item.key), queue.slices_of(item.key)
    done = {
        "validate": stages.validation.exists(),
        "archive": stages.archived.exists(),
        "images": all(stages.images(n, slices).exists() for n in range(1, slices + 1)),
        "study": stages.published.exists(),
    }
    stage = next((name for name, there in done.items() if not there), "seal")
    jobs = [job for job in jobs if job["key"] == item.key]
    for job in jobs:
        if job["state"] == "running" and not at_work:
            job["state"] = "interrupted"
    news = progress.read(stages)
    failed = any(job["state"] == "failed" for job in jobs)
    tail = _failure(config, item, stage)
    running = at_work and any(job["state"] == "running" for job in jobs)
    if running:
        state = "running"
    elif failed or tail:
        state = "failed"
    else:
        state = "interrupted" if any(done.values()) else "pending"
    waits = {"running": None, "failed": f"slidebox retry {item.accession}, or the next run"}
    return _row(
        item.accession,
        state,
        waits=waits.get(state, "the next run of snakemake"),
        files=item.files,
        bytes=item.bytes,
        stage=stage,
        progress=_progress(done, stage, news, slices, stages),
        seconds=_seconds(jobs) if running else None,
        jobs=jobs,
        log=tail or (_last_lines(config, item, stage) if running else []),
    )


def _progress(done: dict[str, bool], stage: str, news, slices: int, stages: Stages) -> float:
    """How far a submission is, 0 to 1: each stage a part, the present one by its own words."""
    whole = sum(done.values())
    part = sum(one["done"] / one["total"] for one in news if one["total"])
    if stage == "images":
        ended = sum(stages.images(n, slices).exists() for n in range(1, slices + 1))
        part = (ended + part) / slices
    return round(min(1.0, (whole + min(part, 1.0)) / (len(done) + 1)), 3)


def _seconds(jobs: list[dict[str, Any]]) -> int:
    """Since the first job of the submission began."""
    first = min(datetime.fromisoformat(job["started"]) for job in jobs)
    return int((datetime.now(UTC) - first).total_seconds())


def _ask_slurm(found: list[dict[str, Any]]) -> None:
    """Put what Slurm says beside each job that it has: state, reason, elapsed, limit, memory."""
    jobs = [job for row in found for job in row["jobs"]]
    known = slurm.jobs(job["slurm"] for job in jobs if job["slurm"])
    for job in jobs:
        job["queue"] = known.get(job["slurm"])
    for row in found:
        now = [job["queue"] for job in row["jobs"] if job["state"] == "running" and job["queue"]]
        if row["state"] == "running" and now and all(one["state"] == "PENDING" for one in now):
            row |= {"state": "queued", "waits": f"Slurm: {now[0]['reason']}"}


def _last_lines(config: Config, item: queue.Item, stage: str) -> list[str]:
    folder = config.results / "logs" / item.accession / item.key
    paths = sorted(folder.glob(f"{stage}*.log"), key=lambda path: path.stat().st_mtime)
    return [str(paths[-1]), *runlog.tail(paths[-1], 5)] if paths else []


def _failure(config: Config, item: queue.Item, stage: str) -> list[str]:
    """The last lines of a stage's log when it ended in an error, else nothing."""
    folder = config.results / "logs" / item.accession / item.key
    for path in sorted(folder.glob(f"{stage}*.log")):
        if runlog.ended_badly(path):
            return [str(path), *runlog.tail(path, 5)]
    return []


COLOURS = {
    "public": "green",
    "returned": "red",
    "running": "cyan",
    "queued": "cyan",
    "damaged": "bold red",
    "failed": "bold red",
    "interrupted": "yellow",
    "cancelled": "yellow",
    "no room": "bold red",
    "embargoed": "magenta",
}


AT_REST = ("public", "embargoed", "withdrawn", "returned")
"""States in which nothing is left for the archive to do."""
SHOWN = 30
"""Submissions at rest that a table shows; of more, those sealed last."""


def _shown(found: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """What a table shows of all submissions, and what it says of the others."""
    rest = [row for row in found if row["state"] in AT_REST]
    if len(rest) <= SHOWN:
        return found, ""
    rest.sort(key=lambda row: row["sealed"] or "")
    hidden = {row["accession"] for row in rest[:-SHOWN]}
    counts = Counter(row["state"] for row in rest[:-SHOWN])
    words = ", ".join(f"{count:,} {state}" for state, count in counts.most_common())
    said = f"and {len(hidden):,} more that were sealed before: {words} (--all lists them)"
    return [row for row in found if row["accession"] not in hidden], said


def table(found: list[dict[str, Any]], detail: bool = False, everything: bool = False) -> Any:
    """The rows as a table of rich; with `detail` jobs, times, errors and log lines below.

    Of many submissions at rest the last ones are shown, unless `everything`.
    """
    from rich.console import Group
    from rich.filesize import decimal
    from rich.table import Table
    from rich.text import Text

    found, others = (found, "") if everything else _shown(found)
    made = Table(box=None, pad_edge=False)
    right = ("Version", "Files", "Size", "Done", "Time")
    for name in ("Accession", "State", "Version", "Files", "Size", "Stage", "Done", "Time"):
        made.add_column(name, justify="right" if name in right else "left")
    made.add_column("Sealed")
    made.add_column("Waits for")
    for row in found:
        made.add_row(
            row["accession"],
            Text(row["state"], style=COLOURS.get(row["state"], "")),
            str(row["version"] or ""),
            "" if row["files"] is None else str(row["files"]),
            "" if row["bytes"] is None else decimal(row["bytes"]),
            row["stage"] or "",
            "" if row["progress"] is None else f"{row['progress']:.0%}",
            "" if row["seconds"] is None else str(timedelta(seconds=row["seconds"])),
            row["sealed"] or "",
            row["waits"] or "",
        )
    lines = [Text(line) for row in found for line in _below(row, detail)]
    return Group(made, *lines, *([Text(others)] if others else []))


def _below(row: dict[str, Any], detail: bool) -> Iterator[str]:
    """Lines on one submission: jobs that run or failed; with `detail` all that is known."""
    for job in row["jobs"]:
        if detail or job["state"] == "failed" or job["slurm"]:
            yield f"  {row['accession']} {_job(job)}"
    if row["state"] in ("failed", "damaged") or detail:
        yield from (f"  {line}" for line in row["log"])
    if not detail:
        return
    for stage, times in row["stages"].items():
        for one in times if isinstance(times, list) else [times]:
            yield f"  {stage}: {one['started']} to {one['ended']}"
    for address in row.get("evicted", []):
        yield f"  evicted: {address}"
    for error in row["errors"]:
        yield f"  {error['code']} {error['message']}"


def _job(job: dict[str, Any]) -> str:
    """One job in a line: what was asked for, and what Slurm says."""
    name = job["stage"] + (f" {job['slice']}" if job["slice"] else "")
    words = [f"{name}: {job['state']}, attempt {job['attempt']}"]
    if job["memory_mb"]:
        words.append(f"asked for {job['memory_mb']} MB and {job['minutes']} min")
    if job["slurm"]:
        words.append(f"Slurm job {job['slurm']}")
    if job.get("queue"):
        says = job["queue"]
        words.append(f"{says['state']} ({says['reason']}), {says['elapsed']} of {says['limit']}")
        words.append(f"peak {says['peak'] or 'unknown'} of {says['requested']}")
    for early in job["before"]:
        ended = early.get("slurm_state") or early["state"]
        words.append(f"attempt {early['attempt']} of {early['memory_mb']} MB ended: {ended}")
    return ", ".join(words)


def print_terminal(
    found: list[dict[str, Any]], detail: bool = False, everything: bool = False
) -> None:
    """The rows on standard output."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 1000
    Console(width=width).print(table(found, detail, everything))


def watch(look: Callable[[], list[dict[str, Any]]], detail: bool, seconds: float) -> None:
    """Show the rows anew every so often until the reader has seen enough (Ctrl-C)."""
    from rich.live import Live

    with Live(table(look(), detail), auto_refresh=False) as live:
        while True:
            time.sleep(seconds)
            live.update(table(look(), detail), refresh=True)
