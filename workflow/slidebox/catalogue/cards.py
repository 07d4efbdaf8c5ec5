"""What the front page, its search and the lists know of a study: one small dict, the card.

``build_study`` writes it as ``card.json``, so that the archive's index reads a few kilobytes a
study and not the description of every image.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from slidebox.catalogue import facts
from slidebox.catalogue.cite import year_of
from slidebox.catalogue.text import license_name

PICTURES = 4
# Words of one study in the search index; beyond this a study drowns the others.
MOST_WORDS = 3000
_WORD = re.compile(r"[^\W_]+", re.UNICODE)

# How much a word counts by where it stands.
TITLE, KEYWORD, TEXT, IMAGE = 8, 4, 2, 1


def study_card(study: dict[str, Any]) -> dict[str, Any]:
    """The card of a study, from its ``study.json``."""
    record, images = study.get("record") or {}, study.get("images") or []
    shown = [i for i in images if i.get("zarr") and i.get("id")]
    pictures = [i["thumbnail"] for i in shown if i.get("thumbnail")]
    step = max(1, len(pictures) // PICTURES)
    organisms, methods = facts.organisms(record), facts.methods(record)
    kinds = sorted({facts.dimensions(i) for i in shown})
    annotated = any(i.get("labels") for i in shown) or bool(record.get("annotation_sets"))
    year = year_of(record, study.get("release_date"))
    return {
        "accession": study["accession"],
        "title": record.get("title") or study["accession"],
        "version": study.get("version"),
        "date": str(study.get("release_date") or record.get("release_date") or ""),
        "year": year,
        "license": record.get("license"),
        "images": len(shown),
        "annotated": sum(1 for i in shown if i.get("labels")),
        "files": (study.get("files") or {}).get("count", 0),
        "bytes": (study.get("files") or {}).get("bytes", 0),
        "pictures": pictures[::step][:PICTURES],
        "facts": " · ".join([*organisms[:2], *methods[:2], *kinds[:2]]),
        "facets": {
            "organism": organisms,
            "method": methods,
            "dimensions": kinds,
            "modality": sorted({_modality(i) for i in shown}),
            "licence": [license_name(record["license"])] if record.get("license") else [],
            "annotated": ["yes" if annotated else "no"],
            "year": [year] if year else [],
        },
        "versions": [
            {k: v[k] for k in ("version", "created", "message") if v.get(k)}
            for v in study.get("versions") or [{"version": study.get("version") or 1}]
        ],
        "words": _words(study["accession"], record, shown),
    }


def _modality(image: dict[str, Any]) -> str:
    if image.get("rgb"):
        return "colour"
    channels = facts.size_of(image, "c") or 1
    return "one channel" if channels == 1 else "several channels"


def words_of(text: str) -> list[str]:
    """Lower-case words without accents, as the index and a query both spell them."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(c for c in plain if not unicodedata.combining(c)))


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in ("email", "orcid", "access", "license"):
                yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _words(accession: str, record: dict[str, Any], images: list[dict[str, Any]]) -> dict[str, int]:
    """word -> weight, the highest of the places where it stands."""
    found: dict[str, int] = {}

    def take(text: str, weight: int) -> None:
        for word in words_of(text):
            if len(word) > 40 or (len(found) >= MOST_WORDS and word not in found):
                continue
            if found.get(word, 0) < weight:
                found[word] = weight

    take(accession, TITLE)
    take(str(record.get("title") or ""), TITLE)
    for keyword in [*facts.organisms(record), *facts.methods(record)]:
        take(keyword, KEYWORD)
    for text in _strings(record.get("keywords") or []):
        take(text, KEYWORD)
    for author in record.get("authors") or []:
        take(str(author.get("name") or ""), KEYWORD)
    for key, value in record.items():
        if key not in ("authors", "title", "keywords"):
            for text in _strings(value):
                take(text, TEXT)
    for image in images:
        take(facts.image_label(image), IMAGE)
        for channel in image.get("channels") or []:
            take(str(channel.get("name") or ""), IMAGE)
        for value in (image.get("attributes") or {}).values():
            take(str(value), IMAGE)
    return dict(sorted(found.items()))
