"""Copies a submission into staging, a few files at a time, hashed while they are read."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from slidebox.findings import Finding
from slidebox.vault import disk, intake
from slidebox.vault.intake import Digests, Folder, Unfit

_BATCH_FILES = 128
_BATCH_BYTES = 32 << 20


@dataclass(slots=True)
class Entry:
    """One logical path of the version to be: where from, and what became of it."""

    logical: str
    size: int
    mtime_ns: int = 0
    content: str = ""  # where a copy is made, as a content path: below staging until published
    text: bytes | Path | None = None  # of meta
    sha512: str = ""
    sha256: str = ""
    likely_known: bool = False
    copied: bool = False

    @property
    def source(self) -> str | None:
        """The path below the submission; None for meta."""
        return self.logical.removeprefix("data/") if self.text is None else None


class Copier:
    """Copies into one staging folder with a few threads; what is known already isn't written."""

    def __init__(
        self,
        source: Path | None,
        base: Path,
        known: set[str],
        threads: int,
        progress: Callable[[int], None],
    ) -> None:
        self.source = source
        self.base = base  # content paths begin here
        self.known = known
        self.threads = max(1, threads)
        self.progress = progress
        self.findings: list[Finding] = []
        self.folders: set[Path] = set()
        self._claimed: set[str] = set()
        self._guard = threading.Lock()
        self._left = 0
        self._helper: ThreadPoolExecutor | None = None
        self._stop = False

    def run(self, entries: list[Entry]) -> None:
        """Fill in the digests of all entries (sorted by path), copying what is new."""
        batches = list(_batches(entries))
        self._left = len(batches)
        with contextlib.ExitStack() as stack:
            if self.threads > 1:
                self._helper = stack.enter_context(ThreadPoolExecutor(1))
            pool = stack.enter_context(ThreadPoolExecutor(self.threads))
            futures: list[Future] = [pool.submit(self._batch, batch) for batch in batches]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            finally:
                self._stop = True
                pool.shutdown(cancel_futures=True)
        self._claimed.clear()
        self._settle_duplicates(entries)

    def _batch(self, batch: list[Entry]) -> None:
        written: list[int] = []
        try:
            with contextlib.ExitStack() as stack:
                folder = stack.enter_context(Folder(self.source)) if self.source else None
                for entry in batch:
                    if self._stop:
                        return
                    try:
                        self._one(folder, entry, written)
                    except Unfit as unfit:
                        with self._guard:
                            self.findings.append(unfit.finding)
                    self.progress(entry.size)
            # Together at the end: the first flush takes the journal of the file system with it.
            for fd in written:
                disk.fsync(fd)
        finally:
            for fd in written:
                os.close(fd)
            with self._guard:
                self._left -= 1

    def _one(self, folder: Folder | None, entry: Entry, written: list[int]) -> None:
        with contextlib.ExitStack() as stack:
            if entry.source is not None:
                fd = folder.open(entry.source, entry.size, entry.mtime_ns)
            elif isinstance(entry.text, bytes):
                self._text(entry, written)
                return
            else:
                fd = os.open(entry.text, os.O_RDONLY | os.O_CLOEXEC)
                entry.size = os.fstat(fd).st_size
            stack.callback(os.close, fd)

            def wanted(digests: Digests) -> Path | None:
                return self._claim(entry, digests.sha512)

            name = entry.source or entry.logical
            if entry.size <= intake.SMALL:
                place = wanted
            elif entry.likely_known:
                digests = intake.read_once(fd, name, entry.size, None, written, self._idle)
                entry.sha512, entry.sha256 = digests.sha512, digests.sha256
                if digests.sha512 in self.known:
                    return
                os.lseek(fd, 0, os.SEEK_SET)
                place = self._place(entry)
            else:
                place = self._place(entry)
            digests = intake.read_once(fd, name, entry.size, place, written, self._idle)
            entry.sha512, entry.sha256 = digests.sha512, digests.sha256

    def _text(self, entry: Entry, written: list[int]) -> None:
        digests = intake.digests_of(entry.text)
        entry.sha512, entry.sha256 = digests.sha512, digests.sha256
        place = self._claim(entry, digests.sha512)
        if place is not None:
            fd = disk.create(place)
            written.append(fd)
            disk.write(fd, entry.text)

    def _claim(self, entry: Entry, sha512: str) -> Path | None:
        """Where to write this content; None when it is there, or another thread writes it."""
        with self._guard:
            if sha512 in self.known or sha512 in self._claimed:
                return None
            self._claimed.add(sha512)
        return self._place(entry)

    def _place(self, entry: Entry) -> Path:
        with self._guard:
            place = self._at(entry)
            self.make_folder(place.parent)
        entry.copied = True
        return place

    def _at(self, entry: Entry) -> Path:
        # Made when it is asked for: a Path is hundreds of bytes, and there may be a million.
        return self.base / entry.content

    def make_folder(self, folder: Path) -> None:
        if folder not in self.folders:
            if not folder.is_dir():
                self.make_folder(folder.parent)
                disk.mkdir(folder)
            self.folders.add(folder)

    def _idle(self) -> Executor | None:
        """A thread to help with a large file, when there is no other work left for it."""
        return self._helper if self._left < self.threads else None

    def _settle_duplicates(self, entries: list[Entry]) -> None:
        """Of equal contents keep one copy, under the first path: the same, whoever was faster."""
        if self.findings:
            return
        first: dict[str, Entry] = {}
        for entry in entries:
            first.setdefault(entry.sha512, entry)
        astray = {
            entry.sha512
            for entry in entries
            if entry.copied and (first[entry.sha512] is not entry or entry.sha512 in self.known)
        }
        copies: dict[str, list[Entry]] = {}
        for entry in entries if astray else ():
            if entry.copied and entry.sha512 in astray:
                copies.setdefault(entry.sha512, []).append(entry)
        for digest, have in copies.items():
            winner = first[digest]
            spare = [entry for entry in have if entry is not winner]
            if digest in self.known:
                spare = have
            elif not winner.copied:
                moved = spare.pop()
                self.make_folder(self._at(winner).parent)
                disk.rename(self._at(moved), self._at(winner))
                winner.copied, moved.copied = True, False
                self._prune(self._at(moved).parent)
            for entry in spare:
                disk.unlink(self._at(entry))
                entry.copied = False
                self._prune(self._at(entry).parent)

    def _prune(self, folder: Path) -> None:
        """Remove folders that became empty: OCFL allows none."""
        while folder in self.folders and not any(folder.iterdir()):
            disk.rmdir(folder)
            self.folders.discard(folder)
            folder = folder.parent


def _batches(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Large files alone and first, small ones together in the order of their paths."""
    large = [entry for entry in entries if entry.size > intake.SMALL]
    yield from ([entry] for entry in sorted(large, key=lambda entry: -entry.size))
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if entry.size > intake.SMALL:
            continue
        batch.append(entry)
        size += entry.size
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
