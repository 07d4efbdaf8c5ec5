"""Validation of a submission: read the record, look at the files, open the images, say it all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..faults import machines_fault
from ..findings import Finding, has_errors
from ..images import can_read
from ..record import REMBI_VERSION, SCHEMA_VERSION, NoSubmission, Reading, Record, read
from ..record.curation import Curation, apply, apply_waivers
from . import scope
from . import series as series_checks
from .collect import Collector
from .fields import check_record
from .filesets import assign_slices, role_of
from .licences import spdx
from .listing import Listing, check_content, check_listing
from .opening import Children
from .settings import Settings
from .severity import apply_settings
from .tables import check_tables
from .tree import Tree, scan
from .vocabulary import VERSIONS

Progress = Callable[[str, int, int], None]
"""Called with (what is going on, done, total)."""


HEADERS = (
    ".dcm", ".dicom", ".nii", ".nii.gz", ".hdr", ".ima", ".npy", ".npz", ".pkl", ".pickle",
    ".joblib", ".pt", ".pth",
)  # fmt: skip
"""Files that no reader opens but whose headers may name a patient or hold code."""


DOCUMENTS = (
    ".md", ".rst", ".pdf", ".doc", ".docx", ".odt", ".rtf", ".htm", ".html", ".yml", ".yaml",
    ".toml", ".ini", ".cfg", ".log", ".py", ".r", ".m", ".ijm", ".ipynb", ".sh", ".java",
    ".groovy", ".cppipe",
)  # fmt: skip
"""Files that nobody takes for images."""


@dataclass
class Validation:
    """What validation found; ``to_json`` is ``validation.json``."""

    accession: str
    findings: list[Finding] = field(default_factory=list)
    record: Record | None = None
    images: list[dict[str, Any]] = field(default_factory=list)
    filesets: list[dict[str, Any]] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    waived: list[dict[str, Any]] = field(default_factory=list)
    software: dict[str, str] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    decision: str | None = None

    @property
    def is_submission(self) -> bool:
        """False when the folder holds no record at all."""
        return not any(f.code == "RECORD_MISSING" for f in self.findings)

    @property
    def status(self) -> str:
        """``rejected`` when any finding is an error."""
        return "rejected" if has_errors(self.findings) else "accepted"

    def to_json(self) -> dict[str, Any]:
        return {
            "accession": self.accession,
            "status": self.status,
            "findings": [f.to_dict() for f in self.findings],
            "images": self.images,
            "files": self.files,
            "bytes": self.bytes,
            "waived": self.waived,
            "software": self.software,
            "history": self.history,
            "decision": self.decision,
        }


def validate(
    folder: Path | str,
    *,
    ready: Any = None,
    deep: bool = False,
    threads: int = 1,
    slices: int = 1,
    config: Any = None,
    progress: Progress | None = None,
    known: Iterable[str] = (),
    curation: Curation | None = None,
) -> Validation:
    """Check a submission and say everything that is wrong with it at once.

    Parameters
    ----------
    folder : the submission.
    ready : ``deposit.read_ready(folder)``: files are compared with what was sealed.
    deep : read every plane of every image and every file whose sha256 is given.
    threads : images opened at the same time, each in a child process.
    slices : in how many the filesets are parted for deriving images.
    config : Settings, a mapping of its keys, or a configuration with an attribute ``validation``.
    progress : called with (stage, done, total).
    curation : what curators said of the study; applied to the record before it is checked, its
        waivers to the findings.
    known : paths that earlier versions of the study hold (for deposits that add).

    Raises
    ------
    NoSubmission : there is no such folder. A folder without a record is a finding
        (RECORD_MISSING, ``Validation.is_submission`` is False).
    """
    folder = Path(folder)
    settings = Settings.of(config)
    tell = progress or (lambda stage, done, total: None)
    if not folder.is_dir():
        raise NoSubmission(f"{folder} is no folder")
    out = Collector()
    tell("Looking at the files", 0, 1)
    tree = scan(folder, out)
    reading = read(folder)
    out.extend(reading.findings)
    record = reading.record
    history: list[dict[str, Any]] = []
    if record is not None and curation is not None:
        record, stale, history = apply(curation, record)
        out.extend(stale)
    if record is not None:
        check_record(record, reading.where, out, settings)
    if ready is not None:
        _check_ready(ready, tree, record, reading, out)
    tell("Comparing lists and files", 0, 1)
    listing = check_listing(
        reading.files,
        tree,
        record,
        out,
        ignored=[*settings.ignored_files, *(record.ignored_files if record else [])],
        record_files=reading.record_files,
        known=known,
    )
    read_bytes, all_bytes = 0, tree.bytes

    def tick(n: int) -> None:
        nonlocal read_bytes
        read_bytes += n
        tell("Reading files", min(read_bytes, all_bytes), all_bytes)

    check_content(folder, listing, tree, out, deep=deep, tick=tick)
    with Children(folder, settings, threads) as children:
        filesets = _filesets(children, listing, tree, record, out)
        _open(children, filesets, deep, tell, out)
        confined = children.confined
    _check_still(folder, tree, listing, out)
    series_checks.check_labels(filesets, out)
    if record is not None:
        check_tables(folder, filesets, {a.name for a in record.annotation_sets}, out)
    if settings.scope:
        scope.check_files(filesets, record, out)
        scope.check_columns(reading.files, record, out)
    assign_slices(filesets, slices)
    if record is not None:
        record.license = spdx(record.license)[0] or record.license
        record.image_data = series_checks.image_data(filesets)
    findings, waived = apply_settings(out.all(), settings)
    if curation is not None:
        findings, more = apply_waivers(curation, findings)
        waived += more
    accession = (record.accession if record else "") or (
        ready.accession if ready is not None else folder.resolve().name
    )
    return Validation(
        accession,
        findings,
        record,
        series_checks.images(filesets),
        filesets,
        len(tree.files),
        tree.bytes,
        waived,
        {
            "slidebox": __version__,
            "rembi": REMBI_VERSION,
            "schema": SCHEMA_VERSION,
            **VERSIONS,
            **confined,
        },
        history,
        curation.decision if curation else None,
    )


def _check_still(folder: Path, tree: Tree, listing: Listing, out: Collector) -> None:
    """Files must be at the end what they were at the beginning."""
    for path in listing.rows:
        try:
            status = os.lstat(f"{folder}/{path}")
        except OSError as error:
            if machines_fault(error):
                raise
            out.add("FILE_CHANGED", "the file is gone since validation began", path)
            continue
        if (status.st_size, status.st_mtime_ns) != tree.files[path]:
            out.add("FILE_CHANGED", "the file changed while it was validated", path)


def _check_ready(
    ready: Any, tree: Tree, record: Record | None, reading: Reading, out: Collector
) -> None:
    if record is not None and record.accession and record.accession != ready.accession:
        out.add(
            "ACCESSION_MISMATCH",
            f"the record says {record.accession[:80]}, the deposit {ready.accession}",
            reading.where.file,
            line=reading.where.line("accession"),
            field="accession",
        )
    sealed: set[str] = set()
    for path, size, mtime_ns in ready.entries():
        if path.endswith("/"):
            continue
        sealed.add(path)
        now = tree.files.get(path)
        if now is None:
            out.add("FILE_CHANGED", "the file was sealed and is gone", path)
        elif now != (size, mtime_ns):
            out.add("FILE_CHANGED", "the file changed after the submission was sealed", path)
    for path in tree.files:
        if path not in sealed:
            out.add("FILE_CHANGED", "the file came after the submission was sealed", path)


def _listed(path: str, listing: Listing, tree: Tree) -> dict[str, Any]:
    """A file of a fileset; with the checksum that the list gives, for the archive to hold it to."""
    row = listing.rows.get(path)
    given = row.sha256 if row is not None and row.path == path else ""
    return {"path": path, "size": tree.files[path][0], **({"sha256": given} if given else {})}


def _filesets(
    children: Children, listing: Listing, tree: Tree, record: Record | None, out: Collector
) -> list[dict[str, Any]]:
    """Files grouped as they are opened, with what the lists and the record say of them."""
    if not listing.rows:
        return []
    joined = {path for members in listing.patterns.values() for path in members}
    groups, problems = children.group([path for path in listing.rows if path not in joined])
    for code, text in problems:
        out.add(code, f"grouping the files: {text}")
    pattern_of = {members[0]: pattern for pattern, members in listing.patterns.items()}
    for members in listing.patterns.values():
        groups.append((members[0], members, can_read(f"{children.folder}/{members[0]}")))
    groups.sort()
    leader = {path: primary for primary, files, _ in groups for path in files}
    leader |= {pattern: primary for primary, pattern in pattern_of.items()}
    parts = record.parts() if record else {}
    sets = {a.name: a for a in record.annotation_sets} if record else {}
    filesets: list[dict[str, Any]] = []
    groups.reverse()  # to let go of each when its fileset is made: there may be a million
    while groups:
        primary, files, fmt = groups.pop()
        row = listing.rows.get(primary) or listing.rows[files[0]]
        if [row.path] == files == [primary]:
            files, primary = [row.path], row.path  # one text for all that hold the path
        part = parts.get(row.part)
        annotations = sets.get(row.part)
        source = listing.source.get(primary) or listing.source.get(files[0])
        filesets.append(
            {
                "index": len(filesets),
                "slice": 0,
                "path": primary,
                "files": [_listed(f, listing, tree) for f in files],
                "bytes": sum(tree.files[f][0] for f in files),
                "format": fmt,
                "role": role_of(
                    fmt, primary, annotations is not None, annotations.types if annotations else ()
                ),
                "part": row.part,
                "access": part.access if part else "public",
                "source_image": leader.get(source, source) if source else None,
                "attributes": row.attributes,
                "line": row.line,
                "series": [],
                **({"pattern": pattern_of[primary]} if primary in pattern_of else {}),
            }
        )
    return filesets


def _open(
    children: Children,
    filesets: list[dict[str, Any]],
    deep: bool,
    tell: Progress,
    out: Collector,
) -> None:
    readable = {f["path"]: f for f in filesets if f["format"] is not None}
    tell("Opening images", 0, len(readable))
    paths = [(f["path"], f["bytes"]) for f in readable.values()]
    patterns = {f["path"]: f["pattern"] for f in readable.values() if "pattern" in f}
    opened = children.inspect(paths, deep=deep, patterns=patterns)
    for done, (path, answer) in enumerate(opened, 1):
        fileset = readable[path]
        fileset["series"] = answer.get("series", [])
        for name in ("format", "reader", "reader_version", "scope"):
            if answer.get(name):
                fileset[name] = answer[name]
        fileset["problems"] = answer["problems"]
        for code, text in answer["problems"]:
            out.add(code, text, path)
        series_checks.check_series(fileset, out)
        tell("Opening images", done, len(readable))
    for fileset in filesets:
        if "scope" not in fileset and fileset["path"].lower().endswith(HEADERS):
            answer = children.header(fileset["path"])
            fileset["scope"] = answer.get("scope", {})
            for code, text in answer["problems"]:
                out.add(code, text, fileset["path"])
        if (
            fileset["role"] == "other"
            and fileset["bytes"]
            and not fileset["path"].lower().endswith(DOCUMENTS)
        ):
            out.add(
                "IMAGE_UNKNOWN_FORMAT",
                "no reader knows this format; the file is archived as it is and can't be viewed",
                fileset["path"],
            )
