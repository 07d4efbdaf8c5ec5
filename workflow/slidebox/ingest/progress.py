"""How far a running stage is: one small file that `slidebox status` reads, gone when it ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slidebox.ingest.paths import Stages, now, read_json

EVERY = 2.0
"""Seconds between two writings."""


class Progress:
    """Called with (done, total) or (stage, done, total); writes at most every `EVERY` seconds."""

    def __init__(self, path: Path, stage: str, unit: str):
        self.path, self.stage, self.unit = path, stage, unit
        self.before = 0.0
        self.base = {"stage": stage, "unit": unit, "started": now()}
        self.base |= {"host": socket.gethostname(), "pid": os.getpid()}

    def __call__(self, *news: Any) -> None:
        if time.monotonic() - self.before < EVERY:
            return
        self.before = time.monotonic()
        *_, done, total = news
        line = json.dumps({**self.base, "done": done, "total": total, "at": now()})
        # No fsync: it is news, not a result. What can't be written is not worth an error.
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(exist_ok=True)
            temporary = self.path.with_suffix(f".{os.getpid()}")
            temporary.write_text(line, encoding="utf-8")
            os.replace(temporary, self.path)


@contextmanager
def shown(stages: Stages, stage: str, unit: str = "bytes") -> Iterator[Progress]:
    """Progress of a stage (`images.1` for a slice) while the block lasts."""
    progress = Progress(stages.folder / "progress" / f"{stage}.json", stage, unit)
    try:
        yield progress
    finally:
        progress.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            progress.path.parent.rmdir()


def read(stages: Stages) -> list[dict[str, Any]]:
    """What running stages say of themselves, in order of stage."""
    found = []
    for path in sorted((stages.folder / "progress").glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            found.append(read_json(path))
    return found
