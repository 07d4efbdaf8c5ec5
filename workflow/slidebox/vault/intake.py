"""Reading a submission's files, once, while nothing can be swapped under the reader's hands.

Every file is opened from a handle of the submission's folder, component by component, without
following links; it is looked at before and after; its bytes are hashed with both digests while they
are copied.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from slidebox.faults import machines_fault
from slidebox.findings import Finding
from slidebox.vault import disk
from slidebox.vault.errors import error

BUFFER = 1 << 20
SMALL = 4 << 20  # read whole, so that it is known before it is written whether it is new
_HELP = 16 << 20  # from this size on an idle thread takes one of the two digests

_WORTH_FLUSHING = 128 << 10
_FLUSH = 8 << 20  # the disk is kept busy while the processor hashes

AGAIN = "submit again when nothing writes to the folder any more"


class Unfit(Exception):
    """One file can't be archived as it is; holds the finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass(frozen=True, slots=True)
class Digests:
    """sha512 and sha256 of the same bytes, in hex."""

    sha512: str
    sha256: str


class Folder:
    """The submission's folder, held by a handle; not for use by two threads at once."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._held: tuple[str, int] | None = None  # the folder opened last: files come in order

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()
        os.close(self._root)

    def _forget(self) -> None:
        if self._held is not None:
            os.close(self._held[1])
            self._held = None

    def _folder(self, path: str) -> int:
        """A handle of the folder ``path`` ("" is the submission's own)."""
        if not path:
            return self._root
        if self._held is not None and self._held[0] == path:
            return self._held[1]
        self._forget()
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = self._root
        for part in path.split("/"):
            try:
                inner = os.open(part, flags, dir_fd=fd)
            finally:
                if fd != self._root:
                    os.close(fd)
            fd = inner
        self._held = (path, fd)
        return fd

    def look(self, path: str, size: int, mtime_ns: int) -> os.stat_result:
        """What is known of a file; `Unfit` unless it is regular and of this size and time."""
        head, _, name = path.rpartition("/")
        try:
            info = os.lstat(name, dir_fd=self._folder(head))
        except OSError as reason:
            if machines_fault(reason):
                raise
            raise Unfit(_gone(path, reason)) from reason
        _compare(path, info, size, mtime_ns)
        return info

    def look_empty(self, path: str) -> None:
        """Raise `Unfit` unless an empty folder is there."""
        try:
            names = os.listdir(self._folder(path))
        except OSError as reason:
            if machines_fault(reason):
                raise
            raise Unfit(_gone(path + "/", reason)) from reason
        if names:
            raise Unfit(
                error(
                    "FILE_CHANGED",
                    f"the folder {path!r} was listed as empty and now holds {names[0]!r}",
                    file=path,
                    mend=AGAIN,
                )
            )

    def open(self, path: str, size: int, mtime_ns: int) -> int:
        """An open handle of the file, when it is what was listed."""
        head, _, name = path.rpartition("/")
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, dir_fd=self._folder(head))
        except OSError as reason:
            if machines_fault(reason):
                raise
            raise Unfit(_gone(path, reason)) from reason
        try:
            _compare(path, os.fstat(fd), size, mtime_ns)
        except BaseException:
            os.close(fd)
            raise
        return fd


def _gone(path: str, reason: OSError) -> Finding:
    if isinstance(reason, FileNotFoundError):
        return error("FILE_VANISHED", f"{path!r} is no longer there", file=path, mend=AGAIN)
    if reason.errno in (getattr(os, "ELOOP", 40), 40, 20):
        return error(
            "FILE_NOT_REGULAR",
            f"{path!r} is a link, or lies behind one",
            file=path,
            mend="put the file itself there",
        )
    return error(
        "FILE_UNREADABLE",
        f"{path!r} can't be read: {reason.strerror}",
        file=path,
        mend="make it readable for the archive",
    )


def _compare(path: str, info: os.stat_result, size: int, mtime_ns: int) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise Unfit(
            error(
                "FILE_NOT_REGULAR",
                f"{path!r} is not a regular file",
                file=path,
                mend="put the file itself there",
            )
        )
    if info.st_size != size or info.st_mtime_ns != mtime_ns:
        was = "size" if info.st_size != size else "time"
        raise Unfit(
            error(
                "FILE_CHANGED",
                f"{path!r} has changed since it was listed (another {was})",
                file=path,
                mend=AGAIN,
            )
        )


def read_once(
    fd: int,
    path: str,
    size: int,
    wanted: Callable[[Digests], Path | None] | Path | None,
    written: list[int],
    helper: Callable[[], Executor | None],
) -> Digests:
    """Hash an open file and copy it, in one reading.

    ``wanted``: where the copy goes; None when only digests are asked for; for files up to `SMALL` a
    function that decides when it has seen the digests. Handles of files that were written are
    appended to ``written``, to be made durable and closed by the caller. ``helper`` gives an
    executor with an idle thread, or None. Raises `Unfit` when the file changes meanwhile.
    """
    before = os.fstat(fd)
    long, short = hashlib.sha512(), hashlib.sha256()
    if size <= SMALL and not isinstance(wanted, Path):
        data = bytearray(size + 1)
        total = 0
        while count := os.readv(fd, [memoryview(data)[total:]]):
            total += count
        _unchanged(path, before, os.fstat(fd), total)
        view = memoryview(data)[:size]
        long.update(view)
        short.update(view)
        digests = Digests(long.hexdigest(), short.hexdigest())
        target = wanted(digests) if wanted is not None else None
        if target is not None:
            out = disk.create(target)
            written.append(out)
            disk.write(out, view)
            if size >= _WORTH_FLUSHING:
                disk.start_flush(out, 0, size)
        return digests
    out = None
    if wanted is not None:
        if not isinstance(wanted, Path):
            raise TypeError("a large file's place is decided before it is read")
        out = disk.create(wanted)
        written.append(out)
    with contextlib.suppress(OSError):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    buffers = (memoryview(bytearray(BUFFER)), memoryview(bytearray(BUFFER)))
    total, flushed, turn, pending = 0, 0, 0, None
    while count := os.readv(fd, [buffers[turn]]):
        total += count
        if total > size:
            break
        piece = buffers[turn][:count]
        if pending is not None:
            pending.result()
            pending = None
        other = helper() if size >= _HELP else None
        if other is not None:
            pending = other.submit(long.update, piece)
        else:
            long.update(piece)
        short.update(piece)
        if out is not None:
            disk.write(out, piece)
            if total - flushed >= _FLUSH:
                disk.start_flush(out, flushed, total - flushed)
                flushed = total
        turn = 1 - turn
    if pending is not None:
        pending.result()
    _unchanged(path, before, os.fstat(fd), total)
    return Digests(long.hexdigest(), short.hexdigest())


def _unchanged(path: str, before: os.stat_result, after: os.stat_result, total: int) -> None:
    same = all(
        getattr(before, key) == getattr(after, key)
        for key in ("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino")
    )
    if not same or total != before.st_size:
        raise Unfit(
            error("FILE_CHANGED", f"{path!r} changed while it was read", file=path, mend=AGAIN)
        )


def look_at_all(
    root: Path, files: Iterable[tuple[str, int, int]], empty: Iterable[str], since_ns: int
) -> tuple[list[Finding], set[str]]:
    """Look at every file without reading any.

    Returns what is no longer as listed, all of it at once, and the files that nobody has touched
    since ``since_ns`` (by their ctime, which can't be set back).
    """
    findings: list[Finding] = []
    at_rest: set[str] = set()
    with Folder(root) as folder:
        for path, size, mtime_ns in files:
            try:
                if folder.look(path, size, mtime_ns).st_ctime_ns < since_ns:
                    at_rest.add(path)
            except Unfit as unfit:
                findings.append(unfit.finding)
        for path in empty:
            try:
                folder.look_empty(path)
            except Unfit as unfit:
                findings.append(unfit.finding)
    return findings, at_rest


def digests_of(data: bytes) -> Digests:
    """The digests of bytes in memory."""
    return Digests(hashlib.sha512(data).hexdigest(), hashlib.sha256(data).hexdigest())
