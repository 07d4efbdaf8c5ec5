"""Whose fault an error is: the machine's, which says nothing of a submission, or the file's."""

from __future__ import annotations

import errno

_MACHINE = {
    errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE,
    errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EAGAIN,
}  # fmt: skip
# Of these no file, however hostile, can make a reader fail.
_STORAGE = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENFILE}


def machines_fault(error: BaseException) -> bool:
    """Whether the machine failed (memory, disk, network, descriptors), not what is on it.

    Such an error is never a finding: it must end the work, which is then done again.
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno in _MACHINE
    )


def storage_fault(error: BaseException | None) -> int | None:
    """Number of the error if the disk or network below a reader failed, whatever that became."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _STORAGE:
            return error.errno
        error = error.__cause__ or error.__context__
    return None
