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


def threats(path: str, metadata: Any = None) -> list[list[str]]:
    """[code, text] for what was made to hurt: endless directories, entities, pickles."""
    found = []
    if Path(path).is_file():
        with open(path, "rb") as handle:
            head = handle.read(1024)
            if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") and tiff_loop(handle):
                found.append(["IMAGE_LOOP", "its directories point back to an earlier one"])
            if _is_pickle(head):
                found.append(["FILE_PICKLE", "holds pickled Python objects"])
    texts = metadata.values() if isinstance(metadata, dict) else ()
    if any(re.search(r"<!\s*(ENTITY|DOCTYPE[^>]*\[)", str(t)[: 1 << 20]) for t in texts):
        found.append(["IMAGE_XML_ENTITY", "its XML declares entities"])
    return found


def _is_pickle(head: bytes) -> bool:
    """A pickle of protocol 2 or later, or a NumPy array of objects."""
    if head[:6] == b"\x93NUMPY":
        return bool(re.search(rb"'descr'\s*:\s*[^,]*\|?O", head[:256]))
    return head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5" and head[2:3] in b"\x95c]}(X\x8cK"


def tiff_loop(handle: BinaryIO, limit: int = 20_000) -> bool:
    """Whether the chain of a TIFF's directories comes back to one that was there before."""
    handle.seek(0)
    head = handle.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:3] == b"+" or head[3:4] == b"+"
    if len(head) < (16 if big else 8):
        return False
    at = struct.unpack(order + ("Q" if big else "I"), head[8:16] if big else head[4:8])[0]
    seen: set[int] = set()
    while at and len(seen) < limit:
        if at in seen:
            return True
        seen.add(at)
        handle.seek(at)
        count = handle.read(8 if big else 2)
        if len(count) < (8 if big else 2):
            return False
        n = struct.unpack(order + ("Q" if big else "H"), count)[0]
        if n > 1 << 16:
            return False
        handle.seek(n * (20 if big else 12), 1)
        link = handle.read(8 if big else 4)
        if len(link) < (8 if big else 4):
            return False
        at = struct.unpack(order + ("Q" if big else "I"), link)[0]
    return False


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
