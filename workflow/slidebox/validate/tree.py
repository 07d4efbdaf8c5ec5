"""What stands in a submission's folder: only regular files and folders are let in."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..faults import machines_fault
from .collect import Collector

OURS = frozenset({".ready", "deposit.yaml", ".ready.list.tmp"})
MAX_PATH = 1000
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!-_.*'()/")
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass
class Tree:
    """Regular files (path -> size, mtime in ns) and folders of a submission, '/'-separated."""

    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    @property
    def bytes(self) -> int:
        return sum(size for size, _ in self.files.values())


def shown(path: str) -> str:
    """A path that is safe to print: what is not printable is escaped."""
    return "".join(
        c
        if c.isprintable() and not "\ud800" <= c <= "\udfff"
        else (f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else repr(c)[1:-1])
        for c in path
    )


def scan(folder: Path, out: Collector) -> Tree:
    """Walk the folder with lstat; what may not be there is reported and left out."""
    tree = Tree()
    links: dict[tuple[int, int], list[str]] = {}
    wanted: dict[tuple[int, int], int] = {}
    for path, status in _walk(folder, "", tree, out):
        tree.files[path] = (status.st_size, status.st_mtime_ns)
        if status.st_nlink > 1:
            inode = (status.st_dev, status.st_ino)
            links.setdefault(inode, []).append(path)
            wanted[inode] = status.st_nlink
        if status.st_size == 0:
            out.add("FILE_EMPTY", "the file has no bytes", path)
    for inode, paths in links.items():
        if len(paths) < wanted[inode]:
            for path in paths:
                out.add(
                    "FILE_HARDLINK",
                    f"the file has {wanted[inode] - len(paths)} further name(s) outside the "
                    "submission",
                    path,
                )
    _alike(tree, out)
    return tree


def _walk(
    folder: Path, base: str, tree: Tree, out: Collector
) -> Iterator[tuple[str, os.stat_result]]:
    stack = [base]
    while stack:
        base = stack.pop()
        try:
            with os.scandir(folder / base) as found:
                entries = sorted(found, key=lambda e: e.name)
        except OSError as error:
            if machines_fault(error):
                raise
            out.add("FILE_UNREADABLE", f"the folder can't be read: {error.strerror}", shown(base))
            continue
        if base and not entries:
            out.add("FOLDER_EMPTY", "the folder is empty", base)
        below = []
        for entry in entries:
            if not base and entry.name in OURS:
                continue
            path = base + entry.name
            status = entry.stat(follow_symlinks=False)
            if not _name(path, entry.name, out):
                continue
            kind = stat.S_IFMT(status.st_mode)
            if kind == stat.S_IFDIR:
                tree.folders.add(path + "/")
                below.append(path + "/")
            elif kind == stat.S_IFREG:
                yield path, status
            elif kind == stat.S_IFLNK:
                out.add("FILE_SYMLINK", "a symbolic link is not taken", path)
            else:
                what = _KINDS.get(kind, "no file")
                out.add("FILE_SPECIAL", f"{what} stands where a file should", path)
        stack.extend(reversed(below))


def _name(path: str, name: str, out: Collector) -> bool:
    """Check a name; False when the entry can't be taken under it."""
    if not _PLAIN.issuperset(name):
        try:
            name.encode()
        except UnicodeEncodeError:
            out.add("NAME_NOT_UTF8", "the name is not UTF-8", shown(path))
            return False
        if any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in name):
            out.add("NAME_CONTROL", "the name has a control character", shown(path))
            return False
        strange = sorted(set(name) - _PLAIN)
        out.add(
            "NAME_CHARACTERS",
            "the name has characters that other archives do not take: "
            + " ".join("a space" if c == " " else shown(c) for c in strange[:10]),
            shown(path),
        )
    if len(path) > MAX_PATH // 4 and len(path.encode()) > MAX_PATH:
        out.add("NAME_TOO_LONG", f"the path has more than {MAX_PATH} bytes", path)
    return True


def _alike(tree: Tree, out: Collector) -> None:
    """Names that are one on systems that fold case or accents."""
    folded: dict[str, str] = {}
    for path in [*tree.files, *tree.folders]:
        key = path.casefold() if path.isascii() else unicodedata.normalize("NFC", path.casefold())
        other = folded.setdefault(key, path)
        if other == path:
            continue
        if unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", path):
            out.add("NAME_UNICODE", f"the name differs from {other} in its encoding only", path)
        else:
            out.add("NAME_CASE", f"the name differs from {other} in case only", path)
