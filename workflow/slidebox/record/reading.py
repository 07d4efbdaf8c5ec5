"""A submission's record, whatever its form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..faults import machines_fault
from ..findings import Finding
from . import file_list, json_lines, pagetab, rocrate, study_yaml
from .codes import finding
from .file_list import FileList, Row
from .inside import open_inside
from .json_lines import BadJson
from .model import Record
from .positions import Positions

_SNIFFED = 8 << 20
_SUBMISSION = re.compile(rb'\A(?:\xef\xbb\xbf)?"?Submission"?[\t\r\n]')


class NoSubmission(Exception):
    """The folder can't be looked at as a submission; the message says why."""


@dataclass
class Reading:
    """What reading a submission's record gave.

    ``record`` is None when nothing could be read of it; ``record_files`` are the files that the
    record stands in (paths as submitted). ``form`` is ``study.yaml``, ``ro-crate``, ``pagetab``
    or ``none``.
    """

    form: str
    record: Record | None
    files: FileList
    where: Positions
    findings: list[Finding] = field(default_factory=list)
    record_files: set[str] = field(default_factory=set)


def forms(folder: Path) -> list[tuple[str, str]]:
    """(form, file) of each record at the folder's top: links are not followed.

    A PageTab record is a JSON file whose value has a ``section``, or a text file whose first cell
    is ``Submission``, whatever its name.
    """
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_file() or path.name.startswith("."):
            continue
        if path.name == study_yaml.NAME:
            found.append(("study.yaml", path.name))
        elif path.name == rocrate.NAME:
            found.append(("ro-crate", path.name))
        elif path.suffix.lower() in (".json", ".tsv", ".txt", ".pagetab") and _is_pagetab(path):
            found.append(("pagetab", path.name))
    order = ("study.yaml", "ro-crate", "pagetab")
    return sorted(found, key=lambda f: order.index(f[0]))


def _is_pagetab(path: Path) -> bool:
    if path.name == file_list.NAME:
        return False
    try:
        with path.open("rb") as handle:
            head = handle.read(64)
            if _SUBMISSION.match(head):
                return True
            if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
                return False
            raw = head + handle.read(_SNIFFED)
    except OSError as error:
        if machines_fault(error):
            raise
        return False
    if len(raw) > _SNIFFED or b'"section"' not in raw:
        return False
    if path.name.endswith(".pagetab.json"):
        return True
    try:
        tree, _ = json_lines.loads(raw.decode("utf-8-sig"))
    except (BadJson, UnicodeDecodeError):
        return re.search(rb'"type"\s*:\s*"submission"', raw, re.I) is not None
    return pagetab.is_submission(tree)


def read(folder: Path) -> Reading:
    """Read the record and file lists of a submission's folder; what is wrong is in its findings."""
    found = forms(folder)
    if not found:
        message = "there is no study.yaml, ro-crate-metadata.json or PageTab record"
        return Reading("none", None, FileList(), Positions(), [finding("RECORD_MISSING", message)])
    form, name = found[0]
    readers = {"study.yaml": _study_yaml, "ro-crate": _crate, "pagetab": _pagetab}
    reading = readers[form](folder, name)
    if len(found) > 1:
        message = f"there are {len(found)} records: {', '.join(f for _, f in found)}"
        reading.findings.insert(
            0, finding("RECORD_AMBIGUOUS", f"{message}; {name} was read", found[1][1])
        )
        reading.record_files |= {f for _, f in found}
    return reading


def _study_yaml(folder: Path, name: str) -> Reading:
    text, findings = study_yaml.read_text(folder, name)
    record, where = None, Positions(name)
    if text is not None:
        record, where, more = study_yaml.loads(text, name)
        findings += more
    files = FileList()
    if (folder / file_list.NAME).is_file() and not (folder / file_list.NAME).is_symlink():
        files, more = file_list.read_tsv(folder)
        findings += more
    else:
        message = "there is no files.tsv beside study.yaml"
        findings.append(finding("FILE_LIST_MISSING", message, file_list.NAME))
    return Reading("study.yaml", record, files, where, findings, {name, file_list.NAME})


def _crate(folder: Path, name: str) -> Reading:
    text, findings = study_yaml.read_text(folder, name, limit=64 << 20)
    if text is None:
        return Reading("ro-crate", None, FileList(), Positions(name), findings, {name})
    crate = rocrate.loads(text, folder, name)
    names = {name, *crate.files.sources}
    return Reading(
        "ro-crate", crate.record, crate.files, crate.where, findings + crate.findings, names
    )


def _pagetab(folder: Path, name: str) -> Reading:
    text, findings = study_yaml.read_text(folder, name)
    if text is None:
        return Reading("pagetab", None, FileList(), Positions(name), findings, {name})
    told = pagetab.loads(text, name)
    findings += told.findings
    files = FileList(sources=[name] if told.files else [])
    root = ""
    if told.record is not None:
        said = told.record.extra.get("submission", {})
        given = said.get("RootPath") if isinstance(said, dict) else None
        if isinstance(given, str) and given.strip("/") and (folder / given.strip("/")).is_dir():
            root = given.strip("/") + "/"
    for part, one, line in told.files:
        files.rows.append(_row(one, part, name, line, root))
    for part, listed, at, line in told.lists:
        file = next(
            (f for f in (listed, root + listed, *_other_forms(listed)) if _regular(folder, f)),
            None,
        )
        if file is None:
            message = f"the file list {listed[:200]!r} of {part[:80]!r} is not in the folder"
            findings.append(finding("FILE_LIST_MISSING", message, name, line, at))
            continue
        files.sources.append(file)
        files.rows += _read_list(folder, file, part, root, findings)
    return Reading("pagetab", told.record, files, told.where, findings, {name, *files.sources})


def _regular(folder: Path, path: str) -> bool:
    try:
        open_inside(folder, path).close()
    except OSError as error:
        if machines_fault(error):
            raise
        return False
    return True


def _other_forms(name: str) -> list[str]:
    """The archive turns a submitted list into another form and the record says its new name."""
    stem = name.rsplit(".", 1)[0]
    return [f"{stem}.tsv", f"{stem}.json"]


def _row(one: dict, part: str, file: str, line: int | None, root: str) -> Row:
    """A file object ``{path, size, attributes, type}`` of PageTab JSON."""
    row = Row(root + str(one.get("path", "")), part, file=file, line=line)
    size = one.get("size")
    row.size = size if isinstance(size, int) and not isinstance(size, bool) else None
    for attribute in one.get("attributes") or []:
        if not isinstance(attribute, dict) or attribute.get("value") in (None, ""):
            continue
        name, value = str(attribute.get("name")), str(attribute["value"])
        known = file_list.canonical_column(name)
        if known == "source_image":
            row.source_image = row.source_image or root + value
        elif known == "sha256":
            row.sha256 = value.lower()
        elif name in row.attributes:
            row.attributes[name] += f"; {value}"
        else:
            row.attributes[name] = value
    return row


def _read_list(
    folder: Path, file: str, part: str, root: str, findings: list[Finding]
) -> Iterator[Row]:
    """Rows of a file list, JSON or TSV."""
    if not file.lower().endswith(".json"):
        told, more = file_list.read_tsv(folder, file)
        findings += more
        for row in told.rows:
            row.part = part
            row.path = root + row.path
            row.source_image = root + row.source_image if row.source_image else ""
            yield row
        return
    text, more = study_yaml.read_text(folder, file, limit=512 << 20)
    findings += more
    if text is None:
        return
    try:
        for line, one in json_lines.elements(text):
            if isinstance(one, dict) and one.get("path"):
                yield _row(one, part, file, line, root)
            else:
                message = "an element of the list has no path"
                findings.append(finding("FILE_LIST_COLUMN", message, file, line, "path"))
    except BadJson as error:
        findings.append(finding("JSON_SYNTAX", str(error), file, error.line))
