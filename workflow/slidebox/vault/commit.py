"""The write path: a submission becomes a version, read once, hashed while it is copied.

In order: look at every listed file; copy what is new into staging; make it durable; write the
inventory; publish. Until the publication nothing outside staging is touched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from slidebox.findings import Finding
from slidebox.vault import disk, intake, inventory, names, times
from slidebox.vault.copying import Copier, Entry
from slidebox.vault.errors import Refused, VaultError, error
from slidebox.vault.inventory import Inventory
from slidebox.vault.root import Root, decide, forget, replay, version_decision

VOLATILE_META = frozenset({times.NAME, "validation.json"})
_COARSE = 100_000_000  # ns by which a file system's clock may lag behind the system's

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class CommittedFile:
    """A file of a committed version; ``version`` is the one that brought its bytes."""

    path: str
    size: int
    sha256: str
    version: int


@dataclass(frozen=True, slots=True)
class Commit:
    """What came of a commit: the version that now holds the content, and whether it is new."""

    accession: str
    version: int
    new: bool
    files: list[CommittedFile] = field(repr=False)
    bytes_written: int = 0


@dataclass
class Submission:
    """What `commit` is asked to archive, with its names checked."""

    files: list[tuple[str, int, int]]
    empty: dict[str, int]

    @classmethod
    def of(cls, files: Iterable[tuple[str, int, int]]) -> Submission:
        """From (path, size, mtime_ns), empty folders ending in ``/``; Refused with every fault."""
        rows, empty, seen = [], {}, set()
        findings: list[Finding] = []
        for path, size, mtime_ns in files:
            folder = path.endswith("/")
            name = path[:-1] if folder else path
            if why := names.problem_with(name):
                findings.append(error("NAME_REFUSED", f"{path!r}: {why}", file=ascii(path)))
            elif name in seen:
                findings.append(error("NAME_TWICE", f"{path!r} is listed twice", file=path))
            elif folder:
                empty[name] = mtime_ns
            else:
                rows.append((name, size, mtime_ns))
            seen.add(name)
        if findings:
            raise Refused(findings)
        rows.sort()
        return cls(rows, empty)


class Head:
    """What the last version holds, as far as the next one needs to know."""

    def __init__(self, folder: Path, inv: Inventory) -> None:
        self.inventory = inv
        self.folder = folder
        self.paths = inv.paths()
        self.times: dict[str, int] = {}
        raw = self.read(f"meta/{times.NAME}")
        if raw is not None:
            self.times = dict(times.parse(raw))
        created = datetime.fromisoformat(inv.versions[f"v{inv.head}"]["created"])
        # When the reading of the submission began at the latest: what was touched before and is
        # listed the same needn't be read again. (A clock given as `now` may say anything.)
        began = int(created.timestamp()) * 1_000_000_000 - _COARSE
        ended = os.stat(folder / f"v{inv.head}" / inventory.NAME).st_ctime_ns
        self.read_since_ns = began if began < ended else 0

    def read(self, logical: str) -> bytes | None:
        digest = self.paths.get(logical)
        if digest is None:
            return None
        return (self.folder / self.inventory.content(digest)).read_bytes()

    def size(self, logical: str) -> int:
        return os.stat(f"{self.folder}/{self.inventory.content(self.paths[logical])}").st_size

    def sha256(self, digest: str) -> str | None:
        return self.inventory.sha256.get(self.inventory.content(digest))


def commit(
    root: Root,
    accession: str,
    source: Path | None,
    files: Iterable[tuple[str, int, int]],
    *,
    meta: Mapping[str, bytes | Path],
    message: str,
    user: tuple[str, str],
    mode: str,
    given: Mapping[str, str],
    now: datetime | None,
    threads: int,
    volatile_meta: frozenset[str],
    reread: bool,
    progress: Progress | None,
) -> Commit:
    """See `Vault.commit`; the object's lock is held and nothing of it is unfinished."""
    started = now or datetime.now(UTC)
    submission = Submission.of(files)
    folder = root.object(accession)
    head = Head(folder, inventory.load(folder)) if folder.is_dir() else None
    findings = [
        error(
            "CHECKSUM_WITHOUT_FILE",
            f"a checksum is given for {path!r}, which isn't listed",
            file=path,
            mend="correct the path in the list of files",
        )
        for path in sorted(set(given).difference(row[0] for row in submission.files))
    ]
    at_rest: set[str] = set()
    if source is not None:
        since = head.read_since_ns if head and not reread else 0
        changed, at_rest = intake.look_at_all(source, submission.files, submission.empty, since)
        findings += changed
    if findings:
        raise Refused(findings)

    number = head.inventory.head + 1 if head else 1
    staged = root.staging / root.key(accession)
    try:
        return _stage_and_publish(
            root, accession, source, submission, head, number, staged, meta=meta, message=message,
            user=user, mode=mode, given=given, started=started, threads=threads,
            volatile_meta=volatile_meta, at_rest=at_rest, progress=progress,
        )  # fmt: skip
    finally:
        # After a decision the staged parts are still needed; otherwise nothing is kept of them.
        # A disk that fails here too leaves them to the next command.
        with contextlib.suppress(OSError):
            if not (root.journal / f"{root.key(accession)}.json").exists():
                disk.remove_tree(staged)


def _stage_and_publish(
    root: Root,
    accession: str,
    source: Path | None,
    submission: Submission,
    head: Head | None,
    number: int,
    staged: Path,
    *,
    meta: Mapping[str, bytes | Path],
    message: str,
    user: tuple[str, str],
    mode: str,
    given: Mapping[str, str],
    started: datetime,
    threads: int,
    volatile_meta: frozenset[str],
    at_rest: set[str],
    progress: Progress | None,
) -> Commit:
    base = staged / "object" if head is None else staged
    version = base / f"v{number}"
    disk.mkdir(staged)
    if head is None:
        disk.mkdir(base)
    disk.mkdir(version)

    # What a version takes over from the last one unasked, as logical path -> sha512.
    kept = dict(head.paths) if head and mode == "add" else {}
    entries: list[Entry] = []
    sizes = _Sizes(head)
    for path, size, mtime_ns in submission.files:
        logical = f"data/{path}"
        if path in at_rest and _untouched(head, path, size, mtime_ns, given.get(path)):
            kept[logical] = head.paths[logical]
        else:
            likely = sizes.likely(path, size, mtime_ns)
            entries.append(Entry(logical, size, mtime_ns, likely_known=likely))
    rows = dict(_times(head, kept, mode)) if head else {}
    rows |= {path: mtime_ns for path, _, mtime_ns in submission.files}
    rows |= {f"{path}/": mtime_ns for path, mtime_ns in submission.empty.items()}
    empty = {path for path in rows if path.endswith("/")}
    texts = {**meta, times.NAME: times.dump(rows.items())}
    # Of a million files each of these is a hundred megabytes: none is kept longer than needed.
    del rows
    submission.files.clear()
    for name, text in texts.items():
        size = len(text) if isinstance(text, bytes) else os.stat(text).st_size
        entries.append(Entry(f"meta/{name}", size, text=text))
    entries.sort(key=lambda entry: entry.logical)
    places = names.ContentPaths()
    for entry in entries:
        entry.content = f"v{number}/content/{places.of(entry.logical)}"
    del places

    known = set(head.inventory.manifest) if head else set()
    total = sum(entry.size for entry in entries)
    copier = Copier(source, base, known, threads, _counter(progress, total))
    copier.run(entries)
    findings = copier.findings + _wrong_checksums(entries, given)
    if findings:
        raise Refused(sorted(findings, key=lambda finding: finding.file or ""))

    state = kept
    state.update((entry.logical, entry.sha512) for entry in entries)
    if head is not None and not _differs(head, state, empty, volatile_meta):
        files = _committed(head.inventory, head.folder, state)
        return Commit(accession, head.inventory.head, False, files)

    inv = head.inventory if head else Inventory(names.object_id(accession))
    written = 0
    for entry in entries:
        if entry.copied:
            inv.manifest[entry.sha512] = [entry.content]
            inv.sha256[entry.content] = entry.sha256
            written += entry.size
    del entries
    inv.head = number
    inv.versions[f"v{number}"] = {
        "created": started.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "message": message,
        "user": {"name": user[0], "address": _uri(user[1])},
        "state": _by_digest(state),
    }
    for made in sorted(copier.folders, reverse=True):
        disk.fsync_dir(made)
    inv.write(version, base)
    disk.fsync_dir(version)
    if head is None:
        disk.put(base / inventory.DECLARATION, inventory.DECLARATION_TEXT)
    disk.fsync_dir(base)
    target = root.object(accession)
    if head is None:
        disk.rename_new(base, target)
        disk.fsync_dir(root.path)
        disk.remove_tree(staged)
    else:
        decision = version_decision(root, accession, number)
        decide(root, root.key(accession), decision)
        replay(root, decision)
        forget(root, root.key(accession))
    return Commit(accession, number, True, _committed(inv, target, state), written)


def _times(head: Head, kept: Mapping[str, str], mode: str) -> Iterator[tuple[str, int]]:
    for path, time in head.times.items():
        if f"data/{path}" in kept or (path.endswith("/") and mode == "add"):
            yield path, time


def _untouched(head: Head, path: str, size: int, mtime_ns: int, given: str | None) -> bool:
    """Whether a file that is at rest since the last version was read is in it as listed.

    A checksum that was given must be the recorded one, else the file is read.
    """
    if given is not None and (
        f"data/{path}" not in head.paths or head.sha256(head.paths[f"data/{path}"]) != given.lower()
    ):
        return False
    return (
        head.times.get(path) == mtime_ns
        and f"data/{path}" in head.paths
        and head.size(f"data/{path}") == size
    )


class _Sizes:
    """Which large files are likely to be in the object already: worth hashing before copying."""

    def __init__(self, head: Head | None) -> None:
        self.by_path: dict[str, int] = {}
        self.by_time: set[tuple[int, int]] = set()
        for logical in head.paths if head else ():
            size = head.size(logical)
            if size > intake.SMALL and logical.startswith("data/"):
                path = logical.removeprefix("data/")
                self.by_path[path] = size
                self.by_time.add((size, head.times.get(path, -1)))

    def likely(self, path: str, size: int, mtime_ns: int) -> bool:
        return self.by_path.get(path) == size or (size, mtime_ns) in self.by_time


def _differs(
    head: Head, state: Mapping[str, str], empty: set[str], volatile: frozenset[str]
) -> bool:
    """Whether a state, or what folders are empty, is another than the last version's.

    What is volatile is left aside.
    """
    names_apart = {f"meta/{name}" for name in volatile}

    def lasting(paths: Mapping[str, str]) -> dict[str, str]:
        return {path: digest for path, digest in paths.items() if path not in names_apart}

    were_empty = {path for path in head.times if path.endswith("/")}
    return lasting(head.paths) != lasting(state) or were_empty != empty


def _wrong_checksums(entries: list[Entry], given: Mapping[str, str]) -> list[Finding]:
    return [
        error(
            "CHECKSUM_WRONG",
            f"{entry.source!r} has the sha256 {entry.sha256}, but {given[entry.source]} was given",
            file=entry.source,
            mend="send the file again, or correct its checksum",
        )
        for entry in entries
        if entry.source in given and entry.sha256 and given[entry.source].lower() != entry.sha256
    ]


def _by_digest(state: Mapping[str, str]) -> inventory.State:
    out: inventory.State = {}
    for path in sorted(state):
        out.setdefault(state[path], []).append(path)
    return out


def _committed(inv: Inventory, folder: Path, state: Mapping[str, str]) -> list[CommittedFile]:
    out = []
    for logical in sorted(state):
        if logical.startswith("data/"):
            content = inv.content(state[logical])
            size = os.stat(f"{folder}/{content}").st_size
            version = int(content[1 : content.index("/")])
            sha256 = inv.sha256.get(content, "")
            out.append(CommittedFile(logical.removeprefix("data/"), size, sha256, version))
    return out


def _counter(progress: Progress | None, total: int) -> Callable[[int], None]:
    guard, done = threading.Lock(), 0

    def count(size: int) -> None:
        nonlocal done
        if progress is not None:
            with guard:
                done += size
                progress(done, total)

    return count


def _uri(address: str) -> str:
    """OCFL wants a user's address as a URI."""
    return f"mailto:{address}" if "@" in address and ":" not in address else address


def disk_error(reason: OSError, accession: str) -> VaultError:
    if reason.errno in (errno.ENOSPC, errno.EDQUOT):
        code, mend = "VAULT_FULL", "make room in the vault's file system, then do it again"
    else:
        code, mend = "VAULT_IO", "look at the file system's health, then do it again"
    name = reason.filename if isinstance(reason.filename, str) else None
    return VaultError(
        error(code, f"{accession} was not archived: {reason.strerror}", file=name, mend=mend)
    )
