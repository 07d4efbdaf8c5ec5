"""Files that are either whole or absent: written beside their place, then renamed."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def fsync_dir(path: Path) -> None:
    """Make the names in a folder durable; a file system that can't (EINVAL) is tolerated."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def owner() -> str:
    """Host and process, as temporary names carry them: a killed process's can be told."""
    return f"{re.sub('[^A-Za-z0-9]', '_', socket.gethostname())[:40]}-{os.getpid()}"


_TEMPORARY = re.compile(
    r"\..+\.(?:(?P<host>[A-Za-z0-9_]+)-)?(?P<pid>\d+)\.(?:\w+\.)?tmp|view-(?P<h>\w+)-(?P<p>\d+)-.*"
)


DAY = 86400.0


def sweep(folder: Path, of: str = "") -> None:
    """Remove what processes of this host that have died were writing in a folder (not below).

    Parameters
    ----------
    of : only what was to have this name; in a folder of the user's, files may look alike.

    What belongs to a living process is left alone; so is what belongs to another host (a node, a
    container), until nobody has written it for a day, a folder for a week.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    here = owner().rpartition("-")[0]
    for name in names:
        found = _TEMPORARY.fullmatch(name)
        if not found or (of and not name.startswith(f".{of}.")):
            continue
        path = Path(folder) / name
        mine = (found["host"] or found["h"] or here) == here
        if not alive(int(found["pid"] or found["p"])) if mine else _forgotten(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _forgotten(path: Path) -> bool:
    """Whether what another host was writing has not been written for so long that nobody does."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    # A folder's time says only when names in it changed: jobs that read it may last for days.
    patience = 7 * DAY if stat.S_ISDIR(status.st_mode) else DAY
    return time.time() - status.st_mtime > patience


def alive(pid: int) -> bool:
    """Whether a process of this host is at work: one that is dead but not waited for is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):  # gone just now, or a system without /proc
        return True
    return state not in (b"Z", b"X")


@contextmanager
def replacing(path: Path | str, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file for writing that takes its name only when the block ends without an error.

    Parent folders are made. The bytes are on disk before the name is.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    temporary = path.parent / f".{path.name[:100]}.{owner()}.{os.urandom(6).hex()}.tmp"
    # Not mkstemp, which makes 0600: what we publish follows the umask, which belongs to the process
    # and can't be asked for without setting it for all threads.
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(fd, mode, **text) as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def move(source: Path, target: Path) -> None:
    """Give a file or folder its new place, whole or not at all, also on another disk.

    There it is copied beside its place, made durable and renamed. Of two who move the same, one
    does it. Raises FileNotFoundError when the source is gone.
    """
    try:
        os.rename(source, target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    temporary = target.parent / f".{target.name[:100]}.{owner()}.{os.urandom(6).hex()}.tmp"
    try:
        if source.is_dir():
            shutil.copytree(source, temporary, symlinks=True, copy_function=_durable_copy)
            for folder, _, _ in os.walk(temporary):
                fsync_dir(Path(folder))
        else:
            _durable_copy(source, temporary)
        os.rename(temporary, target)
    except BaseException as error:
        done = isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST)
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
        if not done:  # else another has moved it meanwhile
            raise
    fsync_dir(target.parent)
    if source.is_dir():
        shutil.rmtree(source, ignore_errors=True)
    else:
        source.unlink(missing_ok=True)


def _durable_copy(source: Path | str, target: Path | str) -> None:
    shutil.copy2(source, target)
    fd = os.open(target, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_text(path: Path | str, text: str) -> None:
    """Write text (UTF-8, LF) atomically."""
    with replacing(path) as handle:
        handle.write(text)


def write_json(path: Path | str, data: Any) -> None:
    """Write JSON atomically, readable and in the order given."""
    with replacing(path) as handle:
        json.dump(data, handle, indent=2, ensure_ascii=False)
        handle.write("\n")
