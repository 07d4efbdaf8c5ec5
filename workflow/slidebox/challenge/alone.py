"""One run of a challenge at a time: of two that release it, or score its entries, one waits."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(memory: Path) -> Iterator[None]:
    """Wait for others with the same private folder of a challenge; then find what they made."""
    memory.mkdir(parents=True, exist_ok=True)
    with (memory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:  # a file system without locks: nobody is kept out
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
        yield
