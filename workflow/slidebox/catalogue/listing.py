"""File lists: ``files.tsv`` for readers and ``manifest-sha256.txt`` for ``sha256sum -c``.

Both stream: a study of a million files costs a line at a time.

``files.tsv`` is UTF-8, one header line, tab-separated, no quoting. In a value, backslash, tab,
line feed and carriage return are written ``\\\\``, ``\\t``, ``\\n`` and ``\\r``; nothing else is
changed, so a path can be compared byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from slidebox import atomic

COLUMNS = ("path", "size", "sha256", "version", "part", "role", "source_image")

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_UNESCAPES = {v: k for k, v in _ESCAPES.items()}


def escape(value: object) -> str:
    """One cell of files.tsv."""
    if value is None:
        return ""
    return re.sub(r"[\\\t\n\r]", lambda m: _ESCAPES[m[0]], str(value))


def unescape(cell: str) -> str:
    """The value of one cell of files.tsv."""
    return re.sub(r"\\[\\tnr]", lambda m: _UNESCAPES[m[0]], cell)


def manifest_line(path: str, sha256: str) -> str:
    """One line as coreutils' sha256sum writes it.

    A name with a backslash, line feed or carriage return is escaped and its line begins with a
    backslash (coreutils manual, "cksum output modes").
    """
    name = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if name == path else chr(92)}{sha256}  {name}\n"


def parse_manifest_line(line: str) -> tuple[str, str]:
    """(path, sha256) of one line of a manifest. Raises ValueError when it is none."""
    escaped = line.startswith("\\")
    digest, separator, name = line.rstrip("\n").removeprefix("\\").partition("  ")
    if not separator or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError(f"not a line of a sha256 manifest: {line!r}")
    if escaped:
        name = re.sub(r"\\([\\nr])", lambda m: {"\\": "\\", "n": "\n", "r": "\r"}[m[1]], name)
    return name, digest


@dataclass(frozen=True, slots=True)
class Totals:
    """What was listed."""

    count: int
    bytes: int


def write_lists(folder: Path, files: Iterable[dict[str, Any]]) -> Totals:
    """Write ``files.tsv`` and ``manifest-sha256.txt`` in one pass over ``files``."""
    count = total = 0
    with (
        atomic.replacing(folder / "files.tsv", "wb") as table,
        atomic.replacing(folder / "manifest-sha256.txt", "wb") as manifest,
    ):
        table.write(("\t".join(COLUMNS) + "\n").encode())
        for file in files:
            count += 1
            total += int(file.get("size") or 0)
            row = "\t".join(escape(file.get(column)) for column in COLUMNS) + "\n"
            # Names that are no UTF-8 come as surrogates and leave as the bytes they were.
            table.write(row.encode("utf-8", "surrogateescape"))
            line = manifest_line(file["path"], file["sha256"])
            manifest.write(line.encode("utf-8", "surrogateescape"))
    return Totals(count, total)


def read_table(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a ``files.tsv``; ``size`` and ``version`` as int, absent values as None."""
    with path.open("rb") as handle:
        yield from read_rows(handle)


def read_rows(handle: BinaryIO) -> Iterator[dict[str, Any]]:
    """The same of an open ``files.tsv``, from where it stands: its header line."""
    header = handle.readline().decode().rstrip("\n").split("\t")
    for raw in handle:
        cells = raw.decode("utf-8", "surrogateescape").rstrip("\n").split("\t")
        row: dict[str, Any] = {
            key: unescape(cell) or None for key, cell in zip(header, cells, strict=True)
        }
        row["size"] = int(row.get("size") or 0)
        row["version"] = int(row.get("version") or 0)
        yield row
