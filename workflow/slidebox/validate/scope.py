"""Scope: molecule to organism. Medical images and patients' data have other archives.

What is found is named, its value never.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..record import FileList, Record
from .collect import Collector

CLINICAL = {
    "CR", "CT", "DX", "ES", "IO", "MG", "MR", "NM", "OP", "OPT", "PT", "PX", "RF", "RTIMAGE", "US",
    "XA",
}  # fmt: skip
"""DICOM modalities of clinical imaging (SM, slide microscopy, is none)."""

_PERSONAL = re.compile(
    r"\b(?:patient(?:'?s)?|subject|donor)?[ _-]*(?:(?:first|last|full|family|sur|given)[ _-]?name"
    r"|name of (?:the )?patient|date of birth|birth[ _-]?date|dob|social security|ssn|nhs number"
    r"|medical record|mrn|home address|phone number|postal code)\b"
    r"|\bpatient(?:'?s)?[ _-]*(?:name|id|initials|address|birth)\b",
    re.I,
)


def human(record: Record | None) -> bool:
    """Whether any biosample is of man."""
    if record is None:
        return False
    return any(
        re.search(r"homo sapiens|\bhuman\b", f"{o.name} {o.common_name}", re.I)
        or re.fullmatch(r"\D*9606", o.ncbi_taxon.strip())
        for sample in record.biosamples
        for o in sample.organism
    )


def check_columns(files: FileList, record: Record | None, out: Collector) -> None:
    """Columns of the file lists that are named as a person's data, in a study of man."""
    if not human(record):
        return
    seen: set[tuple[str, str]] = set()
    for row in files.rows:
        for name in row.attributes:
            if (row.file, name) not in seen:
                seen.add((row.file, name))
                if _PERSONAL.search(name):
                    out.add(
                        "SCOPE_PATIENT_DATA",
                        f"the column {name[:60]!r} seems to hold data of persons",
                        row.file,
                        line=1,
                        field=name[:60],
                    )


def check_files(filesets: Iterable[dict[str, Any]], record: Record | None, out: Collector) -> None:
    """What the children found in headers, and formats of clinical imaging."""
    of_man = human(record)
    for fileset in filesets:
        path = fileset["path"]
        told = fileset.get("scope") or {}
        if names := told.get("personal"):
            out.add(
                "SCOPE_PATIENT_DATA",
                f"the header holds data of a person: {', '.join(names)[:300]}",
                path,
            )
        if told.get("modality") in CLINICAL:
            out.add("SCOPE_MEDICAL", f"a DICOM file of the modality {told['modality']}", path)
        elif told.get("nifti") and of_man:
            out.add("SCOPE_MEDICAL", "a NIfTI file in a study of man", path)
        for one in fileset["series"]:
            if one.get("role") == "label":
                out.add(
                    "SCOPE_SLIDE_LABEL",
                    "the file holds a picture of the slide's label, which may show a name",
                    path,
                    field=f"series[{one['index']}]",
                )
