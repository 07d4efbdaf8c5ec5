"""The door: ``.ready`` says that a submission is complete and which files it vouches for.

Form: the first line is a JSON object (the header), each further line a JSON array
``[path, size, mtime_ns]``, sorted by path; an empty folder is ``["folder/", 0, mtime_ns]``.
The header holds the digest of the lines, so that the header alone tells two deposits apart.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from slidebox import atomic
from slidebox.faults import machines_fault
from slidebox.findings import Finding

READY = ".ready"
DEPOSIT = "deposit.yaml"
OURS = frozenset({READY, DEPOSIT})
"""Names at the top of a submission that belong to the door and are not archived."""

ACCESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
RESERVED = frozenset(
    {"assets", "catalogue", "challenges", "files", "index", "review", "search", "api", "robots"}
    | {"accessions", "audit", "benchmarks", "cancelled", "embargoes", "environments"}
    | {"leaderboards", "logs", "publish", "receipts", "requests", "reviews", "running"}
)
"""Accessions that would hide a part of the site, or of results/."""


def check_accession(accession: str) -> str | None:
    """Why this can't be an accession, or None."""
    if not ACCESSION.fullmatch(accession):
        return "an accession has 1 to 64 letters, digits and hyphens and begins with no hyphen"
    if accession.lower() in RESERVED:
        return f"{accession!r} is a reserved name"
    return None


class DepositError(Exception):
    """A deposit that can't be used; `findings` says why."""

    def __init__(self, findings: list[Finding]):
        super().__init__("; ".join(f.message for f in findings))
        self.findings = findings


@dataclass(frozen=True, slots=True)
class Ready:
    """An opened ``.ready``: the header's figures; `entries` streams its list."""

    folder: Path
    accession: str
    count: int
    bytes: int
    list_sha256: str

    def entries(self) -> Iterator[tuple[str, int, int]]:
        """Yield (path, size, mtime_ns); empty folders end with a slash.

        Raises `DepositError` at the end when the list is not what the header vouches for.
        """
        digest = hashlib.sha256()
        with _plain(self.folder / READY) as handle:
            handle.readline()
            for number, line in enumerate(handle, start=2):
                digest.update(line)
                try:
                    path, size, mtime_ns = json.loads(line)
                    if not (isinstance(path, str) and type(size) is int and type(mtime_ns) is int):
                        raise ValueError("not [path, size, mtime_ns]")
                except ValueError as error:
                    raise DepositError([_bad_ready(f"unreadable entry: {error}", number)]) from None
                yield path, size, mtime_ns
        if digest.hexdigest() != self.list_sha256:
            raise DepositError([_bad_ready("the list is not the one that the header vouches for")])


def _plain(path: Path) -> IO[bytes]:
    """Open a regular file and nothing else: no link is followed, no pipe is waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(fd, "rb")


def _bad_ready(message: str, line: int | None = None) -> Finding:
    return Finding(
        "READY_INVALID",
        "error",
        f".ready can't be used: {message}",
        file=READY,
        line=line,
        mend="Delete .ready and run `slidebox submit` on the folder; it writes the file list.",
    )


def walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (path, lstat) of everything in a submission, sorted, without following links.

    Folders are yielded only when they are empty, with a slash at the end. Names that are not
    UTF-8 keep their surrogates, for the validation to refuse by name.
    """

    def visit(directory: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(directory) as scan:
            entries = sorted(scan, key=lambda e: e.name)
        for entry in entries:
            if not prefix and entry.name in OURS:
                continue
            path = prefix + entry.name
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                inside = Path(entry.path)
                if any(True for _ in os.scandir(inside)):
                    yield from visit(inside, path + "/")
                else:
                    yield path + "/", status
            else:
                yield path, status

    yield from visit(folder, "")


def write_ready(folder: Path, accession: str) -> Ready:
    """Write ``.ready`` (atomically, last) with all files that stand in the folder now."""
    digest, count, total = hashlib.sha256(), 0, 0
    temporary = folder / f"{READY}.list.tmp"
    try:
        with temporary.open("wb") as lines:
            for path, status in walk(folder):
                if path == temporary.name:
                    continue
                size = 0 if path.endswith("/") else status.st_size
                entry = [path, size, status.st_mtime_ns]
                line = json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
                lines.write(line)
                digest.update(line)
                count += not path.endswith("/")
                total += size
        header = {
            "slidebox_ready": 1,
            "accession": accession,
            "files": count,
            "bytes": total,
            "list_sha256": digest.hexdigest(),
        }
        with atomic.replacing(folder / READY, "wb") as handle, temporary.open("rb") as lines:
            handle.write(json.dumps(header).encode() + b"\n")
            while block := lines.read(1 << 20):
                handle.write(block)
    finally:
        temporary.unlink(missing_ok=True)
    return Ready(folder, accession, count, total, digest.hexdigest())


def header_line(folder: Path | str) -> bytes:
    """First line of ``.ready`` as it stands; FileNotFoundError when there is nothing.

    A link, a pipe or a folder of that name gives a line that is no header. Thousands of these are
    read while a run is planned: one open, one read, no objects in between.
    """
    try:
        data = _beginning(f"{folder}/{READY}", 1 << 16)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        if machines_fault(error):
            raise
        return f"unreadable: {error.strerror}".encode()
    return data[: data.find(b"\n") + 1] or data


def _beginning(path: str, count: int) -> bytes:
    """The first bytes of a regular file: no link is followed, no pipe is waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return os.read(fd, count)
    finally:
        os.close(fd)


def parse_header(line: bytes) -> dict[str, Any] | None:
    """The header in the first line of a ``.ready``; None: not a header."""
    try:
        header = json.loads(line)
    except ValueError:
        return None
    good = (
        isinstance(header, dict)
        and header.get("slidebox_ready") == 1
        and isinstance(header.get("accession"), str)
        and all(type(header.get(k)) is int for k in ("files", "bytes"))
        and isinstance(header.get("list_sha256"), str)
    )
    return header if good else None


def read_header(folder: Path) -> tuple[bytes, dict[str, Any] | None]:
    """First line of ``.ready`` as it stands, and the header in it (None: not a header)."""
    line = header_line(folder)
    return line, parse_header(line)


def read_ready(folder: Path) -> Ready:
    """Open ``.ready``; `DepositError` when it is missing or not one."""
    try:
        line, header = read_header(folder)
    except FileNotFoundError:
        raise DepositError([_bad_ready("there is none")]) from None
    if header is None:
        why = "it is empty" if not line else "it does not begin with a header of Slidebox"
        raise DepositError([_bad_ready(why, 1)])
    return Ready(
        folder, header["accession"], header["files"], header["bytes"], header["list_sha256"]
    )


@dataclass(frozen=True, slots=True)
class Deposit:
    """What ``deposit.yaml`` says: how the files join the study, and against which version."""

    mode: str = "replace"
    base: int | None = None
    message: str | None = None


def door_bytes(folder: Path | str) -> bytes:
    """``deposit.yaml`` as it stands, for telling states apart; empty when there is none."""
    try:
        return _beginning(f"{folder}/{DEPOSIT}", 1 << 20)
    except FileNotFoundError:
        return b""
    except OSError as error:
        if machines_fault(error):
            raise
        return f"unreadable: {error.strerror}".encode()


def read_deposit(folder: Path) -> Deposit:
    """Read ``deposit.yaml`` (absent: replace); `DepositError` names every wrong field."""
    try:
        with _plain(folder / DEPOSIT) as handle:
            text = handle.read(1 << 20).decode("utf-8")
    except FileNotFoundError:
        return Deposit()
    except OSError as error:
        if machines_fault(error):
            raise
        why = f"it can't be read: {error.strerror}"
        raise DepositError([_bad_deposit(why, None, "Write it as a plain file.")]) from None
    except UnicodeDecodeError:
        raise DepositError([_bad_deposit("it is not UTF-8", None, "Save it as UTF-8.")]) from None
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        finding = _bad_deposit("it is not YAML", None, "Mend the line.", mark and mark.line + 1)
        raise DepositError([finding]) from None
    if not isinstance(data, dict):
        raise DepositError([_bad_deposit("it is no mapping", None, "Write `mode: replace`.")])
    findings = [
        _bad_deposit(f"unknown field {key!r}", str(key), "Known: mode, base, message.")
        for key in data
        if key not in ("mode", "base", "message")
    ]
    if data.get("mode", "replace") not in ("replace", "add"):
        wrong = f"mode is {data['mode']!r}"
        findings.append(_bad_deposit(wrong, "mode", "Write `mode: replace` or `mode: add`."))
    base = data.get("base")
    if base is not None and (type(base) is not int or base < 1):
        findings.append(_bad_deposit(f"base is {base!r}", "base", "Write a version, e.g. `1`."))
    if findings:
        raise DepositError(findings)
    message = data.get("message")
    return Deposit(data.get("mode", "replace"), base, None if message is None else str(message))


def _bad_deposit(what: str, field: str | None, mend: str, line: int | None = None) -> Finding:
    return Finding("DEPOSIT_INVALID", "error", f"deposit.yaml: {what}", DEPOSIT, line, field, mend)
