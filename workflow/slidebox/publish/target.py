"""Where a site is published to: what any such place can do, and the place that is a folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from slidebox import atomic
from slidebox.publish.compose import Part
from slidebox.publish.headers import Headers

BLOCK = 1 << 20
SMALL = 16 << 20  # bytes: what is no larger is read whole and sent in one request


class PublishError(RuntimeError):
    """The target can't be used; the text says why and how to mend it."""


class Conflict(RuntimeError):
    """The object is not what it was when last looked at: somebody else writes there too."""


class Damaged(RuntimeError):
    """The bytes don't have the sha256 on record; nothing was made of them."""


@dataclass(frozen=True, slots=True)
class Held:
    """An object of a target. ``etag`` as S3 has it: MD5, or MD5 of the parts' MD5s and ``-n``."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What was read on its way to the target."""

    size: int
    sha256: str
    etag: str


@dataclass(frozen=True, slots=True)
class If:
    """What must be so for a write to happen: the object is absent (``etag`` None), or has it."""

    etag: str | None = None


class Target(Protocol):
    """What publication needs of a place. Keys are relative to the site's root."""

    def check(self) -> None:
        """PublishError when it can't be used."""

    def head(self, key: str) -> tuple[Held, Headers | None] | None:
        """An object and its headers (None where the place keeps none); None when there is none."""

    def get(self, key: str) -> bytes | None:
        """A small object's bytes."""

    def read(self, key: str) -> Iterator[bytes]:
        """An object's bytes, a block at a time."""

    def list(self, prefix: str) -> Iterator[Held]:
        """All objects under a prefix, in order of key."""

    def put(self, key: str, data: bytes, headers: Headers, when: If | None) -> str:
        """Write a small object; its etag. Conflict when `when` does not hold."""

    def put_file(
        self, key: str, file: IO[bytes], size: int, headers: Headers, when: If | None,
        sha256: str | None,
    ) -> Sent:  # fmt: skip
        """Write a large object, read once; Damaged when it hasn't the sha256 given."""

    def compose(
        self, key: str, file: IO[bytes], parts: list[Part], headers: Headers, when: If | None,
        etag: str,
    ) -> Sent | None:  # fmt: skip
        """Write a large object of parts, of which some are copied from the object of that etag
        which is there; None when this place can't."""

    def etag_of(self, file: IO[bytes], size: int) -> str:
        """The etag that these bytes would have here."""

    def delete(self, key: str) -> None:
        """Remove an object; nothing when there is none."""

    def abort_uploads(self, prefix: str) -> None:
        """Drop what unfinished uploads have left under a prefix."""

    def address(self, key: str) -> str:
        """Where staff finds an object: ``s3://...`` or a path."""


class FolderTarget:
    """A folder that a web server shows, on this machine or mounted from another.

    It keeps no headers: the web server in front sends them (docs/serving.md). Files appear whole.
    """

    conditional = True
    notes: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._scratch = folder / ".slidebox" / "tmp"

    def __str__(self) -> str:
        return str(self.folder)

    def check(self) -> None:
        parent = self.folder if self.folder.exists() else self.folder.parent
        if not parent.is_dir():
            raise PublishError(f"{self.folder}: {parent} is no folder; is the disk mounted?")
        try:
            shutil.rmtree(self._scratch, ignore_errors=True)  # what a killed run was writing
            self._scratch.mkdir(parents=True)
        except OSError as error:
            raise PublishError(f"{self.folder}: {error.strerror}") from None

    def _path(self, key: str) -> Path:
        return self.folder / key

    def head(self, key: str) -> tuple[Held, None] | None:
        try:
            with self._path(key).open("rb") as handle:
                size = os.fstat(handle.fileno()).st_size
                return Held(key, size, self.etag_of(handle, size)), None
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def get(self, key: str) -> bytes | None:
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def read(self, key: str) -> Iterator[bytes]:
        with self._path(key).open("rb") as handle:
            while block := handle.read(BLOCK):
                yield block

    def list(self, prefix: str) -> Iterator[Held]:
        top = self.folder / prefix
        for parent, folders, files in os.walk(top):
            folders.sort()
            for name in sorted(files):
                key = os.path.relpath(os.path.join(parent, name), self.folder)
                if not key.startswith(".slidebox/tmp/") and (held := self.head(key)):
                    yield held[0]

    def put(self, key: str, data: bytes, headers: Headers, when: If | None) -> str:
        self._check(key, when)
        with self._writing(key) as out:
            out.write(data)
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    def put_file(
        self, key: str, file: IO[bytes], size: int, headers: Headers, when: If | None,
        sha256: str | None,
    ) -> Sent:  # fmt: skip
        self._check(key, when)
        whole, md5, count = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
        with self._writing(key) as out:
            while block := file.read(BLOCK):
                whole.update(block)
                md5.update(block)
                out.write(block)
                count += len(block)
            if sha256 is not None and whole.hexdigest() != sha256:
                raise Damaged(f"sha256 is {whole.hexdigest()} instead of {sha256}")
        return Sent(count, whole.hexdigest(), md5.hexdigest())

    def compose(
        self, key: str, file: IO[bytes], parts: list[Part], headers: Headers, when: If | None,
        etag: str,
    ) -> None:  # fmt: skip
        """A folder is on this machine or mounted: all bytes are written."""

    def _check(self, key: str, when: If | None) -> None:
        """Only what somebody else put there since is in the way; our own bytes are known."""
        if when is not None and when.etag is None and self._path(key).exists():
            raise Conflict(f"{self._path(key)} exists already")

    def _writing(self, key: str) -> _Writing:
        return _Writing(self._scratch, self._path(key))

    def etag_of(self, file: IO[bytes], size: int) -> str:
        md5 = hashlib.md5(usedforsecurity=False)
        while block := file.read(BLOCK):
            md5.update(block)
        return md5.hexdigest()

    def delete(self, key: str) -> None:
        path = self._path(key)
        path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent == self.folder or not _removed(parent):
                return

    def abort_uploads(self, prefix: str) -> None:
        """Nothing: what is unfinished lies in the scratch folder."""

    def address(self, key: str) -> str:
        return str(self._path(key))


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


class _Writing:
    """A file in the scratch folder that takes its place when the block ends without an error."""

    def __init__(self, scratch: Path, path: Path) -> None:
        self._path = path
        self._temporary = scratch / hashlib.sha256(str(path).encode()).hexdigest()[:32]

    def __enter__(self) -> IO[bytes]:
        self._out = self._temporary.open("wb")
        return self._out

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._out.close()
            self._temporary.unlink(missing_ok=True)
            return
        self._out.flush()
        os.fsync(self._out.fileno())
        self._out.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self._temporary, self._path)
        atomic.fsync_dir(self._path.parent)
