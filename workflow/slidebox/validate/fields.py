"""Checks of the record: what must be there, and whether it is what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..deposit import check_accession
from ..record import ANNOTATION_TYPES, Positions, Record, nearest
from ..record.model import Part
from . import identifiers, licences
from .collect import Collector
from .ontology import check_terms
from .settings import Settings

STATUSES = ("in preparation", "submitted", "preprint", "published")
REQUIRED: dict[str, tuple[str, ...]] = {
    "": (
        "title",
        "description",
        "keywords",
        "license",
        "release_date",
        "authors",
        "biosamples",
        "specimens",
        "image_acquisitions",
        "study_components",
    ),
    "authors": ("name", "organisations"),
    "organisations": ("name",),
    "links": ("url",),
    "biosamples": ("name", "organism", "biological_entity"),
    "specimens": ("name", "sample_preparation"),
    "image_acquisitions": (
        "name",
        "imaging_instrument",
        "acquisition_parameters",
        "imaging_methods",
    ),
    "image_correlations": ("name", "alignment"),
    "image_analyses": ("name", "overview"),
    "study_components": ("name", "description", "associations"),
    "annotation_sets": ("name", "overview", "types", "methods"),
}
"""Fields that must be filled in, by list of the record ("" for the record itself)."""

RECOMMENDED: dict[str, tuple[str, ...]] = {
    "": ("acknowledgements", "funding_statement"),
    "authors": ("orcid",),
    "publications": ("title", "authors", "year"),
    "links": ("description",),
    "funding": ("agency", "grant_id"),
    "biosamples": ("description",),
    "specimens": ("growth_protocol",),
    "image_correlations": ("fiducials", "transformation_matrix"),
    "annotation_sets": ("confidence_level", "criteria", "coverage"),
}

REFERENCES = {
    "biosample": "biosamples",
    "specimen": "specimens",
    "image_acquisition": "image_acquisitions",
    "image_correlation": "image_correlations",
    "image_analysis": "image_analyses",
}


def check_record(record: Record, where: Positions, out: Collector, settings: Settings) -> None:
    """All checks that need the record only."""

    def add(code: str, message: str, field: str, mend: str | None = None) -> None:
        out.add(code, message, where.file, line=where.line(field), field=field, mend=mend)

    _required(record, add)
    _placeholders(record, add)
    _names(record, add)
    _associations(record, add)
    _identifiers(record, add)
    _licence(record, add, settings)
    _annotations(record, add)
    if _said(record.accession) and (why := check_accession(record.accession)):
        add("ACCESSION_INVALID", f"{record.accession[:80]!r}: {why}", "accession")
    _variables(record, add)
    _markup(record, add)
    check_terms(record, add)
    if not _reasoned(record):
        add(
            "SCOPE_REASON",
            "the study has neither a publication nor a stated reference value",
            "publications",
        )


def _items(record: Record) -> Iterator[tuple[str, str, Part]]:
    """(list's name, field name of the item, item), the record itself first as ("", "", record)."""
    yield "", "", record
    for name in type(record).model_fields:
        value = getattr(record, name)
        if isinstance(value, list):
            for i, item in enumerate(value):
                if isinstance(item, Part):
                    yield name, f"{name}[{i}]", item


def _empty(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return not value or (isinstance(value, list) and all(_empty(v) for v in value))


def _called(item: Part) -> str:
    name = getattr(item, "name", "")
    return f" ({name})" if name else ""


def _required(record: Record, add) -> None:
    for kind, at, item in _items(record):
        for name in REQUIRED.get(kind, ()):
            value = getattr(item, name)
            if _empty(value):
                field = f"{at}.{name}" if at else name
                add("FIELD_MISSING", f"{field}{_called(item)} is missing or empty", field)
        for name in RECOMMENDED.get(kind, ()):
            if _empty(getattr(item, name)):
                field = f"{at}.{name}" if at else name
                add("FIELD_RECOMMENDED", f"{field}{_called(item)} is empty", field)
    for name in ("title", "description"):
        text = getattr(record, name).strip()
        if text and len(text) < 25:
            add(
                "FIELD_TOO_SHORT",
                f"{name} has {len(text)} characters, at least 25 are asked for",
                name,
            )
    if record.authors and not any(a.email.strip() for a in record.authors):
        add("FIELD_MISSING", "no author has an e-mail address", "authors[0].email")


def _texts(value: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from _texts(one, f"{at}[{i}]")
    elif isinstance(value, Part):
        for name in type(value).model_fields:
            if name != "extra":
                yield from _texts(getattr(value, name), f"{at}.{name}" if at else name)


_PLACEHOLDER = re.compile(r"\s*<[^<>]+>\s*\Z")


def _placeholders(record: Record, add) -> None:
    for field, text in _texts(record, ""):
        if _PLACEHOLDER.match(text):
            add("FIELD_PLACEHOLDER", f"{field} still holds {text.strip()[:60]}", field)


def _names(record: Record, add) -> None:
    def once(names: list[tuple[str, str]]) -> None:
        seen: dict[str, str] = {}
        for field, name in names:
            if name and seen.setdefault(name, field) != field:
                add("NAME_TWICE", f"{name!r} is the name of {seen[name]} too", field)

    for kind in REFERENCES.values():
        once([(f"{kind}[{i}].name", p.name) for i, p in enumerate(getattr(record, kind))])
    once(
        [
            (f"{kind}[{i}].name", p.name)
            for kind in ("study_components", "annotation_sets")
            for i, p in enumerate(getattr(record, kind))
        ]
    )


def _associations(record: Record, add) -> None:
    known = {
        kind: [p.name for p in getattr(record, kind) if p.name] for kind in REFERENCES.values()
    }
    for i, component in enumerate(record.study_components):
        for j, association in enumerate(component.associations):
            at = f"study_components[{i}].associations[{j}]"
            for name, kind in REFERENCES.items():
                value = getattr(association, name)
                if not value.strip():
                    if name in ("biosample", "specimen", "image_acquisition"):
                        add("FIELD_MISSING", f"{at}.{name} is missing or empty", f"{at}.{name}")
                elif value not in known[kind]:
                    other = nearest(value, known[kind])
                    add(
                        "ASSOCIATION_UNKNOWN",
                        f"no {name.replace('_', ' ')} has the name {value!r}",
                        f"{at}.{name}",
                        f"Did you mean {other!r}?"
                        if other
                        else f"Known: {', '.join(repr(n) for n in known[kind][:10]) or 'none'}.",
                    )


def _said(text: str) -> bool:
    """Whether there is something to check; placeholders have their own finding."""
    return bool(text.strip()) and not _PLACEHOLDER.match(text)


def _identifiers(record: Record, add) -> None:
    if _said(record.release_date) and (wrong := identifiers.day(record.release_date)):
        add("DATE_INVALID", f"{record.release_date[:40]!r} {wrong}", "release_date")
    for i, author in enumerate(record.authors):
        if _said(author.email) and (wrong := identifiers.email(author.email)):
            add("EMAIL_INVALID", f"{author.email[:100]!r} {wrong}", f"authors[{i}].email")
        if _said(author.orcid) and (wrong := identifiers.orcid(author.orcid)):
            add("ORCID_INVALID", f"{author.orcid[:60]!r} {wrong}", f"authors[{i}].orcid")
    for i, publication in enumerate(record.publications):
        at = f"publications[{i}]"
        status = publication.status.strip().casefold()
        if status and status not in STATUSES:
            add(
                "PUBLICATION_STATUS",
                f"{publication.status[:60]!r} is no known status",
                f"{at}.status",
            )
        if _said(publication.doi):
            if wrong := identifiers.doi(publication.doi):
                known = identifiers.find_doi(publication.doi)
                add(
                    "DOI_INVALID",
                    f"{publication.doi[:100]!r} {wrong}",
                    f"{at}.doi",
                    f"Did you mean {known}?" if known else None,
                )
        elif not publication.doi and status in ("published", "preprint"):
            add("DOI_MISSING", f"{at} is {status} and has no DOI", f"{at}.doi")
        if _said(publication.pubmed_id) and (wrong := identifiers.pubmed_id(publication.pubmed_id)):
            add("PUBMED_INVALID", f"{publication.pubmed_id[:60]!r} {wrong}", f"{at}.pubmed_id")
    for i, link in enumerate(record.links):
        if not _said(link.url):
            continue
        at = f"links[{i}].url"
        if link.type.strip().casefold() == "doi":
            if wrong := identifiers.doi(link.url):
                add("DOI_INVALID", f"{link.url[:100]!r} {wrong}", at)
        elif not link.type and (wrong := identifiers.url(link.url)):
            known = identifiers.find_doi(link.url)
            add(
                "URL_INVALID",
                f"{link.url[:100]!r} {wrong}",
                at,
                f"Write https://doi.org/{known}, or {known} with type: doi." if known else None,
            )


def _licence(record: Record, add, settings: Settings) -> None:
    if not _said(record.license):
        return
    name, clean = licences.spdx(record.license)
    if name is None or name not in settings.licences:
        add(
            "LICENCE_UNKNOWN",
            f"{record.license[:80]!r} is none of the licences that the archive takes",
            "license",
            f"Use one of {', '.join(settings.licences)}.",
        )
    elif not clean:
        add(
            "LICENCE_MENDED",
            f"{record.license[:80]!r} is read as {name}",
            "license",
            f"Write {name}.",
        )


_PUBLISHED = re.compile(r"doi\.org/|10\.\d{4,9}/|arxiv\.org|biorxiv\.org|pubmed|europepmc", re.I)


def _reasoned(record: Record) -> bool:
    """Whether the study says why it is worth keeping: a publication, a link to one, or a word."""
    if record.publications or record.reference_value.strip():
        return True
    return any(_PUBLISHED.search(link.url) for link in record.links)


_MARKUP = re.compile(
    r"</?(?:a|b|i|u|p|br|div|span|font|script|style|img|iframe|svg|object|embed|form|input|meta|link)"
    r"(?:\s[^<>]*)?/?>|\bjavascript:|<!--",
    re.I,
)


def _markup(record: Record, add) -> None:
    for field, text in _texts(record, ""):
        if found := _MARKUP.search(text):
            add("FIELD_MARKUP", f"{field} holds HTML: {found[0][:60]!r}", field)


def _variables(record: Record, add) -> None:
    """Several variables in one value, parted by semicolons or line ends."""
    for i, sample in enumerate(record.biosamples):
        for name in ("experimental_variables", "extrinsic_variables", "intrinsic_variables"):
            for j, text in enumerate(getattr(sample, name)):
                parts = [p.strip() for p in re.split(r"[;\n]", text) if p.strip()]
                if len(parts) > 1:
                    field = f"biosamples[{i}].{name}[{j}]"
                    add(
                        "VARIABLE_LIST",
                        f"{field}{_called(sample)} holds {len(parts)} values: {text[:100]!r}",
                        field,
                        "Give each its own entry: " + "; ".join(repr(p[:40]) for p in parts[:5]),
                    )


def _annotations(record: Record, add) -> None:
    for i, one in enumerate(record.annotation_sets):
        for j, kind in enumerate(one.types):
            if kind.strip() and kind not in ANNOTATION_TYPES:
                other = nearest(kind, ANNOTATION_TYPES)
                add(
                    "ANNOTATION_TYPE",
                    f"{kind[:60]!r} is no annotation type of MIFA",
                    f"annotation_sets[{i}].types[{j}]",
                    f"Did you mean {other}?"
                    if other
                    else f"Use one of {', '.join(ANNOTATION_TYPES)}.",
                )
