"""A look into headers for what must not be published; runs in the child, returns names only."""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_PATIENT = {
    0x0010: "PatientName",
    0x0020: "PatientID",
    0x0030: "PatientBirthDate",
    0x1000: "OtherPatientIDs",
    0x1001: "OtherPatientNames",
    0x1040: "PatientAddress",
    0x2154: "PatientTelephoneNumbers",
}
_LONG = {b"OB", b"OW", b"OF", b"OD", b"OL", b"SQ", b"UC", b"UN", b"UR", b"UT", b"OV", b"SV", b"UV"}
_TEXT = re.compile(
    r"\b(Patient(?:'?s)?[ _]?(?:Name|ID|BirthDate|Birth[ _]Date|Address|DOB))\b"
    r"[\"']?\s*(?:[=:]|\">|>)\s*[\"']?([^\"'<>\s;,|]{2,})",
    re.I,
)
_NOBODY = {"anonymous", "anonymized", "anonymised", "none", "null", "unknown", "n/a", "na", "test"}


def look(path: str, metadata: Any = None) -> dict[str, Any]:
    """``{"personal": [names of fields], "modality": ..., "nifti": True}`` as far as found."""
    told: dict[str, Any] = {}
    if Path(path).is_file():
        with open(path, "rb") as handle:
            head = handle.read(348)
            if head[128:132] == b"DICM":
                handle.seek(132)
                told |= _dicom(handle)
        if _is_nifti(path, head):
            told["nifti"] = True
    if isinstance(metadata, dict):
        found = set()
        for text in metadata.values():
            for name, value in _TEXT.findall(str(text)[: 4 << 20]):
                if value.casefold() not in _NOBODY:
                    found.add(name)
        if found:
            told["personal"] = sorted({*told.get("personal", []), *found})
    return told


def _is_nifti(path: str, head: bytes) -> bool:
    if not path.lower().endswith((".nii", ".nii.gz", ".hdr")):
        return False
    if head[:2] == b"\x1f\x8b":
        try:
            with gzip.open(path) as handle:
                head = handle.read(348)
        except (OSError, EOFError):
            return False
    return head[344:347] in (b"n+1", b"ni1") or head[4:7] == b"n+2"


def _dicom(handle: BinaryIO) -> dict[str, Any]:
    """Modality, and which patient fields have a value, of a DICOM file (up to group 0010)."""
    told: dict[str, Any] = {}
    personal = []
    for group, element, value in _elements(handle):
        text = value.strip(b" \0^").decode("latin-1")
        if (group, element) == (0x0008, 0x0060):
            told["modality"] = text
        elif group == 0x0010 and element in _PATIENT and text.casefold() not in {"", *_NOBODY}:
            personal.append(_PATIENT[element])
    if personal:
        told["personal"] = personal
    return told


def _elements(handle: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """(group, element, value) of plain elements; sequences are skipped by their length."""
    explicit, order = True, "<"
    syntax = b""
    for _ in range(5000):
        start = handle.tell()
        tag = handle.read(4)
        if len(tag) < 4:
            return
        group, element = struct.unpack("<HH", tag)
        if group != 2 and syntax:
            if syntax == b"1.2.840.10008.1.2":
                explicit = False
            elif syntax == b"1.2.840.10008.1.2.2":
                order = ">"
            syntax = b""
        if order == ">" and group != 2:
            group, element = struct.unpack(">HH", tag)
        if group > 0x0010:
            return
        if explicit or group == 2:
            kind = handle.read(2)
            if kind in _LONG:
                handle.read(2)
                size = handle.read(4)
                length = struct.unpack(order + "I", size)[0] if len(size) == 4 else 0
            else:
                size = handle.read(2)
                length = struct.unpack(order + "H", size)[0] if len(size) == 2 else 0
        else:
            size = handle.read(4)
            length = struct.unpack(order + "I", size)[0] if len(size) == 4 else 0
        if length == 0xFFFFFFFF or handle.tell() <= start:
            return  # of undefined length: what follows can't be told without parsing it
        if length > 1 << 16:
            handle.seek(length, 1)
            continue
        value = handle.read(length)
        if (group, element) == (2, 0x0010):
            syntax = value.strip(b" \0")
        yield group, element, value
