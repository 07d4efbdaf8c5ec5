"""Of what a large file is made: so that a bucket, which has most of it, is sent the rest only.

``.<name>.pieces`` lies beside the file, says a name and the length of each piece, and holds for the
file of the time and size that it names. Pieces of one name are the same bytes. They follow each
other from the file's first byte; what is behind the last belongs to none.
"""

from __future__ import annotations

import json
from pathlib import Path

from slidebox import atomic


def write(path: Path, pieces: list[tuple[str, int]]) -> None:
    """Say of what ``path``, just written, is made: ``(name, bytes)`` of each piece in order."""
    atomic.write_json(_beside(path), {"file": _state(path), "pieces": pieces})


def read(path: Path) -> list[tuple[str, int]] | None:
    """The pieces of a file; None when nothing is said of the file as it is."""
    try:
        held = json.loads(_beside(path).read_bytes())
        if held["file"] == _state(path):
            return [(name, size) for name, size in held["pieces"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.pieces")


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_mtime_ns, status.st_size]
