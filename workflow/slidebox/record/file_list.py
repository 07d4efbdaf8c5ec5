"""File lists: which file belongs to which part of the study.

``files.tsv`` is UTF-8 text, one file a line, cells parted by tabs; the first line names columns:
``path`` and ``part`` (name of a study component or annotation set), ``source_image`` for
annotation files, optional ``size`` (bytes) and ``sha256``. Other columns are free and are kept.
Lines before the names that begin with ``#`` are comments. A path that names a folder means all
that is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..findings import Finding
from .inside import open_inside

NAME = "files.tsv"
COLUMNS = ("path", "part", "source_image", "size", "sha256")
_ALIASES = {
    "files": "path",
    "file": "path",
    "filepath": "path",
    "path": "path",
    "part": "part",
    "sourceimage": "source_image",
    "sizeinbytes": "size",
    "size": "size",
    "bytes": "size",
    "sha256": "sha256",
}


@dataclass(slots=True)
class Row:
    """One listed file; ``file`` and ``line`` say where it is listed."""

    path: str
    part: str = ""
    source_image: str = ""
    size: int | None = None
    sha256: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    file: str = NAME
    line: int | None = None


@dataclass
class FileList:
    """All listed files of a study, in the order of the lists, and the lists they came from."""

    rows: list[Row] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)


def _unquote(cell: str) -> str:
    """What a spreadsheet meant that put quotes around a cell."""
    if len(cell) >= 2 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell


def _quote(cell: str) -> str:
    if len(cell) >= 2 and cell[0] == cell[-1] == '"':
        return '"' + cell.replace('"', '""') + '"'
    return cell


def canonical_column(name: str) -> str:
    """``Source Image`` and ``source_image`` are one column; free columns keep their name."""
    return _ALIASES.get("".join(c for c in name.casefold() if c.isalnum()), name.strip())


def read_table(folder: Path, file: str, findings: list[Finding]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) of a TSV file, the header first; faults go to ``findings``."""
    width = None
    blank = 0
    with open_inside(folder, file) as handle:
        for line, raw in enumerate(handle, 1):
            try:
                text = raw.decode("utf-8-sig" if line == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                findings.append(
                    Finding(
                        "TEXT_NOT_UTF8",
                        "error",
                        "the line is not UTF-8",
                        file,
                        line,
                        None,
                        "Save the list as UTF-8.",
                    )
                )
                continue
            if width is None and text.startswith("#"):
                continue
            if not text.strip():
                blank = blank or line
                continue
            if blank:
                findings.append(
                    Finding(
                        "FILE_LIST_BLANK_LINE",
                        "warning",
                        "a blank line stands between the lines of the list",
                        file,
                        blank,
                        None,
                        "Remove blank lines.",
                    )
                )
                blank = 0
            cells = [_unquote(c) for c in text.split("\t")] if '"' in text else text.split("\t")
            if width is None:
                width = len(cells)
            elif len(cells) > width and any(c.strip() for c in cells[width:]):
                findings.append(
                    Finding(
                        "FILE_LIST_CELLS",
                        "error",
                        f"the line has {len(cells)} cells, the first line names {width} columns",
                        file,
                        line,
                        None,
                        "Give each column a name, and keep tabs and line ends out of cells.",
                    )
                )
            cells = cells[:width] + [""] * (width - len(cells))
            yield line, cells


def parse_size(text: str) -> int | None:
    """Bytes; None when the text is no whole number."""
    text = text.strip().replace(",", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def read_tsv(folder: Path, file: str = NAME) -> tuple[FileList, list[Finding]]:
    """Read files.tsv."""
    findings: list[Finding] = []
    out = FileList(sources=[file])
    table = read_table(folder, file, findings)
    header = next(table, None)
    if header is None:
        findings.append(
            Finding(
                "FILE_LIST_EMPTY",
                "error",
                "the file list is empty",
                file,
                1,
                None,
                "Give a line of column names (path, part) and one line a file.",
            )
        )
        return out, findings
    head_line, names = header
    out.columns = [canonical_column(n) for n in names]
    for i, name in enumerate(out.columns):
        if not name:
            out.columns[i] = f"column_{i + 1}"
        elif name in out.columns[:i]:
            findings.append(
                Finding(
                    "FILE_LIST_COLUMN",
                    "error",
                    f"two columns have the name {name}",
                    file,
                    head_line,
                    name,
                    "Give each column a name of its own.",
                )
            )
    if "path" not in out.columns:
        findings.append(
            Finding(
                "FILE_LIST_COLUMN",
                "error",
                f"no column has the name path (there are: {', '.join(names)[:200]})",
                file,
                head_line,
                "path",
                "Name the columns in the first line: path, part and what else you have.",
            )
        )
        return out, findings
    known = {name: out.columns.index(name) for name in COLUMNS if name in out.columns}
    free = [(i, n) for i, n in enumerate(out.columns) if n not in COLUMNS]
    at = known["path"]
    alike: dict[str, str] = {}  # parts are few: a million rows share their names
    for line, cells in table:
        row = Row(cells[at], file=file, line=line)
        if "part" in known:
            part = cells[known["part"]].strip()
            row.part = alike.setdefault(part, part)
        if "source_image" in known:
            row.source_image = cells[known["source_image"]].strip()
        if "sha256" in known:
            row.sha256 = cells[known["sha256"]].strip().lower()
        if "size" in known and (text := cells[known["size"]].strip()):
            row.size = parse_size(text)
            if row.size is None:
                findings.append(
                    Finding(
                        "FILE_LIST_SIZE",
                        "error",
                        f"{text[:40]!r} is no number of bytes",
                        file,
                        line,
                        "size",
                        "Give the size in bytes as a whole number, or leave it empty.",
                    )
                )
        if free:
            row.attributes = {n: cells[i] for i, n in free if cells[i] != ""}
        out.rows.append(row)
    return out, findings


def dumps(rows: Iterable[Row]) -> str:
    """A files.tsv that reads back equal; columns that no row uses are left out."""
    rows = list(rows)
    free = sorted({n for r in rows for n in r.attributes})
    used = [
        c
        for c in COLUMNS
        if c in ("path", "part") or any(getattr(r, c) not in ("", None) for r in rows)
    ]
    lines = ["\t".join([*used, *free])]
    for row in rows:
        cells = ["" if getattr(row, c) is None else str(getattr(row, c)) for c in used]
        cells += [row.attributes.get(n, "") for n in free]
        lines.append("\t".join(_quote(c) for c in cells))
    return "\n".join(lines) + "\n"
