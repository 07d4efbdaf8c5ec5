"""Which files belong together: one image may be written as many files."""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import BinaryIO
from xml.etree import ElementTree

from . import sequence
from .registry import FORMATS, by_name

_OME_HEAD = 4 << 20  # OME-XML of a plate can be long; what is longer isn't looked into
_KNOWN = {e for f in FORMATS for e in f.extensions}


def group_files(
    paths: Iterable[str], open_sibling: Callable[[str], BinaryIO] | None = None
) -> list[tuple[str, list[str]]]:
    """Join files that are one image; every path comes back exactly once.

    Parameters
    ----------
    paths : relative paths with ``/``, as submitted.
    open_sibling : opens one of these paths for reading bytes; without it only names are looked at
        (the files of a multi-file OME-TIFF then stay apart).

    Returns
    -------
    list of (primary, files), sorted by primary; ``files`` holds the primary too, first. A Zarr
    store's primary is its folder, which isn't among the files.
    """
    left = sorted(set(paths))
    present = set(left)
    owner: dict[str, str] = {}

    for path in left:
        store = zarr_root(path)
        if store is not None:
            owner[path] = store
    for path in left:
        if path in owner:
            continue
        lower = path.lower()
        for members in (_oif, _vsi, _beside, _pattern, _plate, _leica, _ome):
            if members is _ome and not lower.endswith(
                (".tif", ".tiff", ".ome", ".tf8", ".btf", ".tf2")
            ):
                continue
            for other in members(path, left, present, open_sibling):
                owner.setdefault(other, owner.get(path, path))
    for primary, members in sequence.find(p for p in left if p not in owner).items():
        for path in members:
            owner[path] = primary
    groups: dict[str, list[str]] = {}
    for path in left:
        groups.setdefault(owner.get(path, path), []).append(path)
    result = []
    for primary, files in groups.items():
        rest = sorted(f for f in files if f != primary)
        result.append((primary, [primary, *rest] if primary in present else rest))
    return sorted(result)


def zarr_root(path: str) -> str | None:
    """The outermost folder of a path that is a Zarr or N5 store by name, or None."""
    parts = path.split("/")
    for n, part in enumerate(parts[:-1]):
        if part.lower().endswith((".zarr", ".ngff", ".n5")):
            return "/".join(parts[: n + 1])
    return None


def _under(folder: str, left: list[str]) -> list[str]:
    """The paths below a folder, of paths that are sorted."""
    prefix = folder.rstrip("/") + "/"
    return left[bisect_left(left, prefix) : bisect_left(left, prefix[:-1] + "0")]  # after / comes 0


def _oif(path, left, present, open_sibling) -> list[str]:
    return _under(path + ".files", left) if path.lower().endswith(".oif") else []


def _vsi(path, left, present, open_sibling) -> list[str]:
    if not path.lower().endswith(".vsi"):
        return []
    folder, name = posixpath.split(path)
    return _under(posixpath.join(folder, f"_{name[:-4]}_"), left)


def _beside(path, left, present, open_sibling) -> list[str]:
    """ICS with its IDS, MIRAX with its folder of data, NDPIS and VMS with the files they name."""
    lower, stem = path.lower(), path.rpartition(".")[0]
    if lower.endswith(".ics"):
        return [p for p in (stem + ".ids", stem + ".IDS") if p in present]
    if lower.endswith(".mrxs"):
        return _under(stem, left)
    if lower.endswith((".ndpis", ".vms")) and open_sibling is not None:
        with open_sibling(path) as handle:
            names = re.findall(
                r"=\s*([^\r\n=]+\.\w+)\s*$", handle.read(1 << 20).decode("latin-1"), re.M
            )
        folder = posixpath.dirname(path)
        return [p for p in (posixpath.join(folder, n.strip()) for n in names) if p in present]
    return []


def _pattern(path, left, present, open_sibling) -> list[str]:
    """A ``.pattern`` file leads the files that it stands for."""
    if not path.lower().endswith(".pattern") or open_sibling is None:
        return []
    with open_sibling(path) as handle:
        pattern = sequence.from_file(handle.read(1 << 16).decode("utf-8", "replace"))
    try:
        members, _ = sequence.expand(posixpath.join(posixpath.dirname(path), pattern), present)
    except sequence.PatternError:  # the reader says what is wrong
        return []
    return sorted(members)


def _plate(path, left, present, open_sibling) -> list[str]:
    """A plate's index leads all pictures under its folder (not those of the whole submission)."""
    folder, name = posixpath.split(path)
    lower = name.lower()
    if lower not in ("index.idx.xml", "index.xml") and not lower.endswith(
        (".mlf", ".htd", ".xdce")
    ):
        return []
    suffixes = (".tif", ".tiff", ".png", ".mrf", ".mes", ".wpi")
    return [p for p in _under(folder, left) if p.lower().endswith(suffixes)] if folder else []


def _leica(path, left, present, open_sibling) -> list[str]:
    """A Leica project (.xlef) points to .xlcf, .xlif and these to .lof or .tif: follow the
    references.
    """
    if not path.lower().endswith(".xlef") or open_sibling is None:
        return []
    found, todo = [], [path]
    while todo:
        here = todo.pop()
        for reference in _references(here, open_sibling):
            full = posixpath.normpath(
                posixpath.join(posixpath.dirname(here), reference.replace("\\", "/"))
            )
            if full in present and full not in found and full != path:
                found.append(full)
                if full.lower().endswith((".xlif", ".xlcf")):
                    todo.append(full)
    return found


def _references(path: str, open_sibling: Callable[[str], BinaryIO]) -> list[str]:
    try:
        with open_sibling(path) as handle:
            root = ElementTree.fromstring(handle.read())
    except (OSError, ElementTree.ParseError):
        return []
    found = []
    for element in root.iter():
        for key in ("File", "FileName", "Filename"):
            if element.get(key):
                found.append(element.get(key))
    return found


def _ome(path, left, present, open_sibling) -> list[str]:
    """The other files that an OME-TIFF's (or a companion's) TiffData elements name."""
    if open_sibling is None:
        return []
    try:
        xml = _ome_xml(path, open_sibling)
    except (OSError, ValueError, EOFError):
        return []
    folder = posixpath.dirname(path)
    names = set(re.findall(r'FileName="([^"]+)"', xml)) if xml else set()
    others = [posixpath.normpath(posixpath.join(folder, n.replace("&amp;", "&"))) for n in names]
    return sorted(o for o in others if o in present and o != path)


def _ome_xml(path: str, open_sibling: Callable[[str], BinaryIO]) -> str:
    """OME-XML of a file: the first page's description, read without walking the other pages."""
    if path.lower().endswith(".companion.ome"):
        with open_sibling(path) as handle:
            return handle.read(_OME_HEAD).decode("utf-8", "replace")
    if not path.lower().endswith((".tif", ".tiff", ".tf8", ".btf", ".tf2")):
        return ""
    import tifffile

    with (
        open_sibling(path) as handle,
        tifffile.TiffFile(handle, name=posixpath.basename(path)) as tiff,
    ):
        text = tiff.pages.first.description
        return text if text[-10:].strip().endswith("OME>") else ""


def is_image_name(path: str) -> bool:
    """Whether a name looks like an image's (by extension alone)."""
    return bool(by_name(posixpath.basename(path)))
