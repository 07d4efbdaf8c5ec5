"""How an image appears: made in a hidden folder beside its place, then renamed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from ..atomic import fsync_dir
from . import journal, nodes


class Busy(RuntimeError):
    """Another process is converting to the same place."""


@contextmanager
def partial(out: Path, keep: bool = False):
    """The hidden folder that ``out`` is made in, ours alone.

    It is gone after an error of the image, and stays when the conversion was only interrupted and
    has a journal to go on from (``keep``: a plate, that always goes on).
    """
    folder = out.parent / f".{out.name}.partial"
    fd = -1
    while True:
        folder.mkdir(exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise Busy(f"another process is converting to {out}") from error
            raise
        # another may have renamed the folder between our opening and locking it
        try:
            if os.stat(folder).st_ino == os.fstat(fd).st_ino:
                break
        except FileNotFoundError:
            pass
        os.close(fd)
    try:
        yield folder
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit | MemoryError | OSError)
        if not (interrupted and (keep or (folder / journal.NAME).exists())):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(fd)


def publish_folder(folder: Path, out: Path) -> None:
    """Make all names durable, then rename. An older image is moved away first and removed last."""
    for base, folders, files in os.walk(folder):
        for name in files:
            if name in nodes.METADATA or "OME" in Path(base).parts:
                fd = os.open(os.path.join(base, name), os.O_RDONLY)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
        fsync_dir(Path(base))
        folders.sort()
    old = None
    if out.exists():
        old = out.parent / f".{out.name}.old-{os.getpid()}"
        os.rename(out, old)
    os.rename(folder, out)
    fsync_dir(out.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
