"""Names that stay: an image's id from what it is, a derivation's from what was done."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from typing import Any

# The namespace of Slidebox's image ids (made once, never to be changed).
NAMESPACE = uuid.UUID("5f0a4a63-3b1f-5e0e-9d0b-6a1c7f1c9e55")


def image_id(accession: str, files: Iterable[tuple[str, str]], series_index: int) -> str:
    """UUIDv5 of the accession, the sorted (path, sha256) of the image's files, and the series."""
    content = [accession, sorted([str(p), s] for p, s in files), int(series_index)]
    return str(uuid.uuid5(NAMESPACE, _canonical(content)))


def derivation_id(recipe: Any, labels: Any = (), record_fields: Any = None) -> str:
    """8 hex digits of what a derivation depends on besides the pixels.

    ``recipe`` is a Recipe or plain data, ``labels`` plain data (ids and names of the label images
    that land under it), ``record_fields`` the fields of the record that are written into the image.
    """
    if hasattr(recipe, "to_json"):
        recipe = recipe.to_json()
    return hashlib.sha256(_canonical([recipe, labels, record_fields]).encode()).hexdigest()[:8]


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=list)
