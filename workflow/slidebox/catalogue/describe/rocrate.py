"""RO-Crate 1.2 of a study's folder: https://w3id.org/ro/crate/1.2.

Images are entities, single files aren't: ``files.tsv`` lists them with their digests, which keeps
the crate of a study of a million files small (ResearchObject/ro-crate#443).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from slidebox.catalogue import facts
from slidebox.catalogue.describe.parts import (
    Place,
    digest,
    licence_of,
    link_url,
    orcid_of,
    organisations_of,
    papers_of,
    published,
    text_or,
)
from slidebox.catalogue.text import doi_url, license_name, safe_url

PROFILE = "https://w3id.org/ro/crate/1.2"
_LISTS = {
    "files.tsv": (
        "List of all files",
        "Path, size, sha256 and version of every file as submitted",
        "text/tab-separated-values",
    ),
    "manifest-sha256.txt": (
        "Checksums of all files",
        "sha256 of every file as submitted, for sha256sum -c",
        "text/plain",
    ),
}


def ro_crate(study: dict[str, Any], folder: Path, place: Place) -> dict[str, Any]:
    """The crate's JSON-LD; ``folder`` is where its lists are already written."""
    record, accession = study["record"], study["accession"]
    people, organisations = _people(record)
    licence = licence_of(study)
    lists = [_list(name, folder) for name in _LISTS]
    images = [_image(image) for image in study["images"] if image.get("zarr")]
    samples = _samples(record)
    methods = _methods(record)
    papers = [
        {"@id": url, "@type": "ScholarlyArticle", "name": url, "url": url}
        for url in dict.fromkeys(papers_of(study))
    ]
    links = [
        {"@id": url, "@type": "WebPage", "name": text_or(link.get("description"), url), "url": url}
        for link in record.get("links") or []
        if (url := link_url(link)) and safe_url(url)
    ]
    funders, grants = _funding(record)
    site = {
        "@id": "#publisher",
        "@type": "Organization",
        "name": place.site_name,
        **({"url": place.site_url} if place.site_url else {}),
    }
    root: dict[str, Any] = {
        "@id": "./",
        "@type": "Dataset",
        "name": text_or(record.get("title"), accession),
        "description": text_or(record.get("description"), accession),
        "identifier": doi_url(record.get("doi")) or accession,
        "version": str(study["version"]),
        "datePublished": published(study),
        "publisher": {"@id": site["@id"]},
        "hasPart": _ids([*lists, *images]),
    }
    if doi_url(record.get("doi")):
        root["alternateName"] = accession
    if place.site_url:
        root["url"] = place.of(accession)
    if licence:
        root["license"] = {"@id": licence}
    else:
        # The crate must say what may be done; nothing was granted.
        root["license"] = "No licence was stated"
    for key, entities in (
        ("author", people),
        ("citation", papers),
        ("relatedLink", links),
        ("funding", grants),
        ("about", samples),
        ("measurementTechnique", methods),
    ):
        if entities:
            root[key] = _ids(entities)
    if record.get("keywords"):
        root["keywords"] = ", ".join(str(k) for k in record["keywords"])
    if record.get("acknowledgements"):
        root["creditText"] = record["acknowledgements"]
    descriptor = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "conformsTo": {"@id": PROFILE},
        "about": {"@id": "./"},
    }
    licences = []
    if licence:
        licences = [
            {
                "@id": licence,
                "@type": "CreativeWork",
                "name": license_name(record["license"]),
                "identifier": record["license"],
                "description": f"{license_name(record['license'])} licence",
            }
        ]
    graph = [descriptor, root, *lists, *images, *people, *organisations, site, *licences]
    graph += [*papers, *links, *grants, *funders, *samples, *methods]
    return {"@context": f"{PROFILE}/context", "@graph": _once(graph)}


def _ids(entities: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"@id": i} for i in dict.fromkeys(e["@id"] for e in entities)]


def _once(graph: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entities without repeats; an identifier stands for one thing only."""
    seen: dict[str, dict[str, Any]] = {}
    for entity in graph:
        seen.setdefault(entity["@id"], entity)
    return list(seen.values())


def _local(kind: str, name: str) -> str:
    return f"#{kind}-{quote(name, safe='')}"


def _list(name: str, folder: Path) -> dict[str, Any]:
    title, description, kind = _LISTS[name]
    return {
        "@id": name,
        "@type": "File",
        "name": title,
        "description": description,
        "encodingFormat": kind,
        "contentSize": str((folder / name).stat().st_size),
        "sha256": digest(folder / name),
    }


def _image(image: dict[str, Any]) -> dict[str, Any]:
    entity = {
        "@id": f"{quote(image['zarr'])}/",
        "@type": "Dataset",
        "name": facts.image_label(image),
        "description": f"OME-Zarr 0.5 image, {facts.image_facts(image)}, {image.get('dtype')}",
        "identifier": str(image.get("id")),
        "encodingFormat": "application/vnd+zarr",
    }
    return entity


def _people(record: dict[str, Any]) -> tuple[list[dict], list[dict]]:
    people, organisations = [], []
    for number, author in enumerate(record.get("authors") or [], start=1):
        person: dict[str, Any] = {
            "@id": orcid_of(author) or f"#person-{number}",
            "@type": "Person",
            "name": text_or(author.get("name"), "Unknown"),
        }
        own = [
            {"@id": _local("organisation", name), "@type": "Organization", "name": name}
            for name in organisations_of(author)
        ]
        if own:
            person["affiliation"] = _ids(own)
        people.append(person)
        organisations += own
    return people, organisations


def _samples(record: dict[str, Any]) -> list[dict[str, Any]]:
    taxa = []
    for sample in record.get("biosamples") or []:
        for organism in sample.get("organism") or []:
            name = str(organism.get("name") or "")
            taxon = str(organism.get("ncbi_taxon") or "").rsplit(":", 1)[-1].rsplit("_", 1)[-1]
            if name:
                url = f"http://purl.obolibrary.org/obo/NCBITaxon_{taxon}"
                entity = {
                    "@id": url if taxon.isdigit() else _local("taxon", name),
                    "@type": "Taxon",
                    "name": name,
                }
                taxa.append(entity)
    return taxa


def _methods(record: dict[str, Any]) -> list[dict[str, Any]]:
    terms = []
    for acquisition in record.get("image_acquisitions") or []:
        for method in acquisition.get("imaging_methods") or []:
            name = str(method.get("name") or "")
            fbbi = str(method.get("fbbi") or "").rsplit(":", 1)[-1].rsplit("_", 1)[-1]
            if name:
                url = f"http://purl.obolibrary.org/obo/FBbi_{fbbi}"
                entity = {
                    "@id": url if fbbi.isdigit() else _local("method", name),
                    "@type": "DefinedTerm",
                    "name": name,
                }
                terms.append(entity)
    return terms


def _funding(record: dict[str, Any]) -> tuple[list[dict], list[dict]]:
    funders, grants = [], []
    for number, grant in enumerate(record.get("funding") or [], start=1):
        agency = str(grant.get("agency") or "")
        if not agency:
            continue
        funder = {"@id": _local("funder", agency), "@type": "Organization", "name": agency}
        funders.append(funder)
        name = str(grant.get("grant_id") or "") or f"Grant of {agency}"
        grants.append(
            {
                "@id": f"#grant-{number}",
                "@type": "Grant",
                "name": name,
                "funder": {"@id": funder["@id"]},
            }
        )
    return funders, grants
