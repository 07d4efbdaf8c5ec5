"""Open files of a submission without ever leaving its folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from ..faults import machines_fault


class NotInside(OSError):
    """The path is no regular file inside the folder."""


def open_inside(folder: Path, path: str) -> BinaryIO:
    """Open ``folder/path`` for reading; no step may be a link and the end must be a regular file.

    Raises
    ------
    NotInside : the path leaves the folder, goes through a link, or is a FIFO, device or folder.
    FileNotFoundError : there is no such file.
    """
    steps = path.split("/")
    if not path or any(s in ("", ".", "..") or "\0" in s for s in steps):
        raise NotInside(f"{path!r} is no plain path inside the submission")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for step in steps[:-1]:
            try:
                below = os.open(step, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            except OSError as error:
                if isinstance(error, FileNotFoundError | PermissionError) or machines_fault(error):
                    raise
                raise NotInside(f"{path!r} goes through a link or a file") from None
            os.close(at)
            at = below
        try:
            fd = os.open(
                steps[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at
            )
        except OSError as error:
            if isinstance(error, FileNotFoundError | PermissionError) or machines_fault(error):
                raise
            raise NotInside(f"{path!r} is no regular file") from None
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotInside(f"{path!r} is no regular file")
    return os.fdopen(fd, "rb")
