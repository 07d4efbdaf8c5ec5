"""One writer an object: a lock file with host, process and heartbeat.

On one machine the system's own file lock decides, and lets go by itself when a process dies. For
file systems on which that lock doesn't reach other machines, the file says who holds it and is
touched every `BEAT` seconds; another host's lock counts while it was touched within `STALE`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slidebox import atomic
from slidebox.vault import disk
from slidebox.vault.errors import Locked, error

BEAT = 15.0
STALE = 180.0


@contextmanager
def lock(folder: Path, name: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock ``name`` in ``folder``; `Locked`, naming the holder, after ``wait`` seconds."""
    path = folder / f"{name}.lock"
    deadline = time.monotonic() + wait
    while (fd := _try(path)) is None:
        if time.monotonic() >= deadline:
            raise Locked(
                error(
                    "VAULT_LOCKED",
                    f"{name} is being written by {_holder(path)}",
                    mend="wait until that process has ended, then do it again",
                )
            )
        time.sleep(0.05)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        # The name goes while the lock is held: whoever opens it afterwards makes a new one. A disk
        # that fails here leaves a file that nobody holds, which the next writer takes over.
        with contextlib.suppress(OSError):
            disk.unlink(path)
        os.close(fd)


def _try(path: Path) -> int | None:
    """The open, locked file; None when another has it."""
    try:
        fd = disk.create(path, disk.WORK_MODE)
    except FileExistsError:
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
    try:
        if not _flock(fd) or not _same(fd, path) or _held_elsewhere(fd):
            os.close(fd)
            return None
        me = {"host": socket.gethostname(), "pid": os.getpid(), "since": round(time.time(), 3)}
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        disk.write(fd, json.dumps(me).encode())
        return fd
    except BaseException:
        os.close(fd)
        raise


def _flock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as reason:
        if reason.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if reason.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
        return not _alive_here(fd)  # a file system without locks: the file's words must do
    return True


def _same(fd: int, path: Path) -> bool:
    """Whether the name still leads to the file that was locked."""
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(fd))


def _read(fd: int) -> dict:
    try:
        words = json.loads(os.pread(fd, 4096, 0))
    except ValueError:
        return {}
    return words if isinstance(words, dict) else {}


def _held_elsewhere(fd: int) -> bool:
    words = _read(fd)
    fresh = time.time() - os.fstat(fd).st_mtime < STALE
    return bool(words) and words.get("host") != socket.gethostname() and fresh


def _alive_here(fd: int) -> bool:
    words = _read(fd)
    if not words or words.get("host") != socket.gethostname():
        return False
    try:
        return atomic.alive(int(words["pid"]))
    except (KeyError, ValueError):
        return False


def _holder(path: Path) -> str:
    try:
        words = json.loads(path.read_bytes())
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(words["since"]))
        return f"process {words['pid']} on {words['host']} since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(path)
