"""What a store says of its own parts, so that years later a changed one is found and named.

The root's attribute ``slidebox.sealed`` holds the checksum of each part (a folder in DANDI's form,
a file's MD5) and of the root's metadata themselves. The pixels of level 0 aren't among the parts:
their own digest is stronger, and they need not be read twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..findings import Finding
from . import nodes
from .checksum import md5, tree_checksum

KEY = "sealed"


def image_parts(folder: Path) -> list[str]:
    """The parts of an image that is being written, as paths in its folder; folders end in ``/``."""
    found = []
    for entry in sorted(folder.iterdir()):
        if not entry.is_dir():
            continue
        if entry.name == "0":
            found += [f"0/{p.name}" for p in entry.iterdir() if p.name in nodes.METADATA]
        elif entry.name == "labels":
            for part in sorted(entry.iterdir()):
                found.append(f"labels/{part.name}" + ("/" if part.is_dir() else ""))
        else:
            found.append(f"{entry.name}/")
    return found


def write_root(
    folder: Path,
    attributes: dict[str, Any],
    ngff: str,
    parts: Iterable[str],
    known: Mapping[str, str] | None = None,
) -> None:
    """Write a root group whose ``slidebox`` attributes vouch for its parts and for itself.

    ``known``: what needn't be read again, as for ``tree_checksum``.
    """
    sums = {part: _checksum(folder, part, known or {}) for part in parts}
    attributes = attributes | {"slidebox": attributes["slidebox"] | {KEY: {"parts": sums}}}
    attributes["slidebox"][KEY]["attributes"] = _digest(nodes.group_document(attributes, ngff))
    nodes.write_group(folder, attributes, ngff)


def broken(folder: Path) -> list[Finding]:
    """What isn't as it was written, one finding a part; of older stores nothing is known.

    Codes: IMAGE_CHANGED. Raises OSError or ValueError when the root can't be read.
    """
    ngff, attributes = nodes.read_group(folder)
    sealed = attributes.get("slidebox", {}).get(KEY)
    if not sealed:
        return []
    findings = []
    if _digest(nodes.read_document(folder)) != sealed.get("attributes"):
        name = "zarr.json" if ngff == "0.5" else ".zattrs"
        findings.append(_changed(folder / name, "its metadata aren't those that were written"))
    if ngff == "0.4" and not (folder / ".zgroup").is_file():
        findings.append(_changed(folder / ".zgroup", "it is missing"))
    for part, was in sealed["parts"].items():
        try:
            now = _checksum(folder, part, {})
        except OSError as error:
            now = type(error).__name__
        if now != was:
            findings.append(_changed(folder / part, _how(was, now)))
    return findings


def _checksum(folder: Path, part: str, known: Mapping[str, str]) -> str:
    if not part.endswith("/"):
        return known.get(part) or md5(folder / part)
    inside = {path[len(part) :]: sum_ for path, sum_ in known.items() if path.startswith(part)}
    return known.get(part) or tree_checksum(folder / part, inside)[0]


def _digest(document: dict[str, Any]) -> str:
    """MD5 of a root's metadata without its own digest, whatever its spaces and order."""
    document = json.loads(json.dumps(document))
    attributes = document.get("attributes", document)
    attributes["slidebox"][KEY].pop("attributes", None)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _how(was: str, now: str) -> str:
    """In which way a part changed: files and bytes, where these differ."""
    counts = [text.partition("-")[2].split("--") for text in (was, now)]
    if now == "FileNotFoundError":
        return "it is missing"
    if len(counts[0]) == 2 == len(counts[1]) and counts[0] != counts[1]:
        (files, size), (old_files, old_size) = counts[1], counts[0]
        return f"{files} files of {size} bytes are there, {old_files} of {old_size} were written"
    return f"its checksum is {now}, at writing it was {was}"


def _changed(where: Path, how: str) -> Finding:
    return Finding(
        "IMAGE_CHANGED",
        "error",
        f"not as it was written: {how}",
        file=str(where),
        mend="Derive it again from its source.",
    )
