"""Whose fault an error is: the machine's, which says nothing of a submission, or the file's."""

from __future__ import annotations

import errno

_MACHINE = {
    errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE,
    errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT, errno.EHOSTDOWN,
}  # fmt: skip


def machines_fault(error: BaseException) -> bool:
    """Whether the machine failed (memory, disk, network, descriptors), not what is on it.

    Such an error is never a finding: it must end the work, which is then done again.
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno in _MACHINE
    )
