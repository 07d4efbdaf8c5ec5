"""Names: accessions and their objects, logical paths, and the safe content paths made of them.

A logical path is what the submitter called a file. A content path is where its bytes lie: the same
when every file system and tool keeps that name as it is, otherwise an encoding of it in ASCII. The
true name is always the one in the inventory's state.
"""

from __future__ import annotations

import hashlib
import re

ACCESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
ID_PREFIX = "urn:slidebox:"
FOLDER_PREFIX = "urn%3aslidebox%3a"  # the layout extension's percent-encoding of the prefix

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+=@,")
_LONGEST = 180  # bytes of a component: leaves room for what other tools append
_LONGEST_PATH = 700  # bytes of a content path without its version: keys of S3 end at 1024
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def check_accession(accession: str) -> str:
    """The accession itself, when it is one; ValueError otherwise."""
    if not ACCESSION.fullmatch(accession):
        raise ValueError(
            f"{accession!r} is not an accession: letters, digits and hyphens, 64 at most, "
            "beginning with a letter or digit"
        )
    return accession


def object_id(accession: str) -> str:
    """The OCFL object id, a URI."""
    return ID_PREFIX + accession


def object_folder(accession: str) -> str:
    """Where the object lies under the root, by layout 0003 with no tuples."""
    return FOLDER_PREFIX + accession


def accession_of(folder: str) -> str | None:
    """The accession that a folder of the root holds, None when it is no object of Slidebox."""
    name = folder.removeprefix(FOLDER_PREFIX)
    return name if name != folder and ACCESSION.fullmatch(name) else None


def problem_with(path: str) -> str | None:
    """Why ``path`` can't be a file's logical path; None when it can."""
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        return "the name is not valid UTF-8"
    if "\0" in path:
        return "the name contains a NUL"
    parts = path.split("/")
    if not path or path.startswith("/") or any(part in ("", ".", "..") for part in parts):
        return "the path is not a plain relative path inside the submission"
    if len(raw) > 4000 or any(len(part.encode()) > 255 for part in parts):
        return "the name is longer than 255 bytes (4,000 for the path)"
    return None


def encode(component: str) -> str:
    """One component of a path in safe ASCII, the same when it is safe.

    Bytes outside ``A-Z a-z 0-9 . _ - + = @ ,`` become ``%XX``, as does a leading dot, a dot at the
    end and the first letter of a name that Windows reserves. What grows too long is cut and ends
    in ``~`` and a digest of the whole name; a tilde is itself never safe, so nothing collides.
    """
    raw = component.encode()
    out = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in raw)
    if out[0] == "." or _DEVICES.fullmatch(out):
        out = f"%{ord(out[0]):02X}{out[1:]}"
    if out[-1] == ".":
        out = out[:-1] + "%2E"
    if len(out) > _LONGEST:
        out = _marked(out, raw)
    return out


def _marked(out: str, raw: bytes) -> str:
    head = re.sub(r"%.?$", "", out[: _LONGEST - 17])
    return f"{head}~{hashlib.sha256(raw).hexdigest()[:16]}"


class ContentPaths:
    """Content paths of one version, no two of them the same, even where case is not told apart."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}  # content prefix, case folded -> logical prefix

    def of(self, logical: str) -> str:
        """The content path below ``vN/content`` of a logical path."""
        out, prefix = "", ""
        for part in logical.split("/"):
            prefix = f"{prefix}/{part}" if prefix else part
            name = encode(part)
            candidate = f"{out}/{name}" if out else name
            if self._taken.setdefault(candidate.casefold(), prefix) != prefix:
                candidate = f"{out}/{_marked(name, prefix.encode())}"
                self._taken[candidate.casefold()] = prefix
            out = candidate
        if len(out) > _LONGEST_PATH:
            top = logical.split("/", 1)[0]
            out = f"{encode(top)}/~{hashlib.sha256(logical.encode()).hexdigest()}"
        return out
