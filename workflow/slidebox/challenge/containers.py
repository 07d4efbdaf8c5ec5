"""What files hold: members of ZIP, tar, gzip, bzip2 and xz files, of members of members too."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

DEEP = 4  # containers within containers
LARGEST = 4 << 30  # bytes of a member that is unpacked
ZARR = {"zarr.json", ".zarray"}
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, OSError, EOFError, RuntimeError,
    NotImplementedError, ValueError,
)  # fmt: skip


def everything(path: Path, depth: int = 0) -> Iterator[tuple[str, Path]]:
    """A file itself as ("", path), and all that is packed in it as ("member", temporary file).

    Members are unpacked one at a time; those with a Zarr array among them all together, since an
    array is many files. What can't be unpacked (broken, encrypted) is left.
    """
    yield "", path
    kind = _kind(path) if depth < DEEP else None
    if kind is None:
        return
    try:
        for name, inner in _members(path, kind):
            for below, deeper in everything(inner, depth + 1):
                yield f"{name}!/{below}" if below else name, deeper
    except _BROKEN:
        return


def _kind(path: Path) -> str | None:
    if path.name.isdigit():
        return None  # a chunk of an array
    with path.open("rb") as handle:
        head = handle.read(265)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return "zip"
    if head[257:262] == b"ustar":
        return "tar"
    for magic, kind in ((b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\xfd7zXZ", "xz")):
        if head.startswith(magic):
            return kind
    return None


def _members(path: Path, kind: str) -> Iterator[tuple[str, Path]]:
    if kind == "zip":
        with zipfile.ZipFile(path) as packed:
            listed = [(i.filename, i.file_size, i) for i in packed.infolist() if not i.is_dir()]
            yield from _unpacked(listed, packed.open)
    elif kind == "tar":
        with tarfile.open(path, "r:") as packed:
            listed = [(m.name, m.size, m) for m in packed.getmembers() if m.isfile()]
            yield from _unpacked(listed, packed.extractfile)
    else:
        with tempfile.TemporaryDirectory(prefix="slidebox-packed-") as folder:
            name = path.stem if path.suffix != ".tgz" else f"{path.stem}.tar"
            inner = Path(folder, name)
            opener = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}[kind]
            with opener(path, "rb") as source, inner.open("wb") as target:
                left = LARGEST
                while left > 0 and (block := source.read(min(left, 4 << 20))):
                    target.write(block)
                    left -= len(block)
            yield name, inner


def _unpacked(listed: list[tuple], opener) -> Iterator[tuple[str, Path]]:
    together = any(PurePosixPath(name).name in ZARR for name, _, _ in listed)
    with tempfile.TemporaryDirectory(prefix="slidebox-packed-") as folder:
        made = []
        for number, (name, size, entry) in enumerate(listed):
            if size > LARGEST:
                continue
            parts = [p for p in PurePosixPath(name).parts if p not in ("/", "..")]
            inner = Path(folder, *(parts if together else (f"{number}", parts[-1])))
            inner.parent.mkdir(parents=True, exist_ok=True)
            with opener(entry) as source, inner.open("wb") as target:
                shutil.copyfileobj(source, target)
            if together:
                made.append((name, inner))
            else:
                yield name, inner
                inner.unlink()
        yield from made
