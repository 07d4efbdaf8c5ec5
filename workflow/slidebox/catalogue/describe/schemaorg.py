"""schema.org Dataset as JSON-LD, which search engines for data read from the page."""

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
from slidebox.catalogue.text import doi_url


def schema_org(study: dict[str, Any], place: Place) -> dict[str, Any]:
    """https://schema.org/Dataset with what Google's and Bioschemas' profiles ask for."""
    record, accession = study["record"], study["accession"]
    url, doi = place.of(accession), doi_url(record.get("doi"))
    people = []
    for author in record.get("authors") or []:
        person: dict[str, Any] = {"@type": "Person", "name": text_or(author.get("name"), "Unknown")}
        if orcid := orcid_of(author):
            person["@id"] = orcid
        if names := organisations_of(author):
            person["affiliation"] = [{"@type": "Organization", "name": n} for n in names]
        people.append(person)
    data: dict[str, Any] = {
        "@context": "https://schema.org/",
        "@type": "Dataset",
        "@id": url,
        "identifier": [doi, accession] if doi else accession,
        "url": url,
        "name": text_or(record.get("title"), accession),
        "description": text_or(record.get("description"), accession),
        "version": str(study["version"]),
        "datePublished": published(study),
        "isAccessibleForFree": True,
        "publisher": {"@type": "Organization", "name": place.site_name},
        "includedInDataCatalog": {"@type": "DataCatalog", "name": place.site_name},
        "distribution": [
            {
                "@type": "DataDownload",
                "name": "All files with sizes, digests and addresses",
                "encodingFormat": "text/tab-separated-values",
                "contentUrl": url + "files.tsv",
            }
        ],
    }
    if doi:
        data["sameAs"] = doi
    if people:
        data["creator"] = people
    if record.get("keywords"):
        data["keywords"] = [str(k) for k in record["keywords"]]
    if licence := licence_of(study):
        data["license"] = licence
    if papers := papers_of(study):
        data["citation"] = papers
    if methods := facts.methods(record):
        data["measurementTechnique"] = methods
    if organisms := facts.organisms(record):
        data["about"] = [{"@type": "Taxon", "name": name} for name in organisms]
    if funders := [g for g in record.get("funding") or [] if g.get("agency")]:
        data["funding"] = [
            {
                "@type": "Grant",
                **({"identifier": g["grant_id"]} if g.get("grant_id") else {}),
                "funder": {"@type": "Organization", "name": g["agency"]},
            }
            for g in funders
        ]
    if links := [u for link in record.get("links") or [] if (u := link_url(link))]:
        data["relatedLink"] = links
    return data
