"""DataCite 4.5 metadata of a study, ready for a DOI's registration."""

from __future__ import annotations

from typing import Any

from slidebox.catalogue import facts
from slidebox.catalogue.describe.parts import (
    Place,
    licence_of,
    link_url,
    orcid_of,
    organisations_of,
    papers_of,
    published,
    text_or,
)
from slidebox.catalogue.text import bare_doi


def datacite(study: dict[str, Any], place: Place) -> dict[str, Any]:
    """DataCite's JSON (schema 4.5); its DOI is there once a registration is recorded."""
    record, accession = study["record"], study["accession"]
    date = published(study)
    creators = []
    for author in record.get("authors") or []:
        creator: dict[str, Any] = {
            "name": text_or(author.get("name"), "Unknown"),
            "nameType": "Personal",
        }
        if orcid := orcid_of(author):
            creator["nameIdentifiers"] = [
                {
                    "nameIdentifier": orcid,
                    "nameIdentifierScheme": "ORCID",
                    "schemeUri": "https://orcid.org",
                }
            ]
        if names := organisations_of(author):
            creator["affiliation"] = [{"name": n} for n in names]
        creators.append(creator)
    data: dict[str, Any] = {
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "creators": creators or [{"name": "Unknown", "nameType": "Organizational"}],
        "titles": [{"title": text_or(record.get("title"), accession)}],
        "publisher": {"name": place.site_name},
        "publicationYear": date[:4],
        "types": {"resourceType": "Biological images", "resourceTypeGeneral": "Dataset"},
        "subjects": [
            {"subject": str(s)}
            for s in [*(record.get("keywords") or []), *facts.organisms(record)]
            if s
        ],
        "dates": [{"date": date, "dateType": "Available"}],
        "language": "en",
        "version": str(study["version"]),
        "sizes": [f"{study['files']['count']} files", f"{study['files']['bytes']} bytes"],
        "formats": ["application/zarr"] if any(i.get("zarr") for i in study["images"]) else [],
        "alternateIdentifiers": [
            {"alternateIdentifier": accession, "alternateIdentifierType": "accession"}
        ],
        "descriptions": [
            {
                "description": text_or(record.get("description"), accession),
                "descriptionType": "Abstract",
            }
        ],
    }
    if doi := bare_doi(record.get("doi")):
        data["doi"] = doi
    if place.site_url:
        data["url"] = place.of(accession)
    if licence := licence_of(study):
        data["rightsList"] = [
            {
                "rights": record["license"],
                "rightsUri": licence,
                "rightsIdentifier": record["license"],
                "rightsIdentifierScheme": "SPDX",
                "schemeUri": "https://spdx.org/licenses/",
            }
        ]
    related = [
        {
            "relatedIdentifier": paper.removeprefix("https://doi.org/"),
            "relatedIdentifierType": "DOI",
            "relationType": "IsSupplementTo",
        }
        for paper in papers_of(study)
    ]
    related += [
        {"relatedIdentifier": url, "relatedIdentifierType": "URL", "relationType": "References"}
        for link in record.get("links") or []
        if (url := link_url(link))
    ]
    if related:
        data["relatedIdentifiers"] = related
    funding = []
    for grant in record.get("funding") or []:
        if grant.get("agency"):
            entry = {"funderName": grant["agency"]}
            if grant.get("grant_id"):
                entry["awardNumber"] = grant["grant_id"]
            funding.append(entry)
    if funding:
        data["fundingReferences"] = funding
    return _without_repeats(data)


def _without_repeats(value: Any) -> Any:
    """The same with each item of a list once: the schema refuses a keyword that stands twice."""
    if isinstance(value, dict):
        return {k: _without_repeats(v) for k, v in value.items()}
    if isinstance(value, list):
        items = [_without_repeats(item) for item in value]
        return [item for i, item in enumerate(items) if item not in items[:i]]
    return value
