"""Images that were taken off the local disk because a target holds them: marks beside their place.

A mark ``images/<stem>.evicted.json`` says where an image is; while it stands, the image is neither
derived again nor deleted from the target.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SUFFIX = ".evicted.json"
_PART = re.compile(r"[^/]+/images/[^/]+\.ome\.zarr/", re.S)


def mark_path(store: Path) -> Path:
    """Where the mark of an image's store lies."""
    return store.with_name(store.name.removesuffix(".ome.zarr") + SUFFIX)


def mark_of(store: Path) -> dict[str, Any] | None:
    """What is known of an evicted image, else None.

    ``address`` is for staff (``s3://...``), ``url`` for readers (None without `publish.url`) and
    ``to`` the target; then ``objects``, ``bytes``, ``tree`` (its checksum), ``listing`` (see
    `listing_digest`) and ``evicted`` (when).
    """
    try:
        return json.loads(mark_path(store).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def tree_prefix(key: str) -> str | None:
    """The prefix of the image that an address is a part of; None for what is no image's."""
    found = _PART.match(key)
    return found[0] if found else None


def listing_digest(rows: Iterable[Any]) -> str:
    """A digest of what a target says it holds of an image: ``key``, ``size`` and ``etag`` of rows
    in order of key."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row.key}\t{row.size}\t{row.etag}\n".encode())
    return digest.hexdigest()
