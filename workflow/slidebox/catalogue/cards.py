"""What the front page, its search and the lists know of a study: one small dict, the card.

``build_study`` writes it as ``card.json``, so that the archive's index reads a kilobyte a study and
not the description of every image.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from slidebox.catalogue import facts
from slidebox.catalogue.cite import year_of
from slidebox.catalogue.text import license_name

PICTURES = 4


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
        "classes": _classes(shown),
    }


def _classes(images: list[dict[str, Any]]) -> list[list[Any]]:
    """Runs of images alike, in order: ``[number, dimensions, modality, annotated]``."""
    kinds = (
        (facts.dimensions(i), _modality(i), "yes" if i.get("labels") else "no") for i in images
    )
    return [[sum(1 for _ in same), *kind] for kind, same in groupby(kinds)]


def _modality(image: dict[str, Any]) -> str:
    if image.get("rgb"):
        return "colour"
    channels = facts.size_of(image, "c") or 1
    return "one channel" if channels == 1 else "several channels"
