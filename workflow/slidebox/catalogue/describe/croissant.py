"""Croissant 1.1 (MLCommons) of a study: the tables of its images and annotations, loadable.

The record sets read the study's own Parquet parts, whose digests stand here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from slidebox.catalogue.cite import citation
from slidebox.catalogue.describe.parts import (
    Place,
    digest,
    licence_of,
    orcid_of,
    published,
    text_or,
)

# The vocabulary of the specification, 1.1, "Namespaces and context".
_TERMS = (
    "arrayShape",
    "citeAs",
    "column",
    "containedIn",
    "equivalentProperty",
    "excludes",
    "extract",
    "field",
    "fileObject",
    "fileProperty",
    "fileSet",
    "format",
    "includes",
    "isArray",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "readLines",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "samplingRate",
    "separator",
    "source",
    "subField",
    "transform",
    "unArchive",
    "value",
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
_KINDS = {
    "int32": "sc:Integer",
    "int64": "sc:Integer",
    "double": "sc:Float",
    "bool": "sc:Boolean",
}
_WHAT = {
    "images": "Every image with its sizes, channels and the address of its OME-Zarr",
    "annotations": "Every label image, with the image it belongs to and its number of objects",
}


def croissant(study: dict[str, Any], folder: Path, place: Place) -> dict[str, Any]:
    """The JSON-LD; ``folder/tables`` holds the study's Parquet parts."""
    record, accession = study["record"], study["accession"]
    tables = ["images"]
    if any(i.get("labels") for i in study["images"]):
        tables.append("annotations")
    people = []
    for author in record.get("authors") or []:
        person = {"@type": "sc:Person", "name": text_or(author.get("name"), "Unknown")}
        if orcid := orcid_of(author):
            person["url"] = orcid
        people.append(person)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": accession,
        "alternateName": text_or(record.get("title"), accession),
        "description": text_or(record.get("description"), accession),
        # Croissant asks for three numbers; a study has one, which any change of content raises.
        "version": f"{study['version']}.0.0",
        "datePublished": published(study),
        "license": licence_of(study),
        "url": place.of(accession),
        "citeAs": citation(
            record,
            accession,
            study["version"],
            site_name=place.site_name,
            url=place.of(accession) if place.site_url else None,
            release_date=study.get("release_date"),
        ),
        "creator": people or [{"@type": "sc:Organization", "name": place.site_name}],
        "publisher": {"@type": "sc:Organization", "name": place.site_name},
        "keywords": [str(k) for k in record.get("keywords") or []] or ["bioimaging"],
        "distribution": [_file(name, folder) for name in tables],
        "recordSet": [_records(name, folder) for name in tables],
    }


def _file(name: str, folder: Path) -> dict[str, Any]:
    path = folder / "tables" / f"{name}.parquet"
    return {
        "@type": "cr:FileObject",
        "@id": f"{name}.parquet",
        "name": f"{name}.parquet",
        "description": _WHAT[name],
        "contentUrl": f"tables/{name}.parquet",
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": digest(path),
    }


def _records(name: str, folder: Path) -> dict[str, Any]:
    schema = pq.read_schema(folder / "tables" / f"{name}.parquet")
    fields = []
    for column in schema:
        kind = str(column.type)
        field: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"{name}/{column.name}",
            "name": column.name,
            "description": column.name.replace("_", " "),
            "dataType": _KINDS.get(kind, "sc:Text"),
            "source": {
                "fileObject": {"@id": f"{name}.parquet"},
                "extract": {"column": column.name},
            },
        }
        if kind.startswith("list"):
            field["repeated"] = True
        fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": _WHAT[name],
        "field": fields,
    }
