"""Where every submission stands, read from the inbox, the stages' files and the receipts."""

from __future__ import annotations

import sys
from typing import Any

from slidebox import deposit
from slidebox.config import Config
from slidebox.ingest import queue
from slidebox.ingest.paths import Stages, read_json

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
            row = _sealed(read_json(Stages(config, name, key).receipt))
            if name not in found or _rank(row) >= _rank(found[name]):
                found[name] = row
    for item in queue.scan(config):
        if accession in (None, item.accession):
            found[item.accession] = _pending(config, item)
    for name in _arriving(config, accession):
        found.setdefault(name, _row(name, "arriving", waits="slidebox submit"))
    return [found[name] for name in sorted(found)]


def _rank(row: dict[str, Any]) -> tuple[bool, str, int]:
    """What tells most: a withdrawal, else what was sealed last."""
    return row["state"] == "withdrawn", row["sealed"], row["version"] or 0


def _row(accession: str, state: str, **more: Any) -> dict[str, Any]:
    row = {"accession": accession, "state": state, "waits": None, "version": None, "files": None}
    return {**row, "bytes": None, "sealed": None, "stages": {}, "errors": [], "log": [], **more}


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


def _sealed(receipt: dict[str, Any]) -> dict[str, Any]:
    state, waits = WORDS.get(receipt["status"], ("public", None))
    if receipt["where"] == "embargoed":
        state, waits = "embargoed", f"its release on {receipt['embargoed_until']}"
    kept = ("version", "files", "bytes", "sealed", "stages", "errors")
    row = _row(receipt["accession"], state, waits=waits, **{k: receipt[k] for k in kept})
    away = [image["address"] for image in receipt.get("images") or [] if image.get("address")]
    return {**row, "evicted": away}


def _pending(config: Config, item: queue.Item) -> dict[str, Any]:
    stages = Stages(config, item.accession, item.key)
    done = {
        "validate": stages.validation.exists(),
        "archive": stages.archived.exists(),
        "images": stages.images(1, queue.slices_of(item.key)).exists(),
        "study": stages.published.exists(),
    }
    waits = next((name for name, there in done.items() if not there), "seal")
    tail = _failure(config, item, waits)
    state = "failed" if tail else "running" if any(done.values()) else "pending"
    row = _row(item.accession, state, waits=f"stage {waits}", files=item.files, bytes=item.bytes)
    return {**row, "log": tail}


def _failure(config: Config, item: queue.Item, stage: str) -> list[str]:
    """The last lines of a stage's log when it ended in an error, else nothing."""
    folder = config.results / "logs" / item.accession / item.key
    for path in sorted(folder.glob(f"{stage}*.log")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if any(line.startswith("Traceback") for line in lines):
            return [str(path), *lines[-5:]]
    return []


def print_terminal(found: list[dict[str, Any]], detail: bool = False) -> None:
    """The rows as a table; with `detail` the stages' times and the errors too."""
    from rich.console import Console
    from rich.filesize import decimal
    from rich.markup import escape
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160)
    colours = {
        "public": "green",
        "returned": "red",
        "running": "cyan",
        "failed": "bold red",
        "embargoed": "magenta",
    }
    table = Table(box=None, pad_edge=False)
    for name in ("Accession", "State", "Version", "Files", "Size", "Sealed", "Waits for"):
        table.add_column(name, justify="right" if name in ("Files", "Size", "Version") else "left")
    for row in found:
        colour = colours.get(row["state"], "default")
        table.add_row(
            row["accession"],
            f"[{colour}]{row['state']}[/]",
            str(row["version"] or ""),
            "" if row["files"] is None else str(row["files"]),
            "" if row["bytes"] is None else decimal(row["bytes"]),
            row["sealed"] or "",
            row["waits"] or "",
        )
    console.print(table)
    if detail:
        for row in found:
            for stage, times in row["stages"].items():
                for one in times if isinstance(times, list) else [times]:
                    console.print(f"  {stage}: {one['started']} to {one['ended']}")
            for address in row.get("evicted", []):
                console.print(f"  evicted: {escape(address)}")
            for line in row["log"]:
                console.print(f"  {escape(line)}")
            for error in row["errors"]:
                console.print(f"  [red]{error['code']}[/] {escape(error['message'])}")
