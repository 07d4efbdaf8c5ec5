"""Where a second copy lies: a folder on another disk, or a bucket. Keys are paths with ``/``."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from slidebox.vault import disk


class Store(Protocol):
    """What a mirror needs of the place that it is kept in."""

    def open(self, key: str) -> IO[bytes]:
        """The bytes of a key; FileNotFoundError when there is none."""

    def writing(self, key: str) -> contextlib.AbstractContextManager[Any]:
        """Something with ``write``; the key has the bytes when the block ends without an error."""

    def sizes(self, prefix: str) -> dict[str, int]:
        """key -> bytes of all keys under ``prefix/``."""

    def folders(self) -> list[str]:
        """The first parts of all keys."""

    def delete(self, key: str) -> None:
        """Remove a key; nothing when there is none."""


class FolderStore:
    """A mirror in a folder, on another disk or a network file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    def open(self, key: str) -> IO[bytes]:
        return (self.folder / key).open("rb")

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[Any]:
        path = self.folder / key
        disk.mkdirs(path.parent, durable=False)
        scratch = path.parent / ".slidebox-mirror.tmp"
        with contextlib.suppress(FileNotFoundError):
            disk.unlink(scratch)
        fd = disk.create(scratch)
        try:
            yield _Writer(fd)
            disk.fsync(fd)
        except BaseException:
            with contextlib.suppress(OSError):
                disk.unlink(scratch)
            raise
        finally:
            os.close(fd)
        disk.rename(scratch, path)
        disk.fsync_dir(path.parent)

    def sizes(self, prefix: str) -> dict[str, int]:
        found = {}
        for top, _, files in os.walk(self.folder / prefix):
            for name in files:
                path = Path(top) / name
                found[str(path.relative_to(self.folder))] = path.lstat().st_size
        return found

    def folders(self) -> list[str]:
        try:
            return sorted(entry.name for entry in self.folder.iterdir() if entry.is_dir())
        except FileNotFoundError:
            return []

    def delete(self, key: str) -> None:
        path = self.folder / key
        with contextlib.suppress(FileNotFoundError):
            disk.unlink(path)
        for folder in path.parents:
            if folder == self.folder:
                return
            try:
                disk.rmdir(folder)
            except OSError as reason:
                if reason.errno in (errno.ENOTEMPTY, errno.ENOENT):
                    return
                raise


class _Writer:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes | memoryview) -> None:
        disk.write(self._fd, data)


class BucketStore:
    """A mirror in an S3 bucket: ``s3://bucket/prefix``, by way of s3fs."""

    def __init__(self, url: str, **options: Any) -> None:
        import s3fs

        self.url = url
        self._fs = s3fs.S3FileSystem(use_listings_cache=False, **options)
        self._base = url.removeprefix("s3://").rstrip("/")

    def __str__(self) -> str:
        return self.url

    def open(self, key: str) -> IO[bytes]:
        return self._fs.open(f"{self._base}/{key}", "rb", cache_type="readahead")

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[Any]:
        handle = self._fs.open(f"{self._base}/{key}", "wb", autocommit=False)
        try:
            yield handle
            handle.flush(force=True)
        except BaseException:
            handle.discard()
            handle.closed = True
            raise
        handle.commit()
        handle.closed = True

    def sizes(self, prefix: str) -> dict[str, int]:
        found = self._fs.find(f"{self._base}/{prefix}", detail=True)
        return {name[len(self._base) + 1 :]: info["size"] for name, info in found.items()}

    def folders(self) -> list[str]:
        try:
            rows = self._fs.ls(self._base, detail=True)
        except FileNotFoundError:
            return []
        return sorted(row["name"].rsplit("/", 1)[-1] for row in rows if row["type"] == "directory")

    def delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._base}/{key}")


def store_at(where: str | Path, **options: Any) -> Store:
    """The store at a path or at ``s3://bucket/prefix`` (``options`` go to s3fs)."""
    if str(where).startswith("s3://"):
        return BucketStore(str(where), **options)
    return FolderStore(Path(where))
