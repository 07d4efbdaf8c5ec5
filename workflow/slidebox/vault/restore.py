"""Files come back as they were submitted: bytes, names, times, empty folders.

Each file is written beside its place under a passing name, hashed on the way, and takes its name
only when it has the digest that the inventory promises. A note in the destination says what is
being restored; while it is there the restore isn't finished, and doing it again goes on.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slidebox.findings import Finding
from slidebox.vault import disk
from slidebox.vault.errors import Refused, error
from slidebox.vault.intake import BUFFER
from slidebox.vault.parallel import each

Progress = Callable[[int, int], None]


@dataclass
class Restored:
    """What came of a restore. ``findings`` names what the vault couldn't give back whole."""

    version: int
    files: int = 0
    bytes: int = 0
    kept: int = 0  # were there already, from a restore that was interrupted
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to restore: its path, the content file, its sha512 and time (None: not recorded)."""

    path: str
    content: str
    sha512: str
    size: int
    mtime_ns: int | None


def select(paths: Iterable[str], patterns: str | Sequence[str] | None) -> list[str]:
    """The paths that a pattern matches: shell wildcards (``*`` crosses ``/``), or a folder's name.

    None selects all. Refused, naming the pattern, when one matches nothing.
    """
    paths = list(paths)
    if patterns is None:
        return paths
    chosen: set[str] = set()
    findings = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        top = pattern.rstrip("/") + "/"
        hits = {p for p in paths if p.startswith(top) or p == pattern}
        hits = hits or {p for p in paths if fnmatch.fnmatchcase(p, pattern)}
        if not hits:
            findings.append(
                error(
                    "SELECT_EMPTY",
                    f"no file of this version matches {pattern!r}",
                    mend="paths are as in the study's list of files; quote patterns",
                )
            )
        chosen |= hits
    if findings:
        raise Refused(findings)
    return [path for path in paths if path in chosen]


class Destination:
    """The folder that is restored into: new, empty, or left by a restore of the same thing."""

    def __init__(self, folder: Path, purpose: dict, taken: set[str]) -> None:
        self.folder = folder
        name = ".slidebox-restore"
        while name in taken:  # a submission may hold a file of that name
            name += "~"
        self.note = folder / name
        self._purpose = json.dumps(purpose, indent=2, ensure_ascii=False).encode() + b"\n"
        self._parts = f"{name}.part-"
        if os.path.lexists(folder) and not folder.is_dir():
            raise self._exists(f"{folder} is there already and is no folder")
        disk.mkdirs(folder, durable=False)
        there = os.listdir(folder)
        self.resumed = name in there
        if self.resumed:
            if self.note.read_bytes() != self._purpose:
                raise self._exists(
                    f"{folder} holds an unfinished restore of something else ({self.note})"
                )
            for other in there:
                if other.startswith(self._parts):
                    disk.unlink(folder / other)
        elif there and all(other.startswith(self._parts) for other in there):
            for other in there:  # killed before the note had its name
                disk.unlink(folder / other)
            there = []
        if not self.resumed:
            if there:
                raise self._exists(f"{folder} is not empty: it holds {sorted(there)[0]!r}")
            disk.put_whole(self.note, self._purpose, self.part("note"))

    def _exists(self, message: str) -> Refused:
        return Refused(
            error(
                "DEST_EXISTS",
                message,
                file=str(self.folder),
                mend="name a folder that doesn't exist yet",
            )
        )

    def part(self, name: object) -> Path:
        """A passing name for a file that is being written."""
        return self.folder / f"{self._parts}{name}"

    def parent(self, path: str) -> Path:
        """The folder that ``path`` lies in, made when it lacks; never through a link."""
        place = self.folder
        for piece in path.split("/")[:-1]:
            place = place / piece
            with contextlib.suppress(FileExistsError):
                disk.mkdir(place)
            if place.is_symlink():
                raise self._exists(f"{place} is a link")
        return place

    def finish(self) -> None:
        disk.unlink(self.note)
        disk.fsync_dir(self.folder)


def restore(
    destination: Destination,
    files: Iterable[Wanted],
    total: int,
    empty: dict[str, int | None],
    result: Restored,
    *,
    threads: int,
    progress: Progress | None,
) -> Restored:
    """Write the files (``total`` bytes) and empty folders; see `Vault.restore`."""
    guard = threading.Lock()
    folders: set[Path] = {destination.folder}
    done = 0

    def one(numbered: tuple[int, Wanted]) -> None:
        nonlocal done
        number, file = numbered
        with guard:
            parent = destination.parent(file.path)
            folders.add(parent)
        finding, kept = _one(destination, parent / file.path.rsplit("/", 1)[-1], number, file)
        with guard:
            done += file.size
            if finding is not None:
                result.findings.append(finding)
            else:
                result.files += 1
                result.bytes += file.size
                result.kept += kept
            if progress is not None:
                progress(done, total)

    each(threads, one, enumerate(files))
    for path, mtime_ns in sorted(empty.items()):
        folder = destination.parent(path + "/x")
        if mtime_ns is not None:
            _set_time(folder, mtime_ns)
    for folder in folders:
        disk.fsync_dir(folder)
    if not result.findings:
        destination.finish()
    result.findings.sort(key=lambda finding: finding.file or "")
    return result


def _one(
    destination: Destination, place: Path, number: int, file: Wanted
) -> tuple[Finding | None, bool]:
    """Restore one file; what was wrong with it, and whether it was there already."""
    if destination.resumed and os.path.lexists(place):
        if place.is_symlink() or not place.is_file() or sha512_of(place) != file.sha512:
            return error(
                "DEST_EXISTS",
                f"{place} is there already and isn't the file {file.path!r}",
                file=file.path,
                mend="move it away, then restore again",
            ), False
        return None, True
    part = destination.part(number)
    try:
        source = os.open(file.content, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as reason:
        return error(
            "CONTENT_MISSING",
            f"{file.path!r}: {file.content} can't be read: {reason.strerror}",
            file=file.path,
            mend="slidebox repair takes the mirror's copy; then restore again",
        ), False
    out = disk.create(part, disk.WORK_MODE)
    try:
        digest = _copy(source, out)
        if digest != file.sha512:
            disk.unlink(part)
            return error(
                "CONTENT_DAMAGED",
                f"{file.path!r}: the bytes in the vault ({file.content}) are damaged",
                file=file.path,
                mend="slidebox repair takes the mirror's copy; then restore again",
            ), False
        if file.mtime_ns is not None:
            disk.touch(out, file.mtime_ns)
        disk.fsync(out)
    finally:
        os.close(source)
        os.close(out)
    try:
        disk.rename_new(part, place)
    except FileExistsError:
        disk.unlink(part)
        return error(
            "DEST_EXISTS",
            f"{file.path!r} would overwrite {place}: the file system takes the names of two files "
            "for one",
            file=file.path,
            mend="restore to a file system that tells case and Unicode forms apart",
        ), False
    return None, False


def _copy(source: int, out: int | None) -> str:
    """Copy an open file (when ``out`` isn't None); the sha512 of what was read."""
    digest = hashlib.sha512()
    view = memoryview(bytearray(min(BUFFER, os.fstat(source).st_size + 1)))
    while count := os.readv(source, [view]):
        digest.update(view[:count])
        if out is not None:
            disk.write(out, view[:count])
    return digest.hexdigest()


def sha512_of(path: Path | str) -> str:
    """The sha512 of a file, in hex."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return _copy(fd, None)
    finally:
        os.close(fd)


def _set_time(folder: Path, mtime_ns: int) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        disk.touch(fd, mtime_ns)
    finally:
        os.close(fd)
