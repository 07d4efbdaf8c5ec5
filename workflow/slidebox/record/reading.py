"""A submission's record, whatever its form."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..findings import Finding
from . import file_list, study_yaml
from .file_list import FileList
from .model import Record
from .positions import Positions


class NoSubmission(Exception):
    """The folder holds no record in any form, or more than one; the message says which."""


@dataclass
class Reading:
    """What reading a submission's record gave.

    ``record`` is None when nothing could be read of it; ``record_files`` are the files that the
    record stands in (paths as submitted).
    """

    form: str
    record: Record | None
    files: FileList
    where: Positions
    findings: list[Finding] = field(default_factory=list)
    record_files: set[str] = field(default_factory=set)


def forms(folder: Path) -> list[tuple[str, str]]:
    """(form, file) of each record in the folder's top level."""
    found = []
    if (folder / study_yaml.NAME).is_file():
        found.append(("study.yaml", study_yaml.NAME))
    return found


def read(folder: Path) -> Reading:
    """Read the record and file lists of a submission's folder.

    Raises
    ------
    NoSubmission : when there is no record, or more than one.
    """
    found = forms(folder)
    if not found:
        raise NoSubmission(
            f"{folder} holds no study.yaml, ro-crate-metadata.json or PageTab record; "
            f"`slidebox init {folder}` writes a study.yaml to fill in"
        )
    if len(found) > 1:
        raise NoSubmission(
            f"{folder} holds {len(found)} records ({', '.join(f for _, f in found)}); keep one"
        )
    form, name = found[0]
    return _read_study_yaml(folder)


def _read_study_yaml(folder: Path) -> Reading:
    name = study_yaml.NAME
    text, findings = study_yaml.read_text(folder, name)
    record, where = None, Positions(name)
    if text is not None:
        record, where, more = study_yaml.loads(text, name)
        findings += more
    files = FileList()
    if (folder / file_list.NAME).is_file():
        files, more = file_list.read_tsv(folder)
        findings += more
    else:
        findings.append(
            Finding(
                "FILE_LIST_MISSING",
                "error",
                "there is no files.tsv beside study.yaml",
                file_list.NAME,
                None,
                None,
                "Write files.tsv (columns path, part); `slidebox init` makes one from the files.",
            )
        )
    return Reading("study.yaml", record, files, where, findings, {name, file_list.NAME})
