"""When each content file was last read back, and whether it was whole.

One file an object: a JSON line about all of it, then ``time, tab, ok or bad, tab, content path``,
times in seconds since 1970. It can be deleted at any time: everything then counts as never read.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from slidebox.vault import disk


@dataclass
class Ledger:
    """content path -> when it was read last; ``bad``: which of them weren't whole."""

    checked: dict[str, int] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)

    @property
    def oldest(self) -> int:
        return min(self.checked.values(), default=0)


def _place(folder: Path, name: str) -> Path:
    return folder / f"{name}.tsv"


def summary(folder: Path, name: str) -> dict | None:
    """``{"oldest": seconds, "files": n, "bad": n}`` of an object, None when never checked."""
    try:
        with _place(folder, name).open("rb") as handle:
            return json.loads(handle.readline())
    except (OSError, ValueError):
        return None


def load(folder: Path, name: str) -> Ledger:
    """What is known of an object; empty when nothing, or nothing that can be read."""
    ledger = Ledger()
    with contextlib.suppress(OSError, ValueError):
        lines = _place(folder, name).read_text("utf-8").split("\n")[1:]
        for line in filter(None, lines):
            time, verdict, path = line.split("\t", 2)
            ledger.checked[path] = int(time)
            if verdict == "bad":
                ledger.bad.add(path)
    return ledger


def save(folder: Path, name: str, ledger: Ledger) -> None:
    """Keep what is known of an object."""
    head = {"oldest": ledger.oldest, "files": len(ledger.checked), "bad": len(ledger.bad)}
    lines = [json.dumps(head)]
    for path in sorted(ledger.checked):
        verdict = "bad" if path in ledger.bad else "ok"
        lines.append(f"{ledger.checked[path]}\t{verdict}\t{path}")
    data = ("\n".join(lines) + "\n").encode()
    disk.put_whole(_place(folder, name), data, folder / f".{name}.tmp")


def forget(folder: Path, name: str) -> None:
    """An object that is no more."""
    with contextlib.suppress(FileNotFoundError):
        disk.unlink(_place(folder, name))
