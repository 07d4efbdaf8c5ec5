"""One run at a time in an archive: a lock that the system lets go of when its holder dies.

Snakemake's own lock outlives a killed run; this one does not. It only saves work: stages lock what
they write, so two runs that do meet (on a file system without locks) end in the same result.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from typing import IO

from slidebox.config import Config
from slidebox.ingest.paths import now

_held: list[IO[str]] = []


class Running(RuntimeError):
    """Another run is at work in this archive."""


def hold(config: Config) -> bool:
    """Take the lock until this process ends; `Running` says who has it.

    False where the file system knows no locks: nobody can tell then whether another run is alive.
    """
    path = config.results / "running"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            handle.close()  # a file system without locks: the stages' own locks must do
            return False
        handle.seek(0)
        holder = handle.read().strip()
        handle.close()
        raise Running(f"another run is at work in this archive ({holder})") from None
    handle.truncate(0)
    handle.write(f"host {socket.gethostname()}, process {os.getpid()}, since {now()}\n")
    handle.flush()
    _held.append(handle)
    return True


def holder(config: Config) -> str | None:
    """Who is at work in this archive (host, process, since), or None."""
    try:
        with (config.results / "running").open(encoding="utf-8") as handle:
            words = handle.read().strip()
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                return words if error.errno in (errno.EAGAIN, errno.EACCES) else None
    except FileNotFoundError:
        pass
    return None


def release() -> None:
    """Let go before the process ends."""
    while _held:
        _held.pop().close()
