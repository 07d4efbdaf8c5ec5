"""The file lists against the folder: each file listed once, each listed file there."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..faults import machines_fault
from ..images import sequence
from ..record import FileList, Record, Row, nearest
from ..record.inside import open_inside
from .collect import Collector
from .settings import matches
from .tree import Tree, shown

_FORMULA = re.compile(r"[=@]\S|[+-]\s*[A-Za-z_]+\s*[(|!]")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass
class Listing:
    """Which part each file of the tree belongs to, and the row that says so.

    ``source`` maps an annotation file to its source image, both as they stand in the tree;
    ``patterns`` the paths that are patterns to their files, in the order of planes.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)
    patterns: dict[str, list[str]] = field(default_factory=dict)


def plain_path(path: str) -> str | None:
    """What is wrong with a path in a list, or None."""
    if not path.strip():
        return "is empty"
    if "\\" in path:
        return "has a backslash; parts of a path are joined by /"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "is absolute; give it from the submission's folder on"
    if path != path.strip():
        return "begins or ends with a space"
    steps = path.removesuffix("/").split("/")
    if ".." in steps:
        return "leaves its folder (..)"
    if "" in steps or "." in steps:
        return "has an empty or a . step"
    if any(ord(c) < 32 or ord(c) == 127 for c in path):
        return "has a control character"
    return None


def check_listing(
    files: FileList,
    tree: Tree,
    record: Record | None,
    out: Collector,
    *,
    ignored: Iterable[str] = (),
    record_files: frozenset[str] | set[str] = frozenset(),
    known: Iterable[str] = (),
) -> Listing:
    """Compare lists and tree. ``known`` are files of earlier versions, for deposits that add."""
    listing = Listing()
    parts = list(record.parts()) if record else []
    only_part = parts[0] if len(parts) == 1 else None
    known = frozenset(known)
    folded: dict[str, str] | None = None
    seen: dict[str, Row] = {}
    folders: list[Row] = []
    joined: list[Row] = []
    unknown_parts: dict[str, str | None] = {}
    used: set[str] = set()
    for row in files.rows:
        path = row.path
        if path in tree.files and "\\" not in path:
            pass  # what stands in the tree is plain already
        elif wrong := plain_path(path):
            out.add(
                "PATH_INVALID",
                f"the path {shown(path)[:120]!r} {wrong}",
                row.file,
                line=row.line,
                field="path",
            )
            continue
        key = path.removesuffix("/")
        if key in seen:
            out.add(
                "PATH_TWICE",
                f"{path} is listed in line {seen[key].line} of {seen[key].file} too",
                row.file,
                line=row.line,
                field="path",
            )
            continue
        seen[key] = row
        if not row.part and only_part:
            row.part = only_part
        if parts and row.part not in parts:  # a record without parts has a finding of its own
            if row.part not in unknown_parts:
                unknown_parts[row.part] = nearest(row.part, parts) if row.part else None
            other = unknown_parts[row.part]
            out.add(
                "FILE_PART",
                f"{path}: {row.part!r} is no part of the study"
                if row.part
                else f"{path} belongs to no part of the study",
                row.file,
                line=row.line,
                field="part",
                mend=f"Did you mean {other!r}?"
                if other
                else f"Known: {', '.join(repr(p) for p in parts[:10]) or 'none'}.",
            )
        used.add(row.part)
        if row.sha256 and not _SHA256.match(row.sha256):
            out.add(
                "FILE_LIST_SHA256",
                f"{row.sha256[:70]!r} is no sha256",
                row.file,
                line=row.line,
                field="sha256",
            )
        for name, cell in row.attributes.items():
            if cell[0] in "=@+-" and _FORMULA.match(cell):
                out.add(
                    "CELL_FORMULA",
                    f"{name[:60]}: {shown(cell)[:80]!r} begins like a formula",
                    row.file,
                    line=row.line,
                    field=name[:60],
                )
        if path in tree.files:
            listing.rows[path] = row
            size = tree.files[path][0]
            if row.size is not None and row.size != size:
                out.add(
                    "FILE_SIZE",
                    f"the file has {size} bytes, the list says {row.size}",
                    path,
                    line=row.line,
                    field="size",
                )
        elif key + "/" in tree.folders:
            folders.append(row)
        elif sequence.is_pattern(path):
            joined.append(row)
        elif path not in known:
            if folded is None:
                folded = {p.casefold(): p for p in tree.files}
            other = folded.get(path.casefold())
            out.add(
                "FILE_MISSING",
                f"{path} is listed but not there",
                row.file,
                line=row.line,
                field="path",
                mend=f"Did you mean {other}?" if other else None,
            )
    _join(joined, tree, listing, out, known)
    _spread(folders, tree, listing)
    if record is not None:
        for kind in ("study_components", "annotation_sets"):
            for i, part in enumerate(getattr(record, kind)):
                # of a deposit that adds, a part's files may be in earlier versions
                if part.name and part.name not in used and files.sources and not known:
                    out.add(
                        "PART_EMPTY",
                        f"no file is listed for {part.name!r}",
                        files.sources[0],
                        field=f"{kind}[{i}]",
                    )
    patterns = list(ignored)
    for path in tree.files:
        if path in listing.rows or path in record_files:
            continue
        if not matches(path, patterns):
            out.add("FILE_UNLISTED", "the file is in no list", path)
    _sources(listing, record, out, known)
    return listing


def _join(
    rows: list[Row], tree: Tree, listing: Listing, out: Collector, known: frozenset[str]
) -> None:
    """A pattern stands for the files of one image; a line of their own adds what is said there."""
    paths = sorted({*tree.files, *known}) if rows else []
    taken: dict[str, str] = {}
    for row in rows:
        start = row.path.partition("<")[0]
        near = paths[bisect_left(paths, start) : bisect_left(paths, start + chr(0x10FFFF))]
        try:
            members, _ = sequence.expand(row.path, near)
        except sequence.PatternError as error:
            wrong = str(error).removeprefix(f"{row.path}: ")
        else:
            there = [p for p in sorted(members, key=members.__getitem__) if p in tree.files]
            others = {taken[p] for p in there if p in taken}
            if not there:  # all in earlier versions
                continue
            if len(there) == len(members) and not others:
                listing.patterns[row.path] = there
                for path in there:
                    listing.rows.setdefault(path, row)
                    taken[path] = row.path
                continue
            wrong = f"only {len(there)} of its {len(members)} files are in this deposit"
            if others:
                wrong = f"files of it are those of {sorted(others)[0]} too"
        said = f"{row.path}: {wrong}"
        out.add("FILE_PATTERN", said, row.file, line=row.line, field="path")


def _spread(folders: list[Row], tree: Tree, listing: Listing) -> None:
    """A listed folder stands for the files below it that have no line of their own."""
    if not folders:
        return
    by_folder = {row.path.removesuffix("/") + "/": row for row in folders}
    for path in tree.files:
        if path in listing.rows:
            continue
        at = path.rfind("/")
        while at > 0:
            if row := by_folder.get(path[: at + 1]):
                listing.rows[path] = row
                break
            at = path.rfind("/", 0, at)


def _sources(
    listing: Listing, record: Record | None, out: Collector, known: frozenset[str]
) -> None:
    sets = {a.name for a in record.annotation_sets} if record else set()
    # A path that is its own row's is among the rows already: only listed folders are kept.
    folders = {row.path.removesuffix("/") for path, row in listing.rows.items() if row.path != path}
    folders |= listing.patterns.keys()
    reported: set[int] = set()
    named: dict[str, str] = {}  # name without folders -> the first file that has it
    for path, row in listing.rows.items():
        source = row.source_image
        if source:
            if source in listing.rows or source in known or source.removesuffix("/") in folders:
                listing.source[path] = source
            elif id(row) not in reported:
                reported.add(id(row))
                if not named:  # once: a million files may each name a wrong one
                    for known_path in listing.rows:
                        named.setdefault(known_path.rsplit("/", 1)[-1], known_path)
                near = named.get(source.rsplit("/", 1)[-1])
                out.add(
                    "SOURCE_UNKNOWN",
                    f"{path}: the source image {source[:200]!r} is not among the listed files",
                    row.file,
                    line=row.line,
                    field="source_image",
                    mend=f"Did you mean {near}?" if near else None,
                )
        elif row.part in sets and id(row) not in reported:
            reported.add(id(row))
            out.add(
                "SOURCE_MISSING",
                f"{path} does not say which image it is about",
                row.file,
                line=row.line,
                field="source_image",
            )


def check_content(
    folder: Path,
    listing: Listing,
    tree: Tree,
    out: Collector,
    *,
    deep: bool,
    tick: Callable[[int], None] = lambda n: None,
) -> None:
    """Given checksums against the bytes, and files of equal content.

    Without ``deep`` nothing is read: equal checksums in the lists are told. With it each file whose
    checksum is given or whose size is another's too is read once.
    """
    given = {
        path: row.sha256
        for path, row in listing.rows.items()
        if row.path == path and _SHA256.match(row.sha256)
    }
    digests = dict(given)
    if deep:
        sizes = Counter(size for size, _ in tree.files.values() if size)
        for path in listing.rows:
            size = tree.files[path][0]
            if path not in given and (sizes[size] < 2 or not size):
                continue
            digest = _sha256(folder, path, out, tick)
            if digest is None:
                continue
            digests[path] = digest
            if path in given and digest != given[path]:
                out.add(
                    "FILE_CHECKSUM",
                    f"the file's sha256 is {digest}, the list says {given[path]}",
                    path,
                    line=listing.rows[path].line,
                    field="sha256",
                )
    first: dict[str, str] = {}
    for path, digest in digests.items():
        other = first.setdefault(digest, path)
        if other != path and tree.files[path][0] and ".zarr/" not in path:
            out.add("FILE_DUPLICATE", f"the file has the same content as {other}", path)


def _sha256(folder: Path, path: str, out: Collector, tick: Callable[[int], None]) -> str | None:
    digest = hashlib.sha256()
    try:
        with open_inside(folder, path) as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
                tick(len(block))
    except OSError as error:
        if machines_fault(error):
            raise
        out.add("FILE_UNREADABLE", f"can't be read: {error}", path)
        return None
    return digest.hexdigest()
