"""Every call by which the vault changes a disk, and nothing else.

The write path calls these functions only, so that a test can count the changes, and stop the
process or make the disk fail at any one of them (`watch`). Reading is done with `os` directly.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

Watch = Callable[[str, str], None]
_watch: Watch | None = None

FILE_MODE = 0o444  # what is in the vault is not written again
WORK_MODE = 0o666
FOLDER_MODE = 0o777

_RENAME_NOREPLACE = 1
_AT_FDCWD = -100
_RANGE_WRITE = 2


def watch(hook: Watch | None) -> None:
    """Call ``hook(operation, path)`` before every change; it may raise, or never return."""
    global _watch
    _watch = hook


def _before(operation: str, path: str | Path | int) -> None:
    if _watch is not None:
        _watch(operation, str(path))


def mkdir(path: Path) -> None:
    """Make one folder; the parent exists, the folder doesn't."""
    _before("mkdir", path)
    os.mkdir(path, FOLDER_MODE)


def mkdirs(path: Path, *, durable: bool = True) -> None:
    """Make a folder and the parents that lack, each name made durable in its parent."""
    if path.is_dir():
        return
    mkdirs(path.parent, durable=durable)
    with contextlib.suppress(FileExistsError):
        mkdir(path)
    if durable:
        fsync_dir(path.parent)


def create(path: Path, mode: int = FILE_MODE) -> int:
    """Open a new file for writing; FileExistsError when there is one, link or not."""
    _before("create", path)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def write(fd: int, data: bytes | memoryview) -> None:
    """Write all of ``data``."""
    view = memoryview(data)
    while view:
        _before("write", fd)
        view = view[os.write(fd, view) :]


def fsync(fd: int) -> None:
    """Make a file's bytes durable."""
    _before("fsync", fd)
    os.fsync(fd)


def start_flush(fd: int, offset: int, size: int) -> None:
    """Have the system begin to write a part of a file, without waiting: a hint that may be lost."""
    with contextlib.suppress(AttributeError):
        _libc.sync_file_range(fd, ctypes.c_int64(offset), ctypes.c_int64(size), _RANGE_WRITE)


def fsync_dir(path: Path) -> None:
    """Make the names in a folder durable; a file system that can't (EINVAL) is tolerated."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _before("fsync", path)
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def rename(source: Path, target: Path) -> None:
    """Give a file or folder another name, replacing a file (or an empty folder) there."""
    _before("rename", target)
    os.rename(source, target)


def rename_new(source: Path, target: Path) -> None:
    """Give a file or folder a name that is free; FileExistsError when it isn't."""
    _before("rename", target)
    done = _renameat2(source, target, _RENAME_NOREPLACE)
    if done is None:  # a system or file system without it: a check, then a plain rename
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        os.rename(source, target)


def unlink(path: Path) -> None:
    """Remove a file or link."""
    _before("unlink", path)
    os.unlink(path)


def rmdir(path: Path) -> None:
    """Remove an empty folder."""
    _before("rmdir", path)
    os.rmdir(path)


def symlink(target: str, path: Path) -> None:
    """Make a symbolic link."""
    _before("symlink", path)
    os.symlink(target, path)


def touch(fd: int, mtime_ns: int) -> None:
    """Set the time of an open file or folder, nanoseconds since 1970 UTC."""
    _before("utime", fd)
    os.utime(fd, ns=(mtime_ns, mtime_ns))


def put(path: Path, data: bytes, *, mode: int = FILE_MODE) -> None:
    """A new small file, its bytes durable (its name is not yet)."""
    fd = create(path, mode)
    try:
        write(fd, data)
        fsync(fd)
    finally:
        os.close(fd)


def put_whole(path: Path, data: bytes, scratch: Path, *, mode: int = WORK_MODE) -> None:
    """A small file that appears (or replaces another) whole: by way of ``scratch``, durably."""
    with contextlib.suppress(FileNotFoundError):
        unlink(scratch)
    put(scratch, data, mode=mode)
    rename(scratch, path)
    fsync_dir(path.parent)


def remove_tree(path: Path) -> None:
    """Remove a folder with all in it, a file or a link; nothing when there is none."""
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(info.st_mode):
        unlink(path)
        return
    with os.scandir(path) as entries:
        names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, folder in names:
        if folder:
            remove_tree(path / name)
        else:
            unlink(path / name)
    rmdir(path)


def _renameat2(source: Path, target: Path, flags: int) -> bool | None:
    """True when done, None when this system has no such call; OSError otherwise."""
    try:
        call = _libc.renameat2
    except AttributeError:
        return None
    src, dst = os.fsencode(source), os.fsencode(target)
    if call(_AT_FDCWD, src, _AT_FDCWD, dst, flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return None
    raise OSError(code, os.strerror(code), str(target))


_libc = ctypes.CDLL(None, use_errno=True)
