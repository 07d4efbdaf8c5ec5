"""A fence around the child that opens images: it can read libraries and one folder, write nothing.

Landlock (Linux 5.13 and later) does it without privileges. Where the kernel has none the child
still has its other limits, and :func:`fence` says so. Nothing of the package is imported here.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_CHANGES = sum(1 << n for n in range(4, 13))  # make and remove files and folders of all kinds
_BY_VERSION = {2: 1 << 13, 3: 1 << 14}  # link across folders, truncate

LIBRARIES = (
    "/usr", "/lib", "/lib64", "/opt", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
    "/etc/localtime", "/etc/java-17-openjdk", "/etc/java-21-openjdk", "/proc",
    "/sys/devices/system", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom",
)  # fmt: skip
"""Beside Python's own folders: what libraries read when they are loaded."""


def fence(folder: str) -> str:
    """Fence this process in, for good; what keeps it in, or why nothing does."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return "not fenced in: this kernel has no Landlock"
    handled = _WRITE_FILE | _READ_FILE | _READ_DIR | _CHANGES
    handled |= sum(bit for since, bit in _BY_VERSION.items() if version >= since)
    rules = struct.pack("=Q", handled)
    ruleset = libc.syscall(_CREATE, rules, len(rules), 0)
    if ruleset < 0:
        return f"not fenced in: {os.strerror(ctypes.get_errno())}"
    try:
        allowed = {sys.prefix, sys.base_prefix, *(p for p in sys.path if p), *LIBRARIES, folder}
        for path in sorted(allowed):
            _allow(libc, ruleset, path)
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.syscall(_RESTRICT, ruleset, 0):
            return f"not fenced in: {os.strerror(ctypes.get_errno())}"
    finally:
        os.close(ruleset)
    return "fenced in by Landlock"


def _allow(libc: ctypes.CDLL, ruleset: int, path: str) -> None:
    """Let what is at or below a path be read; a path that isn't there needs no rule."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)
        if path == "/dev/null":
            rights |= _WRITE_FILE
        libc.syscall(_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)
